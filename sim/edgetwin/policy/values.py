"""Rego values as Python values, their text forms, and OPA's order among them.

null, booleans, strings and arrays are None, bool, str and list. Numbers are int and float, or
Decimal where a float would lose digits. Objects are dicts as long as every key is a string, else
``RegoObject``; sets are ``RegoSet``, whose elements are unique and in OPA's order.

>>> parse('{"b", "a", 2}')
RegoSet([2, 'a', 'b'])
>>> to_json(parse('{{1: "x"}, set()}'))
[{'1': 'x'}, []]
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import orjson

_RANK = {"null": 0, "boolean": 1, "number": 2, "string": 3, "array": 6, "object": 7, "set": 8}


class RegoSet:
    """A set: *items* unique and in OPA's order."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self.items: list[Any] = unique(items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RegoSet) and order_key(self) == order_key(other)

    def __hash__(self) -> int:
        return hash(dump(self))

    def __repr__(self) -> str:
        return f"RegoSet({self.items!r})"


class RegoObject:
    """An object with at least one key that is no string: *pairs* in OPA's order of the keys."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        last = {dump(key): (key, value) for key, value in pairs}
        self.pairs: list[tuple[Any, Any]] = sorted(last.values(), key=lambda p: order_key(p[0]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RegoObject) and self.pairs == other.pairs

    def __hash__(self) -> int:
        return hash(dump(self))

    def __repr__(self) -> str:
        return f"RegoObject({self.pairs!r})"


def make_object(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any] | RegoObject:
    """Return the object of *pairs*: a dict if every key is a string, else a ``RegoObject``."""
    listed = list(pairs)
    if all(isinstance(key, str) for key, _ in listed):
        return dict(listed)
    return RegoObject(listed)


def pairs_of(value: Any) -> list[tuple[Any, Any]] | None:
    """Return the (key, value) pairs of an object, or None if *value* is no object."""
    if isinstance(value, dict):
        return list(value.items())
    return value.pairs if isinstance(value, RegoObject) else None


def type_name(value: Any) -> str:
    """Return OPA's name for the type of *value*."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Decimal):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list | tuple):
        return "array"
    if isinstance(value, dict | RegoObject):
        return "object"
    if isinstance(value, RegoSet):
        return "set"
    raise TypeError(f"{type(value).__name__} is no Rego value")


def order_key(value: Any) -> tuple[Any, ...]:
    """Return a sort key that orders any two Rego values as OPA does.

    >>> sorted([{"a": 1}, "b", True, None, 10, 9.5, [1]], key=order_key)
    [None, True, 9.5, 10, 'b', [1], {'a': 1}]
    """
    name = type_name(value)
    rank = _RANK[name]
    if name == "array":
        return (rank, tuple(order_key(item) for item in value))
    if name == "set":
        return (rank, tuple(order_key(item) for item in value.items))
    if name == "object":
        pairs = pairs_of(value) or []
        return (rank, tuple(sorted((order_key(k), order_key(v)) for k, v in pairs)))
    return (rank,) if value is None else (rank, value)


def unique(items: Iterable[Any]) -> list[Any]:
    """Return *items* without repetitions, in OPA's order."""
    ordered: list[Any] = []
    last: tuple[Any, ...] | None = None
    for key, item in sorted(((order_key(item), item) for item in items), key=lambda pair: pair[0]):
        if key != last:
            ordered.append(item)
            last = key
    return ordered


def equal(one: Any, other: Any) -> bool:
    """Tell whether two Rego values are equal; numbers by value, ``true`` is not 1."""
    return order_key(one) == order_key(other)


def number(text: str) -> int | float | Decimal:
    """Return the number *text*, exactly: Decimal where a float would drop digits or overflow.

    >>> number("12"), number("1.50"), number("1e400") > 10**399, number("0.1")
    (12, 1.5, True, 0.1)
    """
    if not any(mark in text for mark in ".eE"):
        return int(text)
    approximate = float(text)
    if math.isinf(approximate) or Decimal(repr(approximate)) != Decimal(text):
        return Decimal(text)
    return approximate


_LONG_NUMBER = re.compile(rb"\d{16}")
_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(
    r'"(?:[^"\\\x00-\x1f]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|set\(\s*\)'
)


