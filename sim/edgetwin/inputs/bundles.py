"""The policy bundles that a topology names: found, read once, and looked into."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgetwin.errors import did_you_mean
from edgetwin.inputs.findings import Findings
from edgetwin.inputs.folder import Folder, OutsideError
from edgetwin.model import Bundle, Topology

if TYPE_CHECKING:
    from edgetwin.policy.bundle import Bundle as Opened

SIZE_BYTES_MAX = 64 * 2**20
"""Largest bundle that is read. Chosen: some hundred times a large policy with its data."""


def read(topology: Topology, folder: Folder, findings: Findings) -> dict[str, Bundle]:
    """Return every bundle that a release names, by that name.

    A bundle that is missing, is none, or lacks the policy's entrypoint becomes a problem at the
    release that names it.
    """
    bundles: dict[str, Bundle] = {}
    entrypoints: dict[str, tuple[str, ...] | None] = {}
    for policy, number, name in _releases(topology):
        steps = ("policies", policy, "releases", number, "bundle")
        if name not in entrypoints:
            bundle = _read(name, folder, findings, steps)
            entrypoints[name] = None
            if bundle is not None:
                bundles[name] = bundle
                entrypoints[name] = _entrypoints(bundle, findings, steps)
        known, wanted = entrypoints[name], topology.policies[policy].entrypoint
        if known is not None and wanted.strip("/") not in known:
            found = f"bundle {name!r} has no entrypoint {wanted!r}"
            findings.add(("policies", policy, "entrypoint"), found, did_you_mean(wanted, known))
    return bundles


def _releases(topology: Topology) -> Iterator[tuple[str, int, str]]:
    for policy, entry in topology.policies.items():
        for number, release in enumerate(entry.releases):
            yield policy, number, release.bundle


def _read(
    name: str, folder: Folder, findings: Findings, steps: tuple[str | int, ...]
) -> Bundle | None:
    try:
        path = folder.bundle(name)
    except OutsideError as error:
        findings.add(steps, f"{name!r} is not the name of a bundle", str(error))
        return None
    if path is None:
        names = folder.bundle_names()
        remedy = did_you_mean(name, names) if names else "build it into the policies folder"
        findings.add(steps, f"there is no policy bundle {name!r}", remedy)
        return None
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_BYTES_MAX + 1)
    except OSError as error:
        findings.add(steps, f"bundle {path}: {error.strerror}", "make it readable")
        return None
    if len(content) > SIZE_BYTES_MAX:
        found = f"bundle {path} is larger than {SIZE_BYTES_MAX // 2**20} MiB"
        findings.add(steps, found, "split the policy, or move its data out")
        return None
    return Bundle(name, content)


def _entrypoints(
    bundle: Bundle, findings: Findings, steps: tuple[str | int, ...]
) -> tuple[str, ...] | None:
    """Return the entrypoints of *bundle*, None if it is no bundle or brings no module."""
    from edgetwin.policy.binary import sections
    from edgetwin.policy.bundle import load_bundle
    from edgetwin.policy.errors import PolicyError

    try:
        opened = load_bundle(bundle.content, name=bundle.file)
    except PolicyError as error:
        remedy = error.remedy or "build it with 'edgetwin policy build'"
        findings.add(steps, f"bundle {bundle.file!r} {error.fault}", remedy)
        return None
    if opened.wasm is None:
        remedy = "build it with 'opa build -t wasm'"
        findings.add(steps, f"bundle {bundle.file!r} holds no Wasm module", remedy)
        return None
    try:
        sections(opened.wasm)
    except ValueError as error:
        remedy = "build it with 'edgetwin policy build'"
        findings.add(steps, f"the module of bundle {bundle.file!r} {error}", remedy)
        return None
    if opened.entrypoints:
        return tuple(each.strip("/") for each in opened.entrypoints)
    return _listed_by_module(opened, findings, steps)


def _listed_by_module(
    opened: "Opened", findings: Findings, steps: tuple[str | int, ...]
) -> tuple[str, ...] | None:
    """Return the entrypoints that a module without a manifest lists itself; it must be run."""
    from edgetwin.policy.errors import PolicyError
    from edgetwin.policy.policy import interface

    try:
        return tuple(each.strip("/") for each in interface(opened).entrypoints)
    except PolicyError as error:
        remedy = error.remedy or "build it with 'edgetwin policy build'"
        findings.add(steps, f"the module of {opened.name!r} {error.fault}", remedy)
        return None
