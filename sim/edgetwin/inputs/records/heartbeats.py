"""Heartbeats: one time a line, when a job, a commit or a report arrived."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.instants import Clock
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.sampled import common_step_us
from edgetwin.inputs.records.source import Source

NAME = "heartbeats"
WHAT = "one time a line (epoch or ISO); silence of more than two usual steps is an outage"


def recognises(source: Source) -> bool:
    lines = [line.strip() for line in source.head.splitlines()[:50] if line.strip()]
    beats = sum(map(_is_time, lines))
    # A heading, a line that is cut off by the head's end, and one that is damaged.
    return beats > 1 and beats >= len(lines) - 3 and beats >= 0.6 * len(lines)


def _is_time(line: str) -> bool:
    if line.isdigit():
        return len(line) >= 10
    return line[:2] in ("19", "20") and not set(line) & set(",;\t|")


def take(sources: Sequence[Source], options: Options, gathered: Gathered) -> None:
    for source in sources:
        site = options.site or source.stem
        lines = [
            (n, text.strip()) for n, text in enumerate(source.text.splitlines(), 1) if text.strip()
        ]
        if lines and not lines[0][1][0].isdigit():
            lines = lines[1:]
        try:
            clock = Clock([text for _, text in lines], zone=options.zone, order=options.dates)
        except ValueError as fault:
            raise source.wrong(1, str(fault), "or mend the times") from None
        beats = []
        for number, text in lines:
            gathered.rows += 1
            try:
                beats.append(clock.us(text))
            except ValueError as fault:
                gathered.reject(source, number, "", str(fault))
        _take_site(site, sorted(set(beats)), options, gathered)


def _take_site(site: str, beats: Sequence[int], options: Options, gathered: Gathered) -> None:
    gathered.site(site)
    if len(beats) < 2:
        gathered.note(f"{site}: fewer than two heartbeats say nothing")
        return
    gathered.watched_only(site, beats[0], beats[-1])
    steps = sorted(b - a for a, b in pairwise(beats))
    step = options.step_us or steps[len(steps) // 2] or common_step_us(beats) or 1
    silence = options.gap_us or 2 * step
    for before, after in pairwise(beats):
        if after - before > silence and before + step < after:
            # The beat after `before` was the first that did not come.
            gathered.down(
                site, before + step, after, kind="scheduler", cause="missed_heartbeat",
                err_us=(step, step),
            )  # fmt: skip
