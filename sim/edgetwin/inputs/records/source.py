"""The bytes of an export become text, JSON or a table, within limits, with lines to point at."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from edgetwin.errors import Problem, ScenarioError

FILE_BYTES_MAX = 256 * 1024 * 1024
"""Largest export that is read, after decompression. Chosen: 25 times the largest file met
(data/bchydro-power-2024, 9.5 MB), and a gzip bomb stops here."""

HEAD_CHARS = 65_536
"""What a format is recognised by. Chosen: the first events of any export fit in it."""


@dataclass(frozen=True)
class Table:
    """A delimited file: its headings, and its rows with their line numbers."""

    headings: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    delimiter: str


@dataclass
class Source:
    """One file of an export."""

    name: str
    """As the user wrote it: problems point at it."""
    text: str = field(repr=False)

    @property
    def stem(self) -> str:
        """The file's name without folder, ``.gz`` and extension."""
        name = Path(self.name).name.removesuffix(".gz")
        return name[: name.rindex(".")] if "." in name[1:] else name

    @property
    def head(self) -> str:
        return self.text[:HEAD_CHARS]

    @cached_property
    def first_line(self) -> str:
        return next((line for line in self.head.splitlines() if line.strip()), "")

    @property
    def looks_like_json(self) -> bool:
        """Whether it is JSON, or a JSON object a line whose first line may be damaged."""
        second = self.head.lstrip().partition("\n")[2].lstrip()
        return self.head.lstrip()[:1] in ("{", "[") or second.startswith('{"')

    @cached_property
    def json(self) -> Any:
        """The file as one JSON document, or, where it is one object a line, a list of them.

        Raises ScenarioError where it is neither, with the line at which it breaks off.
        """
        import orjson

        try:
            return orjson.loads(self.text)
        except orjson.JSONDecodeError:
            pass
        lines = [(n, line) for n, line in enumerate(self.text.splitlines(), 1) if line.strip()]
        if len(lines) < 2 or not any(_is_object(line) for _, line in lines[:5]):
            try:
                json.loads(self.text)
            except (json.JSONDecodeError, RecursionError) as fault:
                line = getattr(fault, "lineno", 0)
                raise self.wrong(
                    line, f"not valid JSON: {getattr(fault, 'msg', 'nested too deeply')}",
                    "the export is cut off or damaged; export it again",
                ) from None  # fmt: skip
            raise self.wrong(0, "not valid JSON", "export it again")
        return NumberedObjects(self._json_lines(lines))

    @staticmethod
    def _json_lines(lines: list[tuple[int, str]]) -> list[tuple[int, Any]]:
        import orjson

        objects: list[tuple[int, Any]] = []
        for number, line in lines:
            try:
                objects.append((number, orjson.loads(line)))
            except orjson.JSONDecodeError as fault:
                objects.append((number, fault))
        return objects

    @cached_property
    def table(self) -> Table | None:
        """The file as a delimited table with headings, or None where it has no delimiter."""
        line = self.first_line
        if not line or self.looks_like_json:
            return None
        counts = {delimiter: line.count(delimiter) for delimiter in (",", ";", "\t", "|")}
        delimiter = max(counts, key=lambda key: counts[key])
        if counts[delimiter] == 0:
            return None
        # The first record only: data rows are read when an importer asks.
        reader = csv.reader(self.text.splitlines(), delimiter=delimiter, skipinitialspace=True)
        rows: list[tuple[int, tuple[str, ...]]] = []
        try:
            rows.extend(
                (reader.line_num, tuple(cell.strip() for cell in row))
                for row in reader
                if any(cell.strip() for cell in row)
            )
        except csv.Error as fault:
            raise self.wrong(reader.line_num, f"not a table: {fault}", "export it again") from None
        return Table(rows[0][1], tuple(rows[1:]), delimiter) if rows else None

    @property
    def headings(self) -> tuple[str, ...]:
        """The table's headings in lower case, with blanks for underscores; none if no table."""
        return tuple(map(plain_heading, self.table.headings)) if self.table else ()

    def wrong(self, line: int, found: str, remedy: str, place: str = "") -> ScenarioError:
        """Return the error that says what is wrong with this file as a whole."""
        return ScenarioError([Problem(self.name, line, place, found, remedy)])


def _is_object(line: str) -> bool:
    """Tell whether *line* is a JSON object by itself."""
    import orjson

    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


class NumberedObjects(list[tuple[int, Any]]):
    """The objects of a file with one JSON object a line: (line number, object or its error)."""


def plain_heading(heading: str) -> str:
    """Return *heading* as synonyms are compared: lower case, single blanks, no underscores.

    >>> plain_heading(" Down_At "), plain_heading("Ausfall  von")
    ('down at', 'ausfall von')
    """
    return " ".join(heading.lower().replace("_", " ").replace("-", " ").split())


def open_source(path: Path) -> Source:
    """Return the text of the export at *path*, plain or gzip.

    Raises ScenarioError if it can't be read, is too large, is no text, or is a web page.
    """
    name = str(path)

    def wrong(found: str, remedy: str, line: int = 0) -> ScenarioError:
        return ScenarioError([Problem(name, line, "", found, remedy)])

    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as fault:
        raise wrong(f"cannot be read: {fault.strerror}", "check the path") from None
    if raw[:2] == b"\x1f\x8b":
        raw = b"".join(_gunzip(raw, wrong))
    if len(raw) > FILE_BYTES_MAX:
        limit = FILE_BYTES_MAX // 1024**2
        raise wrong(f"more than {limit} MiB", "split the export into shorter windows")
    if raw[:16] == b"SQLite format 3\x00":
        raise wrong(
            "a SQLite database, not an export",
            "for Uptime Kuma: sqlite3 -json kuma.db 'select m.name, h.status, h.time, h.duration "
            "from heartbeat h join monitor m on m.id = h.monitor_id' > heartbeats.json",
        )
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        raise wrong("not UTF-8 text", "save or export the file as UTF-8", line) from None
    if not text.strip():
        raise wrong("the file is empty", "export it again")
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise wrong("not a text file", "give the export itself", line)
    start = text.lstrip()[:256].lower()
    if start.startswith(("<!doctype html", "<html")) or "<head" in start:
        raise wrong(
            "a web page, not an export",
            "the server answered with a login or error page; check the address and the token",
        )
    return Source(name, text)


def _gunzip(raw: bytes, wrong: Any) -> Iterator[bytes]:
    """Decompress the members of *raw* piece by piece, and stop at the limit."""
    total, rest = 0, raw
    while rest[:2] == b"\x1f\x8b":
        member = zlib.decompressobj(wbits=31)
        try:
            while not member.eof:
                piece = member.decompress(rest, 1 << 20)
                rest = member.unconsumed_tail if not member.eof else member.unused_data
                if not piece and not rest and not member.eof:
                    raise wrong("the gzip file is cut off", "copy or export it again")
                total += len(piece)
                if total > FILE_BYTES_MAX:
                    limit = FILE_BYTES_MAX // 1024**2
                    raise wrong(
                        f"more than {limit} MiB after decompression",
                        "split the export into shorter windows",
                    )
                yield piece
        except zlib.error as fault:
            raise wrong(f"not a sound gzip file: {fault}", "copy or export it again") from None
