"""Whether two glob-like expressions have a text in common: ``regex.globs_match``.

An expression is a row of tokens, each a character, ``.`` or a set ``[a-z]``, once, ``+`` or ``*``.
Both rows are walked side by side: the pairs of places that some text can reach are finitely many.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """One place of an expression: the characters it takes (None: any), and how often."""

    characters: frozenset[str] | None
    flag: str
    """Empty for once, ``+`` or ``*``."""


def intersect(one: str, other: str) -> bool:
    """Return whether some text matches both expressions.

    >>> intersect("a.a.[0-9]+z", "b.b.*"), intersect("[a-z]+", "abc*"), intersect("ab", "a")
    (False, True, False)
    """
    rows = tokens(one), tokens(other)
    reached, waiting = {(0, 0)}, [(0, 0)]
    while waiting:
        here, there = waiting.pop()
        if here == len(rows[0]) and there == len(rows[1]):
            return True
        for pair in _steps(rows, here, there):
            if pair not in reached:
                reached.add(pair)
                waiting.append(pair)
    return False


def _steps(rows: tuple[list[Token], list[Token]], here: int, there: int) -> list[tuple[int, int]]:
    """Return the pairs of places that the next character, or a star left out, leads to."""
    steps = []
    first = rows[0][here] if here < len(rows[0]) else None
    second = rows[1][there] if there < len(rows[1]) else None
    if first is not None and first.flag == "*":
        steps.append((here + 1, there))
    if second is not None and second.flag == "*":
        steps.append((here, there + 1))
    if first is not None and second is not None and _common(first, second):
        mine = [here + 1, *([here] if first.flag else [])]
        theirs = [there + 1, *([there] if second.flag else [])]
        steps += [(a, b) for a in mine for b in theirs]
    return steps


def _common(one: Token, other: Token) -> bool:
    if one.characters is None or other.characters is None:
        return one.characters != frozenset() and other.characters != frozenset()
    return not one.characters.isdisjoint(other.characters)


def tokens(expression: str) -> list[Token]:
    """Return the tokens of *expression*; raise ValueError if it is malformed."""
    row: list[Token] = []
    at = 0
    while at < len(expression):
        sign = expression[at]
        if sign in "+*]":
            raise ValueError(f"{sign!r} out of place in a glob")
        characters: frozenset[str] | None
        if sign == ".":
            characters, at = None, at + 1
        elif sign == "[":
            characters, at = _set(expression, at + 1)
        else:
            at += sign == "\\"
            if at >= len(expression):
                raise ValueError("a glob ends in an escape")
            characters, at = frozenset(expression[at]), at + 1
        flag = expression[at] if at < len(expression) and expression[at] in "+*" else ""
        at += len(flag)
        row.append(Token(characters, flag))
    return row


def _set(expression: str, at: int) -> tuple[frozenset[str], int]:
    """Read a set up to its ``]``; return its characters and where it ends."""
    members: list[str] = []
    ranged = False
    while at < len(expression) and expression[at] != "]":
        sign = expression[at]
        if sign == "-" and members and not ranged:
            ranged, at = True, at + 1
            continue
        at += sign == "\\"
        if at >= len(expression):
            break
        sign = expression[at]
        if ranged:
            if ord(sign) < ord(members[-1]):
                raise ValueError("a range in a glob runs backwards")
            members += [chr(code) for code in range(ord(members[-1]) + 1, ord(sign) + 1)]
        else:
            members.append(sign)
        ranged, at = False, at + 1
    if at >= len(expression) or ranged or not members:
        raise ValueError("a set in a glob is not closed")
    return frozenset(members), at + 1
