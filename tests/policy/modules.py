"""The modules and shipped bundles that the policy tests use, and ways to alter them."""

import gzip
import io
import json
import tarfile
from functools import cache
from pathlib import Path

from edgetwin.policy import Bundle, binary, load_bundle

FIXTURES = Path(__file__).with_name("fixtures")
POLICIES = Path(__file__).parents[2] / "policies"

RETAIL = "retail/authz/allow"
PAYMENT = {
    "user": "u17", "role": "cashier", "action": "pay", "amount_cents": 1999, "offline": True,
    "device": "till-3", "class": "payment",
}  # fmt: skip


@cache
def fixture(name: str) -> Bundle:
    """Return the bundle *name* of the fixtures."""
    return load_bundle(FIXTURES / f"{name}.tar.gz")


@cache
def shipped(name: str) -> Bundle:
    """Return the bundle *name* of the shipped policies."""
    return load_bundle(POLICIES / f"{name}.tar.gz")


def archive(files: dict[str, bytes | str], *, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a ``.tar.gz`` of *files*; *kind* is what each member claims to be."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in files.items():
            raw = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.type = kind
            member.linkname = "/etc/passwd" if kind != tarfile.REGTYPE else ""
            member.size = len(raw) if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(raw))
    return gzip.compress(plain.getvalue(), mtime=0)


def manifest(**fields: object) -> str:
    """Return a manifest with *fields*."""
    return json.dumps(fields)


ADDED_BY_MINOR = {
    3: {"opa_value_free", "opa_heap_blocks_stash", "opa_heap_blocks_restore",
        "opa_heap_stash_clear"},
    2: {"opa_eval"},
    1: {"memory"},
}  # fmt: skip
"""What each version of the ABI brought: facts/opa-wasm.md, 1.1."""


def as_abi(wasm: bytes, minor: int | None) -> bytes:
    """Return *wasm* as a module of ABI 1.*minor*; None is one from before there were versions."""
    dropped = {name for version, names in ADDED_BY_MINOR.items()
               if version > (minor if minor is not None else 0) for name in names}  # fmt: skip
    if minor is None:
        dropped |= {"opa_wasm_abi_version", "opa_wasm_abi_minor_version"}
    parts = binary.sections(wasm)
    exported = dict(parts)[binary.EXPORT]
    kept = [entry for entry in binary.exports(exported) if entry[0] not in dropped]
    place = next((index for name, _, index in kept if name == "opa_wasm_abi_minor_version"), None)
    changed = []
    for kind, content in parts:
        if kind == binary.EXPORT:
            content = binary.export_section(kept)
        if kind == binary.GLOBAL and place is not None:
            content = _with_global(content, place, minor or 0)
        changed.append((kind, content))
    return binary.assemble(changed)


def _with_global(content: bytes, place: int, value: int) -> bytes:
    """Return a section of i32 globals in which number *place* starts as *value* (below 64)."""
    assert content[0] < 128
    entries = content[1:].split(b"\x0b")[:-1]
    entries[place] = entries[place][:3] + bytes([value])
    return content[:1] + b"".join(entry + b"\x0b" for entry in entries)