def parse(text: str | bytes) -> Any:
    """Return the value of a Rego literal, as ``opa_value_dump`` writes it, or of a JSON text.

    Raises ValueError if *text* is neither.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    # A set is no JSON, so whatever the JSON reader accepts has none in it. Numbers of sixteen
    # digits and more are read by us, because it would round them.
    if not _LONG_NUMBER.search(raw):
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            pass
    source = raw.decode("utf-8", "surrogatepass")
    value, end = _value(source, 0)
    if _skip(source, end) != len(source):
        raise ValueError(f"unexpected text after a value: {source[end : end + 20]!r}")
    return value


def _skip(source: str, at: int) -> int:
    match = _SPACE.match(source, at)
    return match.end() if match else at


def _value(source: str, at: int) -> tuple[Any, int]:
    at = _skip(source, at)
    match = _SCALAR.match(source, at)
    if match:
        return _scalar(match.group()), match.end()
    if source.startswith("[", at):
        items, end = _items(source, at + 1, "]")
        return [item for item, _ in items], end
    if source.startswith("{", at):
        items, end = _items(source, at + 1, "}")
        if not items:
            return {}, end
        bare = [value is _NO_VALUE for _, value in items]
        if all(bare):
            return RegoSet(item for item, _ in items), end
        if any(bare):
            raise ValueError("some members of an object have no value")
        return make_object(items), end
    raise ValueError(f"no value at {source[at : at + 20]!r}")


def _scalar(word: str) -> Any:
    if word[0] == '"':
        return json.loads(word, strict=False)
    if word[0] in "-0123456789":
        return number(word)
    return {"true": True, "false": False, "null": None}[word] if word[0] != "s" else RegoSet()


_NO_VALUE = object()


def _items(source: str, at: int, close: str) -> tuple[list[tuple[Any, Any]], int]:
    """Read the elements of an array, set or object up to *close*: (element, value) pairs."""
    items: list[tuple[Any, Any]] = []
    at = _skip(source, at)
    while not source.startswith(close, at):
        item, at = _value(source, at)
        at = _skip(source, at)
        value: Any = _NO_VALUE
        if close == "}" and source.startswith(":", at):
            value, at = _value(source, at + 1)
            at = _skip(source, at)
        items.append((item, value))
        if source.startswith(",", at):
            at = _skip(source, at + 1)
        elif not source.startswith(close, at):
            raise ValueError(f"expected ',' or {close!r} at {source[at : at + 20]!r}")
    return items, at + 1


def parse_json(raw: bytes) -> Any:
    """Return the value of the JSON text *raw*, numbers exact; raise ValueError if it is no JSON."""
    if not _LONG_NUMBER.search(raw):
        return orjson.loads(raw)
    return json.loads(raw, parse_float=number, parse_constant=_no_constant)


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def number_text(value: int | float | Decimal) -> str:
    """Return a number as JSON writes it; raise ValueError for NaN and the infinities."""
    if value != value or value in (math.inf, -math.inf):
        raise ValueError(f"{value} is no JSON number")
    if isinstance(value, float):
        return int(value).__str__() if value.is_integer() and abs(value) < 1e21 else repr(value)
    return str(value)


def dump(value: Any) -> str:
    """Return *value* as a Rego literal that ``opa_value_parse`` reads, sets and objects in order.

    >>> dump({"a": [1, None, RegoSet(["x"])]})
    '{"a":[1,null,{"x"}]}'
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float | Decimal):
        return number_text(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(dump, value))}]"
    if isinstance(value, RegoSet):
        return f"{{{','.join(map(dump, value.items))}}}" if value.items else "set()"
    pairs = pairs_of(value)
    if pairs is None:
        raise TypeError(f"{type(value).__name__} is no Rego value")
    if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
        raise TypeError("an object's keys are texts")
    ordered = sorted(pairs, key=lambda pair: order_key(pair[0]))
    return f"{{{','.join(f'{dump(key)}:{dump(item)}' for key, item in ordered)}}}"


def rego_text(value: Any) -> str:
    """Return *value* as OPA prints it, with a space behind each comma and colon.

    >>> rego_text({"a": [1, RegoSet()]})
    '{"a": [1, set()]}'
    """
    if isinstance(value, list | RegoSet) and len(value):
        opening, closing = "[]" if isinstance(value, list) else "{}"
        return opening + ", ".join(map(rego_text, value)) + closing
    pairs = pairs_of(value)
    if pairs:
        ordered = sorted(pairs, key=lambda pair: order_key(pair[0]))
        inside = ", ".join(f"{rego_text(key)}: {rego_text(item)}" for key, item in ordered)
        return f"{{{inside}}}"
    return dump(value)


def to_json(value: Any) -> Any:
    """Return *value* as plain JSON: sets as lists in OPA's order, keys as strings."""
    if isinstance(value, RegoSet):
        return [to_json(item) for item in value.items]
    if isinstance(value, RegoObject):
        return {k if isinstance(k, str) else dump(to_json(k)): to_json(v) for k, v in value.pairs}
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, Decimal):
        if value == value.to_integral_value() and value.adjusted() < 5000:
            return int(value)
        return float(value)
    return value


STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
"""Write JSON values and nothing that merely resembles one."""


def json_bytes(value: Any) -> bytes:
    """Return *value* as JSON for the module, in which sets are written as Rego literals.

    Raises ValueError for NaN, infinities and lone surrogates, TypeError for what is no JSON value,
    RecursionError for nesting that Python cannot follow. Nothing malformed ever reaches a module:
    it would take it for no input at all (facts/opa-wasm.md, finding 6).
    """
    try:
        raw = orjson.dumps(value, None, STRICT)
    except (TypeError, ValueError):
        # Integers beyond 64 bits, sets, and nesting beyond 254 are ours to write.
        return dump(value).encode("utf-8")
    # What is not a number, it writes as null.
    if b"null" in raw and _has_no_number(value):
        raise ValueError("NaN and the infinities are no JSON numbers")
    return raw


def _has_no_number(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_no_number, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_no_number, value))
