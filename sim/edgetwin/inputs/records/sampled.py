"""Samples become outages and unknown time: a probe's answers, one at the end of each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from edgetwin.inputs.records.gathered import Gathered


def common_step_us(times_us: Sequence[int]) -> int | None:
    """Return the most common distance between sorted *times_us*; None if fewer than two."""
    steps = Counter(b - a for a, b in pairwise(times_us) if b > a)
    return min(steps, key=lambda step: (-steps[step], step)) if steps else None


def samples(
    gathered: Gathered,
    site: str,
    sighted: Iterable[tuple[int, str]],
    *,
    step_us: int | None = None,
    kind: str = "network",
    cause: str = "",
    slack_us: int | None = None,
) -> None:
    """Turn samples (end of the interval it stands for, `up`/`down`/`unknown`) into outages.

    A sample at t stands for (t - step, t]; where none is, the site is unknown. Up to
    *slack_us* more than a step (half a step by default) is no gap.
    An outage that meets a gap is censored there. Two that disagree are unknown.
    """
    states: dict[int, str] = {}
    for at_us, state in sighted:
        if states.setdefault(at_us, state) != state:
            states[at_us] = "unknown"
            gathered.note(f"{site}: two samples of one instant disagree; it is unknown")
    times = sorted(states)
    gathered.site(site)
    if not times:
        return
    step = step_us or gathered.options.step_us or common_step_us(times)
    if step is None:
        gathered.note(f"{site}: a single sample and no --step: nothing can be said")
        return
    gathered.watched_only(site, times[0] - step, times[-1])
    slack = step // 2 if slack_us is None else slack_us
    runs: list[tuple[int, int, str]] = []
    last = times[0] - step
    for at in times:
        if at - last > step + slack:
            runs.append((last, at - step, "unknown"))
            last = at - step
        if runs and runs[-1][2] == states[at]:
            runs[-1] = (runs[-1][0], at, states[at])
        else:
            runs.append((last, at, states[at]))
        last = at
    for k, (start, end, state) in enumerate(runs):
        if state == "unknown":
            gathered.unknown(site, start, end)
        elif state == "down":
            unseen_before = k == 0 or runs[k - 1][2] == "unknown"
            unseen_after = k == len(runs) - 1 or runs[k + 1][2] == "unknown"
            gathered.down(
                site, start, end, kind=kind, cause=cause,
                censored="L" * unseen_before + "R" * unseen_after,
                err_us=(0 if unseen_before else step, 0 if unseen_after else step),
            )  # fmt: skip
