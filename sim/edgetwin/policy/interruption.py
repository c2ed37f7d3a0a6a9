"""Makes a module interruptible, for less than wasmtime's own way costs.

wasmtime can check for an interruption at every loop and at every function (`epoch_interruption`),
which takes a quarter of a policy's time, because OPA's runtime is made of small functions. Here
the check goes only where a run without end must come by: into each loop, and into the functions
that can call themselves over some way round. It looks at a word at the bottom of the memory, below
the shadow stack, where a module compiled by OPA keeps nothing; the host writes there to interrupt.

What cannot be taken apart with certainty is left to wasmtime: ``interruptible`` gives None.
"""

from collections.abc import Iterator

from edgetwin.policy.binary import (
    EXPORT,
    GLOBAL,
    IMPORT,
    assemble,
    import_kinds,
    leb,
    sections,
    unsigned,
)

FLAG_ADDRESS = 0
"""Of the word that is 0 as long as the module may run on."""

STACK_BYTES_MIN = 1024
"""The shadow stack must start above this, so that the flag lies at its far end."""

_MEMORY, _ELEMENT, _CODE, _DATA = 2, 9, 10, 11

_CHECK = bytes.fromhex("4100 fe100200 0440 00 0b".replace(" ", ""))
"""``i32.const 0, i32.atomic.load, if, unreachable, end``. A plain load may be taken for the one of
an outer loop's check, as nothing in between writes there, and then the inner one never ends."""

_NO_IMMEDIATE = {0x00, 0x01, 0x05, 0x0B, 0x0F, 0x1A, 0x1B, *range(0x45, 0xC5)}
_ONE_INDEX = {0x0C, 0x0D, 0x10, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0xD2}
_MEMORY_ACCESS = set(range(0x28, 0x3F))
_BLOCKS = {0x02, 0x03, 0x04}
_LOOP, _CALL, _CALL_INDIRECT = 0x03, 0x10, 0x11
_AFTER_PREFIX = {**dict.fromkeys(range(8), 0), 8: 2, 9: 1, 10: 2, 11: 1, 12: 2, 13: 1, 14: 2,
                 15: 1, 16: 1, 17: 1}  # fmt: skip
"""Indices behind an instruction that starts with 0xFC."""


def interruptible(wasm: bytes) -> bytes | None:
    """Return *wasm* with checks where it could run without end; None if that is not certain.

    Raises ValueError if the module is cut short.
    """
    try:
        parts = sections(wasm)
        by_kind = {kind: content for kind, content in parts if kind}
        if not _flag_is_free(by_kind):
            return None
        kinds = list(import_kinds(by_kind.get(IMPORT, b"\x00")))
        if _MEMORY not in kinds:
            return None
        imported = kinds.count(0)
        bodies = list(_bodies(by_kind.get(_CODE, b"\x00")))
        calls: list[list[int]] = []
        loops: list[list[int]] = []
        starts: list[int] = []
        for body in bodies:
            start = _after_locals(body)
            found = _scan(body, start)
            if found is None:
                return None
            starts.append(start)
            loops.append(found[0])
            calls.append(found[1])
        functions = imported + len(bodies)
        in_table = _in_table(by_kind.get(_ELEMENT, b"\x00"), functions)
        recursive = _recursive(calls, in_table, imported, len(bodies))
        changed = [
            _with_checks(body, [*([start] if number in recursive else []), *places])
            for number, (body, start, places) in enumerate(zip(bodies, starts, loops, strict=True))
        ]
    except IndexError:
        raise ValueError("ends within a section") from None
    code = leb(len(changed)) + b"".join(leb(len(body)) + body for body in changed)
    return assemble((kind, code if kind == _CODE else content) for kind, content in parts)


def _flag_is_free(by_kind: dict[int, bytes]) -> bool:
    """Tell whether the module's stack is at the bottom of its memory, as OPA's compiler puts it."""
    if EXPORT not in by_kind:
        return False
    content = by_kind.get(GLOBAL, b"\x00")
    count, at = unsigned(content, 0)
    # The first global is the shadow stack pointer: i32, mutable, i32.const.
    if not count or content[at : at + 3] != b"\x7f\x01\x41":
        return False
    top, at = unsigned(content, at + 3)
    if content[at] != 0x0B or top < STACK_BYTES_MIN:
        return False
    content = by_kind.get(_DATA, b"\x00")
    count, at = unsigned(content, 0)
    for _ in range(count):
        mode, at = unsigned(content, at)
        if mode != 0 or content[at] != 0x41:
            return False
        offset, at = unsigned(content, at + 1)
        size, at = unsigned(content, at + 1)
        at += size
        # Read as unsigned, a negative offset is large: such a segment is none of OPA's either.
        if offset < STACK_BYTES_MIN:
            return False
    return True


