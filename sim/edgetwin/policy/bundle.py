"""A policy bundle: the module, its data and what the manifest says of them, read and verified.

Layout and keys as OPA writes them (facts/opa-wasm.md, 2.1). Nothing of the module is run here.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetwin.policy import documents
from edgetwin.policy.archive import ArchiveLimits, read_archive
from edgetwin.policy.errors import ArchiveError, ManifestError, ModuleError, RootsError
from edgetwin.policy.signature import Key, verify

WASM_MAGIC = b"\x00asm"
MODULE_PATH = "/policy.wasm"
"""The only module name that OPA loads from a bundle."""


@dataclass(frozen=True)
class Bundle:
    """What one bundle file holds; two with the same ``sha256`` are the same bundle."""

    name: str
    """How messages call it."""
    revision: str
    """Empty where the manifest has none."""
    roots: tuple[str, ...]
    """The parts of ``data`` that it owns, such as ``retail/authz``; ``""`` is all of it."""
    entrypoints: tuple[str, ...]
    """As the manifest lists them; empty for a bare ``.wasm``, whose module lists them itself."""
    data: Any = field(repr=False)
    """The data document, a JSON value; ``{}`` where there is none."""
    wasm: bytes | None = field(repr=False)
    """None in a bundle of data alone, and in a delta."""
    sha256: str
    """Of the file as it was given."""
    size_bytes: int
    """Of the file as it was given, so of what a node downloads."""
    metadata: Any = field(default_factory=dict, repr=False)
    patch: tuple[Mapping[str, Any], ...] | None = field(default=None, repr=False)
    """The operations of a delta bundle, else None."""
    signed_by: str = ""
    """The id of the key whose signature was verified; empty if it was not signed."""
    rego: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The Rego sources by path, as far as the bundle brings them."""


def load_bundle(
    path_or_bytes: str | os.PathLike[str] | bytes,
    *,
    name: str | None = None,
    keys: Mapping[str, Key] | None = None,
    scope: str = "",
    limits: ArchiveLimits | None = None,
) -> Bundle:
    """Return the bundle in a ``.tar.gz`` or a bare ``.wasm``, given as a path or as its bytes.

    *keys* by key id verify a signed bundle; a bundle that is not signed is refused if they are
    given, and one that is signed is refused if they are not, as OPA does. *name* is what messages
    call it, by default the file's name.

    Raises a kind of BundleError that names the bundle and the fault; OSError if the file cannot
    be read.
    """
    if isinstance(path_or_bytes, bytes):
        raw, name = path_or_bytes, name or "bundle"
    else:
        raw, name = Path(path_or_bytes).read_bytes(), name or os.path.basename(path_or_bytes)
    if raw.startswith(WASM_MAGIC):
        return _bare(name, raw, keys)
    if not raw.startswith(b"\x1f\x8b"):
        raise ArchiveError(name, "is neither a .tar.gz archive nor a Wasm module")
    files = read_archive(name, raw, limits)
    signed_by = verify(name, files, keys, scope)
    manifest = documents.manifest(name, files.get("/.manifest"))
    patch = documents.patch(name, files) if "/patch.json" in files else None
    data = documents.data(name, files, manifest.roots) if patch is None else {}
    wasm = _module(name, files, manifest.modules)
    return Bundle(
        name=name,
        revision=manifest.revision,
        roots=manifest.roots,
        entrypoints=manifest.entrypoints,
        data=data,
        wasm=wasm,
        sha256=hashlib.sha256(raw).hexdigest(),
        size_bytes=len(raw),
        metadata=manifest.metadata,
        patch=patch,
        signed_by=signed_by,
        rego={
            path: text.decode("utf-8", "replace")
            for path, text in files.items()
            if path.endswith(".rego")
        },
    )


def check_roots(bundles: Sequence[Bundle]) -> None:
    """Raise RootsError if two of *bundles* own the same part of the data document.

    A root owns everything below it: ``retail`` overlaps ``retail/authz``, but not ``retailer``.
    """
    owned: list[tuple[str, str]] = []
    for bundle in bundles:
        for root in bundle.roots:
            for other_root, other in owned:
                if documents.within(root, other_root) or documents.within(other_root, root):
                    raise RootsError(
                        bundle.name,
                        f"root {root!r} overlaps root {other_root!r} of {other}",
                        "give each bundle roots of its own in .manifest",
                    )
        owned += [(root, bundle.name) for root in bundle.roots]


def _bare(name: str, raw: bytes, keys: Mapping[str, Key] | None) -> Bundle:
    if keys:
        verify(name, {MODULE_PATH: raw}, keys, "")
    digest = hashlib.sha256(raw).hexdigest()
    return Bundle(name, "", ("",), (), {}, raw, digest, len(raw))


def _module(name: str, files: Mapping[str, bytes], listed: Sequence[str]) -> bytes | None:
    """Return the one module, and refuse a manifest that speaks of others."""
    for path in listed:
        if path not in files:
            raise ManifestError(name, f"names the module {path}, which is not in the archive")
        if path != MODULE_PATH:
            raise ManifestError(
                name, f"names the module {path}", f"OPA loads {MODULE_PATH} and no other"
            )
    wasm = files.get(MODULE_PATH)
    if wasm is not None and not wasm.startswith(WASM_MAGIC):
        raise ModuleError(name, f"{MODULE_PATH} is not a Wasm module")
    return wasm
