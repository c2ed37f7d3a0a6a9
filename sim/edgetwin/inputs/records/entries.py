"""The entries of a JSON export, one by one, with a place to point at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.source import NumberedObjects, Source


class Entry(NamedTuple):
    """One object of an export."""

    line: int
    """0 where the file is one document."""
    place: str
    fields: Mapping[str, Any]

    def text(self, *keys: str) -> str:
        """Return the first of *keys* that holds something, as text; empty if none does."""
        for key in keys:
            value = self.fields.get(key)
            if value is not None and value != "" and not isinstance(value, dict | list):
                return str(value)
        return ""

    def inner(self, key: str) -> Mapping[str, Any]:
        """Return the object under *key*; an empty one if there is none."""
        value = self.fields.get(key)
        return value if isinstance(value, dict) else {}

    def objects(self, key: str) -> list[Mapping[str, Any]]:
        """Return the objects in the list under *key*."""
        value = self.fields.get(key)
        return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def listed(document: Any, keys: Sequence[str]) -> tuple[str, list[Any]] | None:
    """Return the list that *document* is or holds under one of *keys*, and its key."""
    if isinstance(document, list):
        return "", document
    if isinstance(document, dict):
        for key in keys:
            if isinstance(document.get(key), list):
                return key, document[key]
    return None


def entries(source: Source, gathered: Gathered, *keys: str) -> Iterator[Entry]:
    """Yield the objects of *source*: one a line, or in a list, or in a list under one of *keys*.

    What is no object is refused, by its place. Raises ScenarioError if there is no list.
    """
    document = source.json
    if isinstance(document, NumberedObjects):
        for line, item in document:
            gathered.rows += 1
            if isinstance(item, dict):
                yield Entry(line, "", item)
            else:
                found = "cut off or damaged" if isinstance(item, Exception) else "no object"
                gathered.reject(source, line, "", found, "export it again")
        return
    found_list = listed(document, keys)
    if found_list is None and isinstance(document, dict):
        found_list = ("", [document])
    if found_list is None:
        raise source.wrong(0, "neither an object nor a list of objects", "export it again")
    key, items = found_list
    for k, item in enumerate(items):
        gathered.rows += 1
        if isinstance(item, dict):
            yield Entry(0, f"{key}[{k}]", item)
        else:
            gathered.reject(source, 0, f"{key}[{k}]", f"{item!r:.40} is no object")


def first_object(source: Source, *keys: str) -> Mapping[str, Any]:
    """Return the first object of the export, to recognise it by; an empty one if there is none."""
    from edgetwin.errors import ScenarioError

    if not source.looks_like_json:
        return {}
    try:
        document = source.json
    except ScenarioError:
        return {}
    if isinstance(document, NumberedObjects):
        return next((item for _, item in document if isinstance(item, dict)), {})
    found = listed(document, keys)
    if found is None:
        return document if isinstance(document, dict) else {}
    return next((item for item in found[1] if isinstance(item, dict)), {})