def _bodies(content: bytes) -> Iterator[bytes]:
    count, at = unsigned(content, 0)
    for _ in range(count):
        size, at = unsigned(content, at)
        if at + size > len(content):
            raise IndexError
        yield content[at : at + size]
        at += size


def _after_locals(body: bytes) -> int:
    groups, at = unsigned(body, 0)
    for _ in range(groups):
        _, at = unsigned(body, at)
        at += 1
    return at


def _skip(body: bytes, at: int) -> int:
    """Return where the LEB128 number at *at* ends."""
    while body[at] & 0x80:
        at += 1
    return at + 1


INDIRECT = -1
"""In place of a function's index: any function whose address is taken."""


def _scan(body: bytes, at: int) -> tuple[list[int], list[int]] | None:
    """Return where the loops of a function start, and whom it calls; None if it cannot be read."""
    loops: list[int] = []
    calls: list[int] = []
    end = len(body)
    while at < end:
        code = body[at]
        at += 1
        if code in _NO_IMMEDIATE:
            continue
        if code in _ONE_INDEX:
            if code == _CALL:
                callee, at = unsigned(body, at)
                calls.append(callee)
            else:
                at = _skip(body, at)
        elif code in _BLOCKS:
            at = _skip(body, at)
            if code == _LOOP:
                loops.append(at)
        elif code in _MEMORY_ACCESS:
            if body[at] >= 0x40:  # another memory, or a strange alignment
                return None
            at = _skip(body, _skip(body, at))
        elif code in (0x41, 0x42, 0x3F, 0x40, 0xD0):
            at = _skip(body, at)
        elif code == 0x43:
            at += 4
        elif code == 0x44:
            at += 8
        elif code == _CALL_INDIRECT:
            at = _skip(body, _skip(body, at))
            calls.append(INDIRECT)
        elif code == 0x0E:
            count, at = unsigned(body, at)
            for _ in range(count + 1):
                at = _skip(body, at)
        elif code == 0xFC:
            sub, at = unsigned(body, at)
            if sub not in _AFTER_PREFIX:
                return None
            for _ in range(_AFTER_PREFIX[sub]):
                at = _skip(body, at)
        else:
            return None
    return (loops, calls) if at == end else None


def _in_table(content: bytes, functions: int) -> list[int]:
    """Return the functions that may be called indirectly, all of them if that is not plain."""
    count, at = unsigned(content, 0)
    found: list[int] = []
    for _ in range(count):
        mode, at = unsigned(content, at)
        if mode != 0 or content[at] != 0x41:
            return list(range(functions))
        at = _skip(content, at + 1) + 1
        size, at = unsigned(content, at)
        for _ in range(size):
            callee, at = unsigned(content, at)
            found.append(callee)
    return found


def _recursive(calls: list[list[int]], in_table: list[int], imported: int, count: int) -> set[int]:
    """Return the functions that can come by themselves again, as numbers among the defined ones.

    An indirect call may go to any function of the table. A way round over the host is the host's
    to check: it looks at the flag whenever a built-in is called.
    """
    table = count
    edges = [
        sorted({table if callee == INDIRECT else callee - imported
                for callee in callees if callee == INDIRECT or callee >= imported})
        for callees in calls
    ]  # fmt: skip
    edges.append(sorted({callee - imported for callee in in_table if callee >= imported}))
    return {node for group in _cycles(edges) for node in group if node != table}


def _cycles(edges: list[list[int]]) -> Iterator[list[int]]:
    """Yield the strongly connected groups that hold a cycle: Tarjan's algorithm, no recursion."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    for root in range(len(edges)):
        if root in order:
            continue
        work = [(root, 0)]
        while work:
            node, place = work.pop()
            if place == 0:
                order[node] = low[node] = len(order)
                stack.append(node)
                on_stack.add(node)
            pushed = False
            for number in range(place, len(edges[node])):
                following = edges[node][number]
                if following not in order:
                    work += [(node, number + 1), (following, 0)]
                    pushed = True
                    break
                if following in on_stack:
                    low[node] = min(low[node], order[following])
            if pushed:
                continue
            if work:
                parent = work[-1][0]
                low[parent] = min(low[parent], low[node])
            if low[node] == order[node]:
                group = []
                while True:
                    member = stack.pop()
                    on_stack.discard(member)
                    group.append(member)
                    if member == node:
                        break
                if len(group) > 1 or node in edges[node]:
                    yield group


def _with_checks(body: bytes, places: list[int]) -> bytes:
    """Return *body* with a check at each of *places*, ascending."""
    pieces = []
    at = 0
    for place in places:
        pieces += [body[at:place], _CHECK]
        at = place
    return b"".join([*pieces, body[at:]])
