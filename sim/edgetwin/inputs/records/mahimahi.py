"""mahimahi: one line a delivery opportunity, in milliseconds since the trace began."""

from __future__ import annotations

from collections.abc import Sequence

from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import Source
from edgetwin.units import SECOND_US

NAME = "mahimahi"
WHAT = "delivery opportunities of a cellular link (.up, .down); gaps of a second are outages"

GAP_US = SECOND_US
"""Silence that counts as an outage: facts/traces.md, 2."""

_MS_MAX = 100_000_000
"""Longer than a day: then the lines are epochs, not milliseconds since the start."""


def recognises(source: Source) -> bool:
    lines = source.head.split()[:200]
    return len(lines) > 1 and all(line.isdigit() and int(line) < _MS_MAX for line in lines[:-1])


def opportunities_ms(source: Source, gathered: Gathered | None = None) -> list[int]:
    """Return the milliseconds at which a packet may leave, in order.

    Lines that are no such number are refused by *gathered*; without one they raise ScenarioError.
    """
    times: list[int] = []
    for number, line in enumerate(source.text.splitlines(), 1):
        text = line.strip()
        if text.isdigit() and len(text) < 10:
            times.append(int(text))
        elif text and gathered is not None:
            gathered.reject(source, number, "", f"{text[:40]!r} is no millisecond")
        elif text:
            raise source.wrong(number, f"{text[:40]!r} is no millisecond", "give a mahimahi trace")
    if times != sorted(times):
        if gathered is not None:
            gathered.note(f"{source.name}: its lines are not in order; sorted")
        times.sort()
    return times


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    gap_ms = (options.gap_us or GAP_US) // 1000
    for source in sources:
        site = options.site or _site(source)
        times = opportunities_ms(source, gathered)
        gathered.rows += len(times)
        gathered.site(site)
        if not times:
            continue
        gathered.watched_only(site, 0, max(times[-1], 1) * 1000)
        last = -1
        for at in times:
            if at - max(last, 0) >= gap_ms:
                # The millisecond of the last opportunity is still up.
                start = (last + 1) * 1000
                gathered.down(
                    site, start, at * 1000, kind="cellular", cause="no_delivery_opportunity",
                    censored="L" if last < 0 else "", err_us=(1000, 1000),
                )  # fmt: skip
            last = at


def _site(source: Source) -> str:
    """Return the trace's name; ``.up`` and ``.down`` are part of it."""
    from pathlib import Path

    return Path(source.name).name.removesuffix(".gz")
