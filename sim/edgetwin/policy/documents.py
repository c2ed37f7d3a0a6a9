"""What the JSON and YAML files of a bundle say: the manifest, the data, the patch.

Data files sit at any depth: ``/retail/limits/data.json`` is ``data.retail.limits``. Documents that
would swell when they are written out (YAML aliases) or nest without end are refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from edgetwin.policy.errors import BundleError, DataError, ManifestError
from edgetwin.policy.values import number

NODES_MAX = 5_000_000
"""Values in one document, aliases counted as often as they are used. Chosen: 5 million values are
some 64 MB of JSON, the most a member of an archive may have."""

DEPTH_MAX = 500
"""Nesting of one document. Chosen: no policy data is deeper, and Python's own stack holds it."""


@dataclass(frozen=True)
class Manifest:
    """What ``.manifest`` says, with OPA's defaults for what it leaves out."""

    revision: str = ""
    roots: tuple[str, ...] = ("",)
    entrypoints: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    metadata: Any = field(default_factory=dict)


def within(path: str, root: str) -> bool:
    """Tell whether *path* is *root* or lies below it.

    >>> within("retail/authz", "retail"), within("retailer", "retail"), within("retail", "")
    (True, False, True)
    """
    return not root or path == root or path.startswith(root + "/")


def manifest(name: str, raw: bytes | None) -> Manifest:
    """Return the manifest *raw* of the bundle *name*; None is a bundle without one.

    Raises ManifestError if it is not JSON, a key has the wrong type, an entrypoint is listed
    twice or lies outside the roots, or roots overlap.
    """
    if raw is None:
        return Manifest()
    fields = json_document(name, "/.manifest", raw, ManifestError)
    if not isinstance(fields, dict):
        raise ManifestError(name, "/.manifest is not a JSON object")
    revision, roots = fields.get("revision", ""), fields.get("roots")
    wasm = fields.get("wasm") or []
    if not isinstance(revision, str):
        raise ManifestError(name, f"/.manifest: revision is {revision!r}, not a text")
    if roots is None:
        roots = [""]
    if not isinstance(roots, list) or not all(isinstance(root, str) for root in roots):
        raise ManifestError(name, "/.manifest: roots is not a list of paths")
    trimmed = tuple(root.strip("/") for root in roots)
    for place, root in enumerate(trimmed):
        for other in trimmed[:place]:
            if within(root, other) or within(other, root):
                raise ManifestError(name, f"/.manifest: roots {other!r} and {root!r} overlap")
    if not isinstance(wasm, list) or not all(
        isinstance(entry, dict)
        and isinstance(entry.get("entrypoint"), str)
        and isinstance(entry.get("module", ""), str)
        for entry in wasm
    ):
        raise ManifestError(name, "/.manifest: wasm is not a list of {entrypoint, module}")
    entrypoints = [entry["entrypoint"] for entry in wasm]
    for entrypoint in entrypoints:
        if entrypoints.count(entrypoint) > 1:
            raise ManifestError(name, f"/.manifest lists the entrypoint {entrypoint!r} twice")
        if not any(within(entrypoint, root) for root in trimmed):
            raise ManifestError(name, f"/.manifest: entrypoint {entrypoint!r} is outside the roots")
    modules = {"/" + entry.get("module", "/policy.wasm").lstrip("/"): None for entry in wasm}
    metadata = fields.get("metadata") or {}
    return Manifest(revision, trimmed, tuple(entrypoints), tuple(modules), metadata)


def data(name: str, files: Mapping[str, bytes], roots: tuple[str, ...]) -> Any:
    """Return the data document that the data files of the bundle *name* make up.

    Raises DataError for a file that is no JSON or YAML, a document outside *roots*, and two
    files that give one place different values.
    """
    document: Any = {}
    for path in sorted(files):
        folder, _, base = path.rpartition("/")
        if base == "data.json":
            value = json_document(name, path, files[path], DataError)
        elif base in {"data.yaml", "data.yml"}:
            value = yaml_document(name, path, files[path])
        else:
            continue
        keys = [part for part in folder.split("/") if part]
        if not keys and not isinstance(value, dict):
            raise DataError(name, f"{path} is not an object")
        for key in reversed(keys):
            value = {key: value}
        document = _merged(name, path, document, value, "")
    for outside in _outside(document, "", roots):
        raise DataError(name, f"data at {outside!r} is outside the roots {', '.join(roots)}")
    return document


