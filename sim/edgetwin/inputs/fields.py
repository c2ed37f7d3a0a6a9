"""Typed access to the mappings of a Kubernetes object; what does not fit becomes a problem."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from edgetwin import units
from edgetwin.errors import Problem, did_you_mean
from edgetwin.inputs.element import Document, place_text
from edgetwin.kubernetes import Pairs, pairs

_LABEL_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(slots=True)
class Findings:
    """What reading manifests has brought to light so far."""

    problems: list[Problem]
    notes: list[str]


@dataclass(slots=True)
class Fields:
    """One mapping of a document, read key by key."""

    document: Document
    findings: Findings
    title: str
    """The object it belongs to, such as ``Deployment retail-api``."""
    steps: tuple[str | int, ...]
    data: dict[str, Any]

    @property
    def line(self) -> int:
        """The line where it stands."""
        return self.document.line(self.steps)

    def add(self, steps: str | Sequence[str | int], found: str, remedy: str = "") -> None:
        """Add a problem at *steps* below this mapping."""
        below = (steps,) if isinstance(steps, str) else tuple(steps)
        path = (*self.steps, *below)
        place = f"{self.title}: {place_text(path)}" if path else self.title
        line = self.document.line(path)
        self.findings.problems.append(Problem(self.document.file, line, place, found, remedy))

    def known(self, keys: Collection[str]) -> None:
        """Take a key that is nearly one of *keys* for a slip, and note any other unknown one."""
        for key in self.data:
            if key in keys:
                continue
            if get_close_matches(key, keys, n=1, cutoff=0.8):
                self.add(key, f"unknown key {key!r}", did_you_mean(key, keys))
            else:
                where = f"{self.document.file}:{self.document.line((*self.steps, key))}"
                place = place_text((*self.steps, key))
                note = f"{where}: {self.title}: {place} is not known here and left out"
                self.findings.notes.append(note)

    def mapping(self, key: str) -> "Fields | None":
        """Return the mapping at *key*, None where there is none."""
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.add(key, f"{shown(value)} is not a mapping", "write its keys below it, indented")
            return None
        return self._below((key,), value)

    def needed(self, key: str, example: str = "") -> "Fields | None":
        """Return the mapping at *key*, which must be there."""
        if self.data.get(key) is None:
            self.add((), f"key {key!r} is missing", f"add '{key}: {example or '...'}'")
            return None
        return self.mapping(key)

    def items(self, key: str) -> list["Fields"]:
        """Return the mappings in the list at *key*; no list is an empty one."""
        found = []
        for place, value in enumerate(self._list(key)):
            if isinstance(value, dict):
                found.append(self._below((key, place), value))
            else:
                self.add((key, place), f"{shown(value)} is not a mapping", "write 'key: value'")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the texts in the list at *key*."""
        found = []
        for place, value in enumerate(self._list(key)):
            if isinstance(value, str):
                found.append(value)
            else:
                self.add((key, place), f"{shown(value)} is not text", "put it in quotes")
        return tuple(found)

    def text(self, key: str, default: str = "", *, required: str = "") -> str:
        """Return the text at *key*; *required* is an example for the message that it is missing."""
        value = self.data.get(key)
        if value is None:
            if required:
                self.add((), f"key {key!r} is missing", f"add '{key}: {required}'")
            return default
        if not isinstance(value, str):
            self.add(key, f"{shown(value)} is not text", "put it in quotes")
            return default
        if required and not value:
            self.add(key, "this is empty", f"write for example {required!r}")
        return value

    def name(self, key: str, default: str = "", *, required: bool = False) -> str:
        """Return the name of an object at *key*, checked as Kubernetes does (RFC 1123)."""
        value = self.text(key, default, required="my-name" if required else "")
        if value and not _NAME.fullmatch(value):
            self.add(key, f"{shown(value)} is not a name", "use a-z, 0-9, '-' and '.'")
        return value

    def choice(self, key: str, options: Collection[str], default: str) -> str:
        """Return the text at *key*, which must be one of *options*."""
        value = self.text(key, default)
        if value in options or value == default:
            return value
        self.add(key, f"{shown(value)} is not known here", did_you_mean(value, options))
        return default

    def whole(self, key: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
        """Return the whole number at *key*."""
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.add(key, f"{shown(value)} is not a whole number", f"write for example {default}")
        elif not least <= value <= most:
            self.add(key, f"{value} is out of range", f"it must be {least} to {most}")
        else:
            return value
        return default

    def flag(self, key: str) -> bool:
        """Return the truth value at *key*; absent is false."""
        value = self.data.get(key)
        if value is not None and not isinstance(value, bool):
            self.add(key, f"{shown(value)} is neither true nor false", "write 'true' or 'false'")
        return value is True

    def plain(self, key: str) -> Pairs:
        """Return the mapping of texts at *key*."""
        below = self.mapping(key)
        if below is None:
            return ()
        texts = {each: below.text(each) for each in below.data}
        return pairs({each: text for each, text in texts.items() if below.data[each] == text})

    def labels(self, key: str) -> Pairs:
        """Return the labels at *key*, each checked as Kubernetes does."""
        found = self.plain(key)
        for name, value in found:
            if not _LABEL_KEY.fullmatch(name):
                self.add((key, name), f"{shown(name)} is not a label", "write for example 'app'")
            if not _LABEL_VALUE.fullmatch(value):
                remedy = "use at most 63 letters, digits, '-', '_' and '.'"
                self.add((key, name), f"{shown(value)} is not a label's value", remedy)
        return found

    def quantity(self, key: str, example: str) -> float | None:
        """Return the Kubernetes quantity at *key* as a number, None where there is none."""
        value = self.data.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self.add(key, f"{shown(value)} is not a quantity", f"write for example '{example}'")
            return None
        try:
            return units.quantity(str(value))
        except ValueError as error:
            found, _, remedy = str(error).partition("; ")
            self.add(key, found, remedy or f"write for example '{example}'")
            return None

    def _list(self, key: str) -> list[Any]:
        value = self.data.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.add(key, f"{shown(value)} is not a list", "begin each item with '- '")
            return []
        return value

    def _below(self, steps: tuple[str | int, ...], data: dict[str, Any]) -> "Fields":
        return Fields(self.document, self.findings, self.title, (*self.steps, *steps), data)


def shown(value: object) -> str:
    """Return *value* as a message quotes it, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
