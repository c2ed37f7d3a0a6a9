"""Changes to a data document: what a delta bundle asks for, applied without touching the rest.

A document is never changed in place: whoever holds the old one keeps it.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote


class PatchFault(ValueError):  # noqa: N818
    """An operation that cannot be applied; the text names its path."""


def split_path(path: str) -> list[str]:
    """Return the keys of a patch path: ``/a/b%2Fc~1d`` is a, then b/c/d.

    >>> split_path("/a/b%2Fc~1d"), split_path("/")
    (['a', 'b/c/d'], [])
    """
    trimmed = path.strip("/")
    if not trimmed:
        return []
    return [unquote(part).replace("~1", "/").replace("~0", "~") for part in trimmed.split("/")]


def apply_operations(document: Any, operations: Iterable[Mapping[str, Any]]) -> Any:
    """Return *document* after *operations*, each with ``op``, ``path`` and ``value``, in order.

    ``upsert`` makes the objects on its way that are missing and inserts into arrays, ``replace``
    and ``remove`` want the place to be there. Raises PatchFault, and then nothing is applied.
    """
    for operation in operations:
        keys = split_path(operation["path"])
        document = _applied(document, keys, operation["op"], operation.get("value"), "")
    return document


def _applied(document: Any, keys: list[str], op: str, value: Any, place: str) -> Any:
    if not keys:
        if op == "remove":
            raise PatchFault("the whole document cannot be removed")
        return value
    key, rest = keys[0], keys[1:]
    here = f"{place}/{key}"
    if isinstance(document, dict):
        return _in_object(document, key, rest, op, value, here)
    if isinstance(document, list):
        return _in_array(document, key, rest, op, value, here)
    raise PatchFault(f"{here}: {place or '/'} is neither an object nor an array")


def _in_object(
    document: dict[str, Any], key: str, rest: list[str], op: str, value: Any, here: str
) -> dict[str, Any]:
    if key not in document and op != "upsert":
        raise PatchFault(f"{here} is not there to {op}")
    changed = dict(document)
    if op == "remove" and not rest:
        del changed[key]
    else:
        changed[key] = _applied(document.get(key, {}), rest, op, value, here)
    return changed


def _in_array(
    document: list[Any], key: str, rest: list[str], op: str, value: Any, here: str
) -> list[Any]:
    appends = op == "upsert" and not rest and key in {"-", str(len(document))}
    index = len(document) if appends else int(key) if key.isdecimal() else -1
    if not appends and not 0 <= index < len(document):
        raise PatchFault(f"{here} is no place in an array of {len(document)}")
    changed = list(document)
    if rest:
        changed[index] = _applied(document[index], rest, op, value, here)
    elif op == "remove":
        del changed[index]
    elif op == "upsert":
        changed.insert(index, value)
    else:
        changed[index] = value
    return changed


def touched(document: Any, path: str) -> list[str]:
    """Return the longest start of *path* that only goes through objects of *document*.

    The module can set a value below objects; a change inside an array is a new array to it.
    """
    reached: list[str] = []
    for key in split_path(path):
        if not isinstance(document, dict):
            break
        reached.append(key)
        document = document.get(key)
    return reached