def patch(name: str, files: Mapping[str, bytes]) -> tuple[Mapping[str, Any], ...]:
    """Return the operations of the delta bundle *files*; an empty list means what OPA makes of it.

    Raises DataError if the file is malformed, or the archive holds anything but a delta may.
    """
    extra = sorted(set(files) - {"/patch.json", "/.manifest"})
    if extra:
        raise DataError(name, f"a delta bundle also holds {', '.join(extra)}")
    content = json_document(name, "/patch.json", files["/patch.json"], DataError)
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise DataError(name, "/patch.json is not an object with a list 'data'")
    for place, operation in enumerate(content["data"]):
        if (
            not isinstance(operation, dict)
            or operation.get("op") not in {"upsert", "replace", "remove"}
            or not isinstance(operation.get("path"), str)
            or ("value" not in operation) != (operation["op"] == "remove")
        ):
            raise DataError(
                name,
                f"/patch.json: data[{place}] is no operation",
                "write {op: upsert or replace, path, value} or {op: remove, path}",
            )
    return tuple(content["data"])


def json_document(name: str, path: str, raw: bytes, fault: type[BundleError]) -> Any:
    """Return the JSON document *raw*, numbers exact; raise *fault* with the line if it is none."""
    try:
        return _bounded(
            name, path, json.loads(raw, parse_float=number, parse_constant=_no_constant)
        )
    except (ValueError, RecursionError) as error:
        raise fault(name, f"{path} is not JSON: {error}") from None


def yaml_document(name: str, path: str, raw: bytes) -> Any:
    """Return the YAML document *raw* as JSON; raise DataError with the line if it is none."""
    try:
        return _bounded(name, path, from_yaml(raw.decode("utf-8")))
    except (ValueError, RecursionError) as error:
        raise DataError(name, f"{path} is not YAML: {' '.join(str(error).split())}") from None


class _JsonLoader(yaml.CSafeLoader):
    """YAML as OPA reads it: what JSON has no type for, such as a date, stays text."""


_JsonLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if not tag.endswith(":timestamp")]
    for first, forms in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def from_yaml(text: str) -> Any:
    """Return the YAML *text* as a JSON value.

    >>> from_yaml("a: {1: yes, b: 2024-01-01}")
    {'a': {'1': True, 'b': '2024-01-01'}}

    Raises ValueError if it is not YAML or has no JSON form.
    """
    try:
        loaded = yaml.load(text, Loader=_JsonLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    budget = [NODES_MAX]
    return _as_json(loaded, budget, 0)


def _as_json(value: Any, budget: list[int], depth: int) -> Any:
    budget[0] -= 1
    if budget[0] < 0 or depth > DEPTH_MAX:
        raise ValueError("it unfolds to more than a document may hold")
    if isinstance(value, dict):
        return {_key(key): _as_json(item, budget, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item, budget, depth + 1) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return value
    raise ValueError(f"{value!r} has no JSON form")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str):
        return key
    if isinstance(key, int | float):
        return str(key)
    raise ValueError(f"the key {key!r} has no JSON form")


def _bounded(name: str, path: str, document: Any) -> Any:
    """Return *document* if it nests no deeper than allowed, looking without recursion."""
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > DEPTH_MAX:
            raise DataError(name, f"{path} nests deeper than {DEPTH_MAX} levels")
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        level = below
    return document


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def _merged(name: str, path: str, one: Any, other: Any, place: str) -> Any:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        raise DataError(name, f"{path} gives data{place} a second value")
    result = dict(one)
    for key, value in other.items():
        result[key] = (
            _merged(name, path, result[key], value, f"{place}.{key}") if key in result else value
        )
    return result


def _outside(document: Any, path: str, roots: tuple[str, ...]) -> list[str]:
    """Return the first place of *document* that none of *roots* owns, as a list of none or one."""
    if any(within(path, root) for root in roots):
        return []
    if not isinstance(document, dict) or not any(within(root, path) for root in roots):
        return [path]
    for key in document:
        found = _outside(document[key], f"{path}/{key}".lstrip("/"), roots)
        if found:
            return found
    return []
