"""Tables that need a rule of their own: utilities, operators and node logs with blame columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.outage_table import Row, take_rows
from edgetwin.inputs.records.source import Source

Fields = dict[str, str]


class IncidentTable:
    """One such table: what it is recognised by, and how a row is read."""

    def __init__(
        self, name: str, what: str, needed: Sequence[str], rows: Callable[[Source], Iterator[Row]]
    ) -> None:
        self.NAME, self.WHAT = name, what
        self._needed, self._rows = frozenset(needed), rows

    def recognises(self, source: Source) -> bool:
        return self._needed <= set(source.headings)

    def take(self, sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
        for source in sources:
            width = len(source.headings)
            assert source.table is not None
            for line, cells in source.table.rows:
                if len(cells) != width:
                    gathered.rows += 1
                    found = f"{len(cells)} cells under {width} headings"
                    gathered.reject(source, line, "", found, "complete or remove the row")
            take_rows(gathered, source, list(self._rows(source)), options)


def _fields(source: Source) -> Iterator[tuple[int, Fields]]:
    """Yield the line and the cells by heading of every complete row."""
    assert source.table is not None
    for line, cells in source.table.rows:
        if len(cells) == len(source.headings):
            yield line, dict(zip(source.headings, cells, strict=True))


_BLAME = ("facilities", "hardware", "human error", "network", "undetermined", "software")
_POWER_WORDS = ("power outage", "power spike", "ups")


def _node_log(source: Source) -> Iterator[Row]:
    """Node failures with blame columns (Los Alamos); times are local, to the minute."""
    for line, row in _fields(source):
        blame = next((heading for heading in _BLAME if row.get(heading)), "")
        detail = row.get(blame, "")
        kind = "network" if blame == "network" else "node"
        if blame == "facilities" and detail.lower() in _POWER_WORDS:
            kind = "power"
        yield Row(
            line, f"sys{row['system']}-n{row['nodenumz']}", row["prob started"], row["prob fixed"],
            kind, f"{blame}:{detail}".lower().replace(" ", "_") if blame else "", "", "60", "60",
        )  # fmt: skip


def _utility(source: Source) -> Iterator[Row]:
    """Power outages a municipality (BC Hydro); the end is when the row left the page."""
    for line, row in _fields(source):
        cause = row["cause"].lower().replace(" ", "_")
        kind = "planned" if "planned" in cause else "power"
        # Half the scrape gaps are under 22 min, nine tenths under 75: data/bchydro-power-2024.
        yield Row(line, row["municipality"], row["dateoff"], row["dateon"], kind, cause, "",
                  "60", "4500")  # fmt: skip


BULK_ROWS = 10
"""Rows with one end time, from which on it is a clean-up and no repair: data/telecom-sweden."""


def _operator(source: Source) -> Iterator[Row]:
    """Incidents of a mobile operator, scraped: ends may be missing, estimated or a clean-up's."""
    rows = list(_fields(source))
    ends = Counter(row["end time"] for _, row in rows)
    for line, row in rows:
        site = f"{row['operator']}/{row['region']}".rstrip("/")
        start, end, letters, error = row["start time"], row["end time"], "", "60"
        bulk = ends[end] >= BULK_ROWS
        if not end or bulk or _before(end, start):
            estimate = row.get("estimated fix time", "")
            if estimate and not _before(estimate, start):
                end, letters, error = estimate, "E", "86400"
            else:
                # Still open when it was last seen: nobody knows its end.
                end, letters, error = row.get("updated at", ""), "R", "0"
        yield Row(line, site, start, end, "cellular", row.get("severity", ""), letters, "60", error)


def _before(end: str, start: str) -> bool:
    """Tell whether the ISO time *end* is not after *start*, however its parts are separated."""
    return end.replace(" ", "T")[:19] <= start.replace(" ", "T")[:19]


TABLES = (
    IncidentTable(
        "node-log", "node failures with blame columns (Los Alamos): Prob Started, Prob Fixed",
        ("system", "nodenumz", "prob started", "prob fixed"), _node_log,
    ),
    IncidentTable(
        "utility", "power outages of a utility: municipality, cause, dateOff, dateOn",
        ("municipality", "cause", "dateoff", "dateon"), _utility,
    ),
    IncidentTable(
        "operator", "incidents of a mobile operator: operator, region, start_time, end_time",
        ("incident id", "operator", "region", "start time", "end time"), _operator,
    ),
)  # fmt: skip
