"""Built-ins over arrays, sets, objects and graphs."""

from collections.abc import Callable
from typing import Any

from edgetwin.policy.builtins import operands
from edgetwin.policy.builtins.patch import json_patch
from edgetwin.policy.values import RegoSet, equal, order_key, pairs_of, type_name


def _lookup(pairs: list[tuple[Any, Any]]) -> dict[tuple[Any, ...], Any]:
    return {order_key(key): value for key, value in pairs}


def flatten(value: Any) -> list[Any]:
    """``array.flatten``: one level."""
    flat: list[Any] = []
    for item in operands.array(value):
        flat.extend(item if isinstance(item, list) else [item])
    return flat


def set_diff(one: Any, other: Any) -> RegoSet:
    """``set_diff``, the old name of ``-`` on sets."""
    if not isinstance(one, RegoSet) or not isinstance(other, RegoSet):
        raise operands.wrong(one if not isinstance(one, RegoSet) else other, "set")
    without = {order_key(item) for item in other}
    return RegoSet(item for item in one if order_key(item) not in without)


def subset(whole: Any, part: Any) -> bool:
    """``object.subset``: objects in depth, sets by element, arrays as an unbroken run."""
    kinds = type_name(whole), type_name(part)
    if kinds == ("object", "object"):
        return _object_subset(whole, part)
    if kinds == ("set", "set") or kinds == ("array", "set"):
        keys = {order_key(item) for item in whole}
        return all(order_key(item) in keys for item in part)
    if kinds == ("array", "array"):
        return _run(whole, part)
    raise ValueError("both arguments object.subset must be of the same type or array and set")


def _object_subset(whole: Any, part: Any) -> bool:
    values = _lookup(pairs_of(whole) or [])
    for key, wanted in pairs_of(part) or []:
        if order_key(key) not in values:
            return False
        found = values[order_key(key)]
        if equal(found, wanted):
            continue
        kinds = {type_name(found), type_name(wanted)}
        if len(kinds) > 1 or not kinds <= {"object", "set", "array"} or not subset(found, wanted):
            return False
    return True


def _run(whole: list[Any], part: list[Any]) -> bool:
    keys, wanted = [order_key(item) for item in whole], [order_key(item) for item in part]
    return any(keys[at : at + len(wanted)] == wanted for at in range(len(keys) - len(wanted) + 1))


def _neighbours(edges: Any) -> list[Any]:
    return list(edges) if isinstance(edges, list | RegoSet) else []


def reachable_paths(graph: Any, roots: Any) -> RegoSet:
    """``graph.reachable_paths``: every path from *roots* to an end or to where it would repeat."""
    edges = _lookup(operands.mapping(graph))
    paths: list[list[Any]] = []

    def walk(node: Any, path: list[Any], seen: frozenset[Any]) -> None:
        key = order_key(node)
        if key not in edges:
            paths.append(path)
            return
        path = [*path, node]
        following = _neighbours(edges[key])
        if not following:
            paths.append(path)
        for neighbour in following:
            if order_key(neighbour) in seen | {key}:
                paths.append(path)
            else:
                walk(neighbour, path, seen | {key})

    for root in operands.items(roots):
        key = order_key(root)
        if key not in edges:
            continue
        following = _neighbours(edges[key])
        if not following:
            paths.append([root])
        for neighbour in following:
            walk(neighbour, [root], frozenset({key}))
    return RegoSet(paths)


def cast_array(value: Any) -> list[Any]:
    """``cast_array``."""
    return list(operands.items(value))


def cast_set(value: Any) -> RegoSet:
    """``cast_set``."""
    return RegoSet(operands.items(value))


def _cast(*kinds: str) -> Callable[[Any], Any]:
    def cast(value: Any) -> Any:
        if type_name(value) not in kinds:
            raise operands.wrong(value, *kinds)
        return value

    return cast


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "array.flatten": flatten,
    "set_diff": set_diff,
    "object.subset": subset,
    "graph.reachable_paths": reachable_paths,
    "json.patch": json_patch,
    "cast_array": cast_array,
    "cast_set": cast_set,
    "cast_string": _cast("string"),
    "cast_boolean": _cast("boolean"),
    "cast_null": _cast("null"),
    "cast_object": _cast("object"),
}
