"""Bundles are built from Rego by the real ``opa`` and written down in a lock file.

``bundles.yaml`` says what to build. ``policies.lock.json`` says what came out of it: digests of
every source and result, the compiler's version, entrypoints and built-ins. The compiler gives the
same bytes each time, so building again and comparing proves that a committed bundle is what its
sources say.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetwin.errors import Problem, ScenarioError, UsageError, did_you_mean
from edgetwin.policy import documents
from edgetwin.policy.bundle import load_bundle

PLAN, LOCK = "bundles.yaml", "policies.lock.json"

OPA_REMEDY = (
    "get it from https://www.openpolicyagent.org/docs/#running-opa, or with Go: "
    "CGO_ENABLED=0 go install -tags opa_no_oci github.com/open-policy-agent/opa@v1.20.2"
)

_KEYS = {"revision", "entrypoints", "roots", "rego", "data"}


def opa_path() -> str:
    """Return where ``opa`` is; raise UsageError, saying how to get it, if it is not on PATH."""
    found = shutil.which("opa")
    if found is None:
        raise UsageError(f"opa is not on PATH; {OPA_REMEDY}")
    return found


def opa_version(opa: str) -> str:
    """Return the version of the compiler *opa*, such as ``1.20.2``."""
    shown = subprocess.run([opa, "version"], capture_output=True, text=True, check=True).stdout
    return shown.split("Version:", 1)[1].split()[0]


def read_plan(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what ``bundles.yaml`` in *folder* asks for, by bundle name.

    Raises ScenarioError with every fault of the plan.
    """
    path = folder / PLAN
    try:
        plan = documents.from_yaml(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ScenarioError([Problem(str(path), 0, "", f"cannot be read: {error}")]) from None
    bundles = plan.get("bundles") if isinstance(plan, dict) else None
    if not isinstance(bundles, dict) or not bundles:
        raise ScenarioError([Problem(str(path), 0, "bundles", "is no map of bundles")])
    problems = [
        Problem(str(path), 0, f"bundles.{name}", found, remedy)
        for name, entry in bundles.items()
        for found, remedy in _faults(folder, entry)
    ]
    if problems:
        raise ScenarioError(problems)
    return bundles


def _faults(folder: Path, entry: Any) -> list[tuple[str, str]]:
    """Return what is wrong with one entry of the plan: (found, remedy)."""
    if not isinstance(entry, dict):
        return [("is no map", f"known keys: {', '.join(sorted(_KEYS))}")]
    faults = [
        (f"unknown key {key!r}", did_you_mean(str(key), _KEYS)) for key in entry if key not in _KEYS
    ]
    for key in ("entrypoints", "rego", "roots"):
        value = entry.get(key, [""] if key == "roots" else None)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            faults.append((f"{key} is no list of texts", "give at least one"))
            return faults
    sources = [*entry["rego"], *([entry["data"]] if entry.get("data") else [])]
    for source in sources:
        if not (folder / source).resolve().is_relative_to(folder.resolve()):
            faults.append((f"{source} is outside the folder of the plan", "move it inside"))
        elif not (folder / source).is_file():
            faults.append((f"there is no file {source}", ""))
    return faults


def build_bundle(opa: str, folder: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    """Return the bundle that *entry* of the plan asks for; raise ScenarioError with opa's words."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "bundle"
        root.mkdir()
        # Flat, and named by nothing but the plan: the archive holds the names it is given.
        for source in entry["rego"]:
            shutil.copyfile(folder / source, root / Path(source).name)
        if entry.get("data"):
            suffix = Path(entry["data"]).suffix
            shutil.copyfile(folder / entry["data"], root / f"data{suffix}")
        manifest = {"revision": entry.get("revision", ""), "roots": entry.get("roots", [""])}
        (root / ".manifest").write_text(json.dumps(manifest))
        target = Path(temporary) / "bundle.tar.gz"
        # -O 1 and 2 make the compiler panic on default rules (facts/opa-wasm.md, section 6).
        command = [opa, "build", "-t", "wasm", "-O", "0", "-b", ".", "-o", str(target)]
        command += [f"--entrypoint={entrypoint}" for entrypoint in entry["entrypoints"]]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        if done.returncode:
            words = (done.stderr or done.stdout).strip()
            raise ScenarioError(
                [Problem(str(folder / PLAN), 0, f"bundles.{name}", f"opa build failed: {words}")]
            )
        return target.read_bytes()


def build(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return every bundle of the plan in *folder* by file name, and the lock that describes them.

    Raises UsageError without ``opa``, ScenarioError for a wrong plan or Rego that does not compile.
    """
    opa = opa_path()
    plan = read_plan(folder)
    bundles = {f"{name}.tar.gz": build_bundle(opa, folder, name, plan[name]) for name in plan}
    return bundles, lock(folder, plan, bundles, opa_version(opa))


def lock(
    folder: Path, plan: Mapping[str, Mapping[str, Any]], bundles: Mapping[str, bytes], opa: str
) -> dict[str, Any]:
    """Return the lock of *bundles*: what they were made from, by which *opa*, and what they are."""
    from edgetwin.policy.policy import interface

    entries = {}
    for name, entry in sorted(plan.items()):
        bundle = load_bundle(bundles[f"{name}.tar.gz"], name=name)
        module = interface(bundle)
        sources = [*entry["rego"], *([entry["data"]] if entry.get("data") else [])]
        assert bundle.wasm is not None, name
        entries[name] = {
            "bundle_sha256": bundle.sha256,
            "wasm_sha256": _digest(bundle.wasm),
            "sources_sha256": {s: _digest((folder / s).read_bytes()) for s in sorted(sources)},
            "revision": bundle.revision,
            "roots": list(bundle.roots),
            "entrypoints": list(module.entrypoints),
            "builtins": list(module.builtins),
            "pure": module.pure,
        }
    return {"opa": opa, "bundles": entries}


def lock_text(content: Mapping[str, Any]) -> str:
    """Return the text of the lock file."""
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def write(folder: Path, bundles: Mapping[str, bytes], content: Mapping[str, Any]) -> None:
    """Write bundles and lock into *folder*, each whole or not at all."""
    for name, raw in [*bundles.items(), (LOCK, lock_text(content).encode())]:
        handle, temporary = tempfile.mkstemp(prefix=".", dir=folder)
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        os.chmod(temporary, 0o644)
        os.replace(temporary, folder / name)


def differences(
    folder: Path, bundles: Mapping[str, bytes], content: Mapping[str, Any]
) -> list[Problem]:
    """Return how the files in *folder* differ from *bundles* and their lock."""
    found = []
    for name, raw in bundles.items():
        path = folder / name
        if not path.is_file():
            found.append(Problem(str(path), 0, "", "is missing", "run `edgetwin policy build`"))
        elif path.read_bytes() != raw:
            found.append(
                Problem(
                    str(path), 0, "", "is not what its sources give", "run `edgetwin policy build`"
                )
            )
    path = folder / LOCK
    if not path.is_file() or path.read_text(encoding="utf-8") != lock_text(content):
        found.append(Problem(str(path), 0, "", "is out of date", "run `edgetwin policy build`"))
    return found


def locked_differences(folder: Path) -> list[Problem]:
    """Return how sources and bundles in *folder* differ from the lock, building nothing."""
    path = folder / LOCK
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ScenarioError([Problem(str(path), 0, "", f"cannot be read: {error}")]) from None
    found = []
    for name, entry in content["bundles"].items():
        digests = {f"{name}.tar.gz": entry["bundle_sha256"], **entry["sources_sha256"]}
        for source, digest in digests.items():
            file = folder / source
            if not file.is_file() or _digest(file.read_bytes()) != digest:
                found.append(Problem(str(file), 0, "", f"is not what {LOCK} says"))
    return sorted(set(found))


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
