"""The parts of a YAML document, each with its line, and how messages name them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Steps = Sequence[str | int]
"""A way down a document: keys of mappings, positions in lists."""


@dataclass(slots=True)
class Element:
    """A value of a document, the line it begins in, and what lies in it."""

    line: int
    """Counted from 1."""
    data: Any
    """Plain text, numbers, truth values, None, lists and dictionaries with text keys."""
    members: dict[str, "Element"] | list["Element"] | None = None
    """By key or in order; None for a scalar."""
    key_lines: dict[str, int] = field(default_factory=dict)
    """Of a mapping: the line of each key."""
    count: int = 1
    """Elements in it, itself included, as if every alias were written out."""
    depth: int = 1
    """Levels in it, itself included."""

    def at(self, path: Steps) -> "Element | None":
        """Return the element at *path* below this one, None if there is none."""
        element: Element | None = self
        for step in path:
            members = element.members if element else None
            if isinstance(members, dict):
                element = members.get(str(step))
            elif isinstance(members, list) and isinstance(step, int):
                element = members[step] if 0 <= step < len(members) else None
            else:
                return None
        return element


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document of a file."""

    file: str
    """As messages name it."""
    root: Element

    @property
    def data(self) -> Any:
        """The whole document as plain data; shared parts are shared objects."""
        return self.root.data

    def line(self, path: Steps) -> int:
        """Return the line where *path* stands: of its key, or of the item of a list.

        A step that does not exist (a missing key, the tag of a union in a pydantic location) is
        skipped, so that the nearest element around it is found.
        """
        element, line = self.root, self.root.line
        for step in path:
            inner = element.at((step,))
            if inner is None:
                continue
            line = element.key_lines.get(str(step), inner.line)
            element = inner
        return line

    def lines(self) -> "Lines":
        """Return the mapping from dotted places to lines."""
        return Lines(self)


@dataclass(frozen=True, slots=True)
class Lines(Mapping[str, int]):
    """Places such as ``sites.store.count`` to their lines; reckoned when asked for."""

    document: Document

    def __getitem__(self, place: str) -> int:
        element, line = self.document.root, self.document.root.line
        for step in _steps(element, place):
            inner = element.at((step,))
            if inner is None:
                raise KeyError(place)
            line = element.key_lines.get(str(step), inner.line)
            element = inner
        return line

    def __iter__(self) -> Iterator[str]:
        stack = [("", self.document.root)]
        while stack:
            place, element = stack.pop()
            members = element.members
            pairs = members.items() if isinstance(members, dict) else enumerate(members or ())
            below = [(place_text((place, step) if place else (step,)), e) for step, e in pairs]
            yield from (inner for inner, _ in below)
            stack.extend(reversed(below))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _steps(root: Element, place: str) -> list[str | int]:
    """Split *place* at dots and brackets; keys that contain dots are tried at full length first."""
    steps: list[str | int] = []
    element: Element | None = root
    rest = place
    while rest and element is not None:
        if bracket := re.match(r"\[(\d+)\]\.?", rest):
            step: str | int = int(bracket[1])
            rest = rest[bracket.end() :]
        else:
            keys = element.members if isinstance(element.members, dict) else {}
            fitting = [key for key in keys if re.match(rf"{re.escape(key)}(?:[.\[]|$)", rest)]
            step = max(fitting, key=len, default=rest)
            rest = rest[len(step) :].removeprefix(".")
        steps.append(step)
        element = element.at((step,))
    return steps


def place_text(path: Steps) -> str:
    """Return *path* as messages show it.

    >>> place_text(["sites", "store", "uplinks", 0, "latency"])
    'sites.store.uplinks[0].latency'
    """
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
