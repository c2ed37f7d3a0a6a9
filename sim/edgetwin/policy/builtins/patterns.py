"""Built-ins over regular expressions, with RE2's syntax: never exponential in the text."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from edgetwin.policy.builtins import operands
from edgetwin.policy.builtins.globs import intersect

REQUIRES = "re2"
"""The import that this family stands on: google-re2, the library that OPA's modules carry."""

PATTERNS_KEPT = 256


@lru_cache(PATTERNS_KEPT)
def compiled(pattern: str) -> Any:
    """Return *pattern* compiled over bytes; raise ValueError if it is none."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern.encode("utf-8", "replace"), options)
    except re2.error as error:
        raise ValueError(f"not a regular expression: {error}") from None


def _matches(pattern: Any, text: Any) -> tuple[list[Any], bytes]:
    """Return all matches in *text* as Go counts them: an empty one next to a match is none."""
    source = operands.raw(text)
    found: list[Any] = []
    at, last_end = 0, -1
    program = compiled(operands.text(pattern))
    while at <= len(source):
        match = program.search(source, at)
        if match is None:
            break
        start, end = match.span()
        if end > start or start != last_end:
            found.append(match)
        last_end = end
        at = end if end > start else _next_character(source, end)
    return found, source


def _next_character(source: bytes, at: int) -> int:
    at += 1
    while at < len(source) and source[at] & 0xC0 == 0x80:
        at += 1
    return at


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")


def find_n(pattern: Any, text: Any, limit: Any) -> list[str]:
    """``regex.find_n``: the first *limit* matches, all if it is negative."""
    wanted = operands.integer(limit)
    found, _ = _matches(pattern, text)
    return [_text(match.group()) for match in (found if wanted < 0 else found[:wanted])]


def split(pattern: Any, text: Any) -> list[str]:
    """``regex.split``."""
    found, source = _matches(pattern, text)
    if operands.text(pattern) and not source:
        return [""]
    parts, begin, end = [], 0, 0
    for match in found:
        if match.end() == 0:
            continue
        end = match.start()
        parts.append(source[begin:end])
        begin = match.end()
    if end != len(source):
        parts.append(source[begin:])
    return [_text(part) for part in parts]


_GROUP = re.compile(rb"\$(?:\$|(\w+)|\{(\w+)\})")


def replace(text: Any, pattern: Any, value: Any) -> str:
    """``regex.replace``: ``$1``, ``${name}`` and ``$$`` in *value* as Go understands them."""
    layout = operands.raw(value)
    found, source = _matches(pattern, text)
    written, at = [], 0
    for match in found:
        written += [source[at : match.start()], _expanded(layout, match)]
        at = match.end()
    return _text(b"".join([*written, source[at:]]))


def _expanded(layout: bytes, match: Any) -> bytes:
    names = {key.encode() if isinstance(key, str) else key: place
             for key, place in match.re.groupindex.items()}  # fmt: skip

    def group(reference: re.Match[bytes]) -> bytes:
        name = reference[1] or reference[2]
        if name is None:
            return b"$"
        place = int(name) if name.isdigit() else names.get(name, -1)
        return (match.group(place) or b"") if 0 <= place <= match.re.groups else b""

    return _GROUP.sub(group, layout)


def template_match(template: Any, text: Any, start: Any, end: Any) -> bool:
    """``regex.template_match``: regular expressions between delimiters, all else literal."""
    layout, opening, closing = map(operands.text, (template, start, end))
    if len(opening.encode()) != 1 or len(closing.encode()) != 1:
        raise ValueError("a delimiter has to be exactly one character long")
    parts, level, at = ["^"], 0, 0
    for place, character in enumerate(layout):
        if character == opening:
            level += 1
            if level == 1:
                parts.append(_literal(layout[at:place]))
                at = place + 1
        elif character == closing:
            level -= 1
            if level == 0:
                compiled(f"^{layout[at:place]}$")
                parts.append(f"({layout[at:place]})")
                at = place + 1
        if level < 0:
            raise ValueError("unbalanced braces")
    if level:
        raise ValueError("unbalanced braces")
    program = compiled("".join([*parts, _literal(layout[at:]), "$"]))
    return program.search(operands.raw(text)) is not None


def _literal(text: str) -> str:
    """Return a pattern that matches *text* and nothing else."""
    return re.sub(r"[\\.+*?()|\[\]{}^$]", lambda special: "\\" + special[0], text)


def globs_match(one: Any, other: Any) -> bool:
    """``regex.globs_match``: whether some text matches both glob-like expressions."""
    return intersect(operands.text(one), operands.text(other))


def glob_quote_meta(text: Any) -> str:
    """``glob.quote_meta``."""
    return re.sub(r"[*?\\\[\]{}]", lambda special: "\\" + special[0], operands.text(text))


def is_valid(pattern: Any) -> bool:
    """``regex.is_valid``, where a module leaves it to the host."""
    try:
        compiled(operands.text(pattern))
    except ValueError:
        return False
    return True


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "regex.find_n": find_n,
    "regex.split": split,
    "regex.replace": replace,
    "regex.template_match": template_match,
    "regex.globs_match": globs_match,
    "glob.quote_meta": glob_quote_meta,
    "regex.is_valid": is_valid,
}
