"""The Failure Trace Archive: ``event_trace.tab``, a row an interval of availability or not."""

from __future__ import annotations

from collections.abc import Sequence

from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.instants import epoch_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source
from edgetwin.units import SECOND_US

NAME = "fta"
WHAT = "event_trace.tab of the Failure Trace Archive"

_NODE, _TYPE, _START, _END, _REASON = 4, 5, 6, 7, 8
ERR_US = 5 * SECOND_US
"""Resolution of Grid'5000, the archive's largest trace: data/grid5000-fta."""


def recognises(source: Source) -> bool:
    lines = [line for line in source.head.splitlines()[:20] if line.strip()]
    if lines and lines[0].startswith("#") and "event_start_time" in lines[0]:
        return True
    first = next((line for line in lines if not line.startswith("#")), "").split()
    return len(first) >= 8 and first[_TYPE] in ("0", "1") and first[_START].isdigit()


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    down: dict[str, list[tuple[int, int, str]]] = {}
    watched: dict[str, list[int]] = {}
    for source in sources:
        for number, line in enumerate(source.text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            gathered.rows += 1
            cells = line.split()
            try:
                node, kind = cells[_NODE], cells[_TYPE]
                start, end = epoch_us(cells[_START], "s"), epoch_us(cells[_END], "s")
            except (IndexError, ValueError) as fault:
                gathered.reject(source, number, "", f"not a row of nine columns: {fault}")
                continue
            if kind not in ("0", "1"):
                found = f"unknown event_type {kind!r}"
                gathered.reject(source, number, "event_type", found, "0 is down, 1 is up")
                continue
            if end < start:
                gathered.reject(source, number, "event_stop_time", "ends before it starts")
                gathered.unknown(node, end, start)
                continue
            span = watched.setdefault(node, [start, end])
            span[0], span[1] = min(span[0], start), max(span[1], end)
            if kind == "0" and end == start:
                gathered.leave_out(source, number, "", f"{node}: has no length")
            elif kind == "0":
                reason = cells[_REASON] if len(cells) > _REASON else ""
                down.setdefault(node, []).append((start, end, "" if reason == "NULL" else reason))
    for node in sorted(watched):
        first, last = watched[node]
        if last > first:
            gathered.watched_only(node, first, last)
        gathered.groups[node] = node.rpartition("/")[0] or node
        for start, end, reason in down.get(node, ()):
            # Down at its first or last instant: nobody saw it begin, or end.
            letters = "L" * (start == first) + "R" * (end == last)
            gathered.down(
                node, start, end, kind="node", cause=reason, censored=letters,
                err_us=(ERR_US, ERR_US),
            )  # fmt: skip
