"""A history is judged, one property a file; nothing here knows how it came about."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgetwin.checks import inert
from edgetwin.checks.availability import availability, offline_availability
from edgetwin.checks.capacity import capacity
from edgetwin.checks.conservation import hold
from edgetwin.checks.convergence import convergence, drains
from edgetwin.checks.locality import data_locality
from edgetwin.checks.lost_writes import losses, no_lost_acked_writes
from edgetwin.checks.policy_freshness import policy_freshness
from edgetwin.checks.policy_latency import policy_latency
from edgetwin.checks.response_time import p99_us, response_time
from edgetwin.checks.storm import ANSWERED, Storm
from edgetwin.checks.verdict import (
    Evidence,
    Result,
    SiteResult,
    SiteSummary,
    Verdict,
    Verdicts,
    side_by_side,
    worst,
)
from edgetwin.errors import UsageError
from edgetwin.history import History
from edgetwin.model import Scenario
from edgetwin.terms import Terms, terms_of

__all__ = [
    "CHECKS",
    "Evidence",
    "Result",
    "SiteResult",
    "SiteSummary",
    "Verdict",
    "Verdicts",
    "check",
]

CHECKS: tuple[Callable[[Terms, Storm], Verdict | None], ...] = (
    offline_availability,
    availability,
    response_time,
    convergence,
    no_lost_acked_writes,
    data_locality,
    policy_latency,
    policy_freshness,
    capacity,
)
"""Every check, in the order of its lines; each gives None where its target is absent."""

NOTHING_JUDGED = (
    "nothing was judged: topology.yaml has no targets; add for example "
    "`targets: {offline_availability: 99%, response_time: 50ms, lost_acked_writes: 0}`"
)


def check(
    scenario: Scenario | Terms, histories: History | Sequence[History] | Mapping[str, History]
) -> Verdicts:
    """Judge *histories* of *scenario*: one, or several readings of the same outage record.

    Pure: the same histories give the same verdicts. Readings that disagree about a check leave it
    UNKNOWN. Raises AssertionError if a history breaks a law of conservation, UsageError if there
    is no history or two share a reading.
    """
    terms = scenario if isinstance(scenario, Terms) else terms_of(scenario)
    storms = {name: Storm(history) for name, history in _named(histories).items()}
    for storm in storms.values():
        hold(terms, storm)
    by_reading = {
        name: [verdict for judge in CHECKS if (verdict := judge(terms, storm)) is not None]
        for name, storm in storms.items()
    }
    checks = tuple(
        side_by_side(dict(zip(by_reading, same, strict=True)))
        for same in zip(*by_reading.values(), strict=True)
    )
    notes = [] if checks else [NOTHING_JUDGED]
    for name, storm in storms.items():
        prefix = f"{name}: " if len(storms) > 1 else ""
        if line := inert.inert_faults(storm):
            notes.append(prefix + line)
        if storm.history.meta["digest"] != terms.digest:
            notes.append(f"{prefix}the history was made from another state of the scenario")
    return Verdicts(
        result=worst(verdict.result for verdict in checks),
        checks=checks,
        sites={name: _sites(storm, by_reading[name]) for name, storm in storms.items()},
        notes=tuple(notes),
    )


def _named(
    histories: History | Sequence[History] | Mapping[str, History],
) -> dict[str, History]:
    if isinstance(histories, History):
        histories = [histories]
    if not isinstance(histories, Mapping):
        readings = [str(history.meta["reading"]) for history in histories]
        if len(set(readings)) < len(readings):
            raise UsageError(f"two histories of one reading: {', '.join(readings)}; give each once")
        histories = dict(zip(readings, histories, strict=True))
    if not histories:
        raise UsageError("there is no history to judge; give at least one")
    return dict(histories)


def _sites(storm: Storm, verdicts: Sequence[Verdict]) -> tuple[SiteSummary, ...]:
    """Summarise every site, the worst first: failed, undecided, passed, each by availability."""
    units, count = storm.units, len(storm.sites)
    rows = storm.row_in_storm
    issued = storm.by_site(storm.row_site[rows], storm.outcome("issued")[rows])
    answered = storm.by_site(storm.row_site[rows], storm.outcome(*ANSWERED)[rows])
    offline_issued = storm.by_site(units.site, units.issued)
    offline_answered = storm.by_site(units.site, units.answered)
    outages = np.bincount(units.site, minlength=count)
    p99 = p99_us(storm)
    took, _, waiting = drains(storm)
    longest = np.full(count, -1, dtype=np.int64)
    np.maximum.at(longest, storm.site_of("drains")[waiting], took[waiting])
    lost = storm.by_site(storm.site_of("writes"), losses(storm)[0])
    results: list[dict[str, Result]] = [{} for _ in storm.sites]
    number = {site: place for place, site in enumerate(storm.sites)}
    for verdict in verdicts:
        for answer in verdict.sites:
            results[number[answer.site]][verdict.name] = answer.result
    summaries = [
        SiteSummary(
            site=storm.sites[site],
            kind=storm.kinds[site],
            result=worst(results[site].values()) if results[site] else None,
            outages=int(outages[site]),
            offline_us=int(storm.offline_us[site]),
            requests=int(issued[site]),
            availability_share=_share(int(answered[site]), int(issued[site])),
            offline_availability_share=_share(
                int(offline_answered[site]), int(offline_issued[site])
            ),
            response_time_us_p99=int(p99[site]) if p99[site] >= 0 else None,
            convergence_us_max=int(longest[site]) if longest[site] >= 0 else None,
            lost_acked_writes=int(lost[site]),
            checks=results[site],
        )
        for site in range(count)
    ]
    return tuple(sorted(summaries, key=_badness))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _badness(site: SiteSummary) -> tuple[object, ...]:
    rank = {Result.FAIL: 0, Result.UNKNOWN: 1, Result.PASS: 2, None: 3}
    offline, overall = site.offline_availability_share, site.availability_share
    return (
        rank[site.result],
        -sum(result is Result.FAIL for result in site.checks.values()),
        2.0 if offline is None else offline,
        2.0 if overall is None else overall,
        site.site,
    )
