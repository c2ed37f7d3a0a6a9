"""Just enough of the Wasm binary format to add or drop an export.

An OPA module keeps its shadow stack pointer in global 0 and does not export it. Every abort leaks
what was on that stack, so that a reused instance is dead after some 510 of them (facts/opa-wasm.md,
finding 5). With the pointer exported, the host puts it back.
"""

from collections.abc import Iterable, Iterator

EXPORT, IMPORT, GLOBAL = 7, 2, 6
STACK_POINTER = "__stack_pointer"

_I32, _MUTABLE, _GLOBAL_KIND = 0x7F, 1, 3


def sections(wasm: bytes) -> list[tuple[int, bytes]]:
    """Return the sections of *wasm* as (id, content), in file order.

    Raises ValueError if the module is cut short or is no Wasm version 1.
    """
    if wasm[:8] != b"\x00asm\x01\x00\x00\x00":
        raise ValueError("is not a Wasm module of version 1")
    found, at = [], 8
    while at < len(wasm):
        kind = wasm[at]
        size, at = unsigned(wasm, at + 1)
        if at + size > len(wasm):
            raise ValueError(f"ends within its section {kind}")
        found.append((kind, wasm[at : at + size]))
        at += size
    return found


def assemble(parts: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the module that *parts*, as ``sections`` gives them, make up."""
    return b"\x00asm\x01\x00\x00\x00" + b"".join(
        bytes([kind]) + leb(len(content)) + content for kind, content in parts
    )


def exports(content: bytes) -> list[tuple[str, int, int]]:
    """Return the exports of an export section as (name, kind, index)."""
    count, at = unsigned(content, 0)
    found = []
    for _ in range(count):
        size, at = unsigned(content, at)
        name = content[at : at + size].decode("utf-8")
        kind = content[at + size]
        index, at = unsigned(content, at + size + 1)
        found.append((name, kind, index))
    return found


def export_section(entries: Iterable[tuple[str, int, int]]) -> bytes:
    """Return the export section of *entries*, the inverse of ``exports``."""
    listed = list(entries)
    return leb(len(listed)) + b"".join(
        leb(len(name.encode())) + name.encode() + bytes([kind]) + leb(index)
        for name, kind, index in listed
    )


def with_stack_pointer(wasm: bytes) -> bytes:
    """Return *wasm* with its shadow stack pointer exported; unchanged if it has none to export.

    Raises ValueError if the module cannot be taken apart.
    """
    try:
        parts = sections(wasm)
        by_kind = {kind: content for kind, content in parts if kind}
        globals_ = by_kind.get(GLOBAL, b"\x00")
        listed = exports(by_kind.get(EXPORT, b"\x00"))
        imports_global = _GLOBAL_KIND in import_kinds(by_kind.get(IMPORT, b"\x00"))
        count, at = unsigned(globals_, 0)
        if imports_global or not count or globals_[at] != _I32 or globals_[at + 1] != _MUTABLE:
            return wasm
    except IndexError:
        raise ValueError("ends within a section") from None
    if any(name == STACK_POINTER for name, _, _ in listed):
        return wasm
    section = export_section([*listed, (STACK_POINTER, _GLOBAL_KIND, 0)])
    return assemble((kind, section if kind == EXPORT else content) for kind, content in parts)


def import_kinds(content: bytes) -> Iterator[int]:
    """Yield the kind of each import: 0 function, 1 table, 2 memory, 3 global."""
    count, at = unsigned(content, 0)
    for _ in range(count):
        for _ in range(2):  # module, name
            size, at = unsigned(content, at)
            at += size
        kind = content[at]
        yield kind
        if kind == 0:
            _, at = unsigned(content, at + 1)
        elif kind == _GLOBAL_KIND:
            at += 3
        else:
            at += 2 if kind == 1 else 1  # a table names its element type first
            bounds, at = 1 + (content[at] & 1), at + 1
            for _ in range(bounds):
                _, at = unsigned(content, at)


def unsigned(raw: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned LEB128 number; return it and where it ends."""
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("holds a number that is too long")


def leb(value: int) -> bytes:
    """Return *value* as unsigned LEB128."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
