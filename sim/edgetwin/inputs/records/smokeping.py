"""Smokeping: what ``rrdtool fetch FILE AVERAGE|MAX`` prints, one file a site."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.instants import epoch_us
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.sampled import common_step_us, samples
from edgetwin.inputs.records.source import Source
from edgetwin.units import HOUR_US

NAME = "smokeping"
WHAT = "rrdtool fetch of a Smokeping RRD (5-minute rows), one file a site"

LOST_OF_20 = 15.0
"""Pings lost of 20 from which a slot is down: facts/traces.md, 2."""

_ROW = re.compile(r"\s*(\d+):((?:\s+\S+)+)\s*")
_STEM = re.compile(r"(?:rrdtool_fetch_)?(.*?)(?:[._-](?:AVERAGE|MAX))?")


def recognises(source: Source) -> bool:
    lines = [line for line in source.head.splitlines() if line.strip()][:2]
    names = lines[0].split() if lines else []
    return len(lines) == 2 and "loss" in names and _ROW.fullmatch(lines[1]) is not None


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    limit = LOST_OF_20 if options.above is None else options.above
    sighted: dict[str, dict[int, str]] = {}
    for source in sources:
        lines = source.text.splitlines()
        head = next(k for k, line in enumerate(lines) if line.strip())
        names = lines[head].split()
        if "loss" not in names:
            raise source.wrong(head + 1, "no column 'loss'", "fetch a Smokeping RRD")
        match = _STEM.fullmatch(source.stem)
        site = options.site or (match[1] if match else source.stem)
        states = sighted.setdefault(site, {})
        for number, line in enumerate(lines[head + 1 :], head + 2):
            if line.strip():
                gathered.rows += 1
                _take_row(source, number, line, names, limit, states, gathered)
    for site in sorted(sighted):
        times = sorted(sighted[site])
        step = options.step_us or common_step_us(times)
        if step and step >= HOUR_US:
            gathered.note(f"{site}: averages over an hour or more hide short outages; fetch 300 s")
        samples(gathered, site, sighted[site].items(), step_us=step)


def _take_row(
    source: Source, number: int, line: str, names: Sequence[str], limit: float,
    states: dict[int, str], gathered: Gathered,
) -> None:  # fmt: skip
    match = _ROW.fullmatch(line)
    cells = match[2].split() if match else []
    if match is None or len(cells) != len(names):
        gathered.reject(source, number, "", "not epoch: and a value a column", "fetch it again")
        return
    try:
        at_us, loss = epoch_us(match[1], "s"), float(cells[names.index("loss")])
    except ValueError as fault:
        gathered.reject(source, number, "", str(fault))
        return
    state = "unknown" if loss != loss else "down" if loss >= limit else "up"
    # The MAX of a slot outweighs its AVERAGE: any state that is worse stays.
    if states.get(at_us) != "down":
        states[at_us] = state if states.get(at_us) != "up" or state == "down" else "up"
