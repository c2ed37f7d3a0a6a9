"""``json.patch``: RFC 6902 over Rego values, in which a path may also go through sets."""

from typing import Any

from edgetwin.policy.builtins import operands
from edgetwin.policy.values import RegoObject, RegoSet, equal, make_object, pairs_of


def json_patch(document: Any, operations: Any) -> Any:
    """Return *document* after *operations*, in order; a ValueError if one cannot be applied."""
    for operation in operands.array(operations):
        document = _applied(document, operands.record(operation))
    return document


def _applied(document: Any, operation: dict[str, Any]) -> Any:
    name, path = operands.text(_attribute(operation, "op")), _path(_attribute(operation, "path"))
    if name == "add":
        return _insert(document, path, _attribute(operation, "value"))
    if name == "remove":
        return _remove(document, path)
    if name == "replace":
        removed = _remove(document, path) if path else None
        return _insert(removed, path, _attribute(operation, "value"))
    if name in {"move", "copy"}:
        source = _path(_attribute(operation, "from"))
        value = _get(document, source)
        if name == "move":
            document = _remove(document, source) if source else None
        return _insert(document, path, value)
    if name == "test":
        if not equal(_get(document, path), _attribute(operation, "value")):
            raise ValueError("value from JSON-Patch test operation does not match")
        return document
    raise ValueError(f"unrecognized op {name!r}")


def _attribute(operation: dict[str, Any], name: str) -> Any:
    if name not in operation:
        raise ValueError(f"missing required attribute {name!r}")
    return operation[name]


def _path(path: Any) -> list[Any]:
    """Return the keys of a path: a JSON pointer, its first slash optional, or an array of keys."""
    if isinstance(path, list):
        return path
    pointer = operands.text(path)
    if not pointer:
        return []
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.lstrip("/").split("/")]


def _index(key: Any, size: int) -> int:
    """Return the place *key* in an array of *size*; ``-`` is the end."""
    if key == "-":
        return size
    if isinstance(key, str):
        if not key.isdecimal() or (len(key) > 1 and key[0] == "0"):
            raise ValueError(f"{key!r} is no index")
        key = int(key)
    index = operands.integer(key)
    if not 0 <= index <= size:
        raise ValueError(f"index {index} is outside the array")
    return index


def _child(document: Any, key: Any) -> Any:
    pairs = pairs_of(document)
    if pairs is not None:
        candidates = [value for name, value in pairs if equal(name, key)]
    elif isinstance(document, list):
        index = _index(key, len(document))
        candidates = document[index : index + 1]
    elif isinstance(document, RegoSet):
        candidates = [item for item in document if equal(item, key)]
    else:
        raise ValueError("a path cannot go into a scalar")
    if not candidates:
        raise ValueError(f"path {key!r} does not exist")
    return candidates[0]


def _get(document: Any, path: list[Any]) -> Any:
    for key in path:
        document = _child(document, key)
    return document


def _replaced(document: Any, key: Any, value: Any) -> Any:
    """Return *document* with what is at the existing *key* replaced by *value*."""
    pairs = pairs_of(document)
    if pairs is not None:
        return make_object((name, value if equal(name, key) else old) for name, old in pairs)
    if isinstance(document, list):
        index = _index(key, len(document))
        return [*document[:index], value, *document[index + 1 :]]
    return RegoSet([*(item for item in document if not equal(item, key)), value])


def _insert(document: Any, path: list[Any], value: Any) -> Any:
    if not path:
        return value
    key, rest = path[0], path[1:]
    if rest:
        return _replaced(document, key, _insert(_child(document, key), rest, value))
    if isinstance(document, list):
        index = _index(key, len(document))
        return [*document[:index], value, *document[index:]]
    if isinstance(document, RegoSet):
        if not equal(key, value):
            raise ValueError("the key in a set is the value itself")
        return RegoSet([*document, value])
    if isinstance(document, dict | RegoObject):
        kept = [(name, old) for name, old in pairs_of(document) or [] if not equal(name, key)]
        return make_object([*kept, (key, value)])
    raise ValueError("a path cannot go into a scalar")


def _remove(document: Any, path: list[Any]) -> Any:
    if not path:
        raise ValueError("the whole document cannot be removed")
    key, rest = path[0], path[1:]
    child = _child(document, key)
    if rest:
        return _replaced(document, key, _remove(child, rest))
    pairs = pairs_of(document)
    if pairs is not None:
        return make_object((name, old) for name, old in pairs if not equal(name, key))
    if isinstance(document, list):
        index = _index(key, len(document))
        return [*document[:index], *document[index + 1 :]]
    return RegoSet(item for item in document if not equal(item, key))
