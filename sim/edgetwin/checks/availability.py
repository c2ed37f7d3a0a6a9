"""Do sites answer, and do they go on answering while they are cut off?"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetwin.checks.statistics import (
    EVENTS_MAX,
    Interval,
    decide,
    events_needed,
    share_over_events,
)
from edgetwin.checks.storm import ANSWERED, Flags, Storm, Units, grouped
from edgetwin.checks.verdict import EVIDENCE_ROWS_MAX, Evidence, Result, SiteResult, Verdict
from edgetwin.history import OUTCOMES
from edgetwin.terms import Terms
from edgetwin.units import duration_text

MONTH_US = 30 * 24 * 3_600 * 1_000_000
"""A month of record, in estimates of how many would decide."""


def availability(terms: Terms, storm: Storm) -> Verdict | None:
    """Share of the requests issued in the storm that were answered within budget.

    Judged on the value: one seed is one draw. Requests without an end when the run ended leave
    the share open between two values.
    """
    target = terms.targets.availability_share_min
    if target is None:
        return None
    rows = storm.row_in_storm
    sites = storm.row_site[rows]
    issued = storm.by_site(sites, storm.outcome("issued")[rows])
    answered = storm.by_site(sites, storm.outcome(*ANSWERED)[rows])
    open_ended = storm.by_site(sites, storm.outcome("in_flight")[rows])

    def judged(issued: int, answered: int, open_ended: int) -> tuple[Result, float | None]:
        if issued == 0:
            return Result.UNKNOWN, None
        if answered / issued >= target:
            return Result.PASS, answered / issued
        best = (answered + open_ended) / issued
        return Result.FAIL if best < target else Result.UNKNOWN, answered / issued

    answers = []
    for site, *counts in zip(
        storm.sites, issued.tolist(), answered.tolist(), open_ended.tolist(), strict=True
    ):
        result, value = judged(*counts)
        reason = f"{counts[1]:,} of {counts[0]:,} requests answered"
        answers.append(SiteResult(site=site, result=result, value=value, reason=reason))
    total = int(issued.sum()), int(answered.sum()), int(open_ended.sum())
    result, value = judged(*total)
    if value is None:
        reason = "no request was issued in the storm"
    else:
        below = sum(answer.result is Result.FAIL for answer in answers)
        reason = f"{total[1]:,} of {total[0]:,} requests answered within budget"
        reason += f"; {below} of {len(answers)} sites below the target" if below else ""
        reason += f"; {total[2]:,} had no end when the run ended" if total[2] else ""
    lost = issued - answered - open_ended
    evidence = [
        Evidence(
            what=f"of {int(issued[site]):,} requests unanswered within budget",
            number=int(lost[site]),
            site=storm.sites[site],
            start_us=0,
            end_us=storm.end_us,
        )
        for site in np.argsort(-lost, kind="stable")[:EVIDENCE_ROWS_MAX].tolist()
        if lost[site] > 0
    ]
    return Verdict(
        name="availability",
        result=result,
        reason=reason,
        value=value,
        target=target,
        unit="share",
        bound="min",
        evidence=tuple(evidence),
        sites=tuple(answers),
        details={"requests": total[0], "answered": total[1], "in_flight": total[2]},
    )


def offline_availability(terms: Terms, storm: Storm) -> Verdict | None:
    """Share of the requests issued while offline that were answered within budget.

    It decides; beside it stand the share of offline time in which the site served, and the share
    of outages survived whole (no request refused). The independent unit is the shared event.
    """
    target = terms.targets.offline_availability_share_min
    if target is None:
        return None
    confidence = terms.targets.confidence_share
    units = storm.units
    answers = _by_site(storm, units, target, confidence)
    measures = three_shares(units, np.ones(len(units.number), dtype=np.bool_), confidence)
    interval = measures["requests"]
    if interval is None:
        stretches = len(units.number)
        result, value = Result.UNKNOWN, None
        reason = (
            f"no request was issued in the {stretches} outages; let devices ask while offline"
            if stretches
            else "no site was ever offline; give an outage record that cuts one"
        )
    else:
        result, value = decide(interval, target), interval.share
        issued = int(units.issued.sum())
        reason = (
            f"{_percent(interval.share)} of {issued:,} requests issued while offline were answered"
            f" within budget: {_between(interval)} at {confidence:.0%} confidence,"
            f" {interval.events:,} events"
        )
        if result is Result.UNKNOWN:
            reason += f"; {_would_decide(interval, target, confidence, storm.end_us)}"
        reason += "; " + _beside(units, measures)
        reason += "; " + _counted(answers)
    return Verdict(
        name="offline_availability",
        result=result,
        reason=reason,
        value=value,
        target=target,
        unit="share",
        bound="min",
        evidence=_worst_outages(storm, units),
        sites=tuple(answers),
        details={
            **{name: _stated(measure) for name, measure in measures.items()},
            "confidence_share": confidence,
            "outage_count": len(units.number),
            "sites_undecided": sum(answer.result is Result.UNKNOWN for answer in answers),
        },
    )


def three_shares(
    units: Units, chosen: Flags, confidence_share: float
) -> dict[str, Interval | None]:
    """Return the shares of requests, of offline time and of outages over the *chosen* units.

    None where there was nothing to share: no request, no offline time, no outage with a request.
    """
    asked = units.issued > 0
    pairs: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {
        "requests": (units.answered, units.issued),
        "offline_time": (units.serving_us, units.offline_us),
        "outages": (units.survived, asked),
    }
    shares: dict[str, Interval | None] = {}
    for name, (won, weight) in pairs.items():
        events = units.event[chosen]
        if weight[chosen].any():
            shares[name] = share_over_events(
                grouped(events, won[chosen]), grouped(events, weight[chosen]), confidence_share
            )
        else:
            shares[name] = None
    return shares


def _by_site(storm: Storm, units: Units, target: float, confidence: float) -> list[SiteResult]:
    answers = []
    order = np.argsort(units.site, kind="stable")
    edges = np.searchsorted(units.site[order], np.arange(len(storm.sites) + 1))
    for number, site in enumerate(storm.sites):
        mine = order[edges[number] : edges[number + 1]]
        issued = units.issued[mine]
        if not issued.any():
            reason = f"{len(mine)} outages, none with a request" if len(mine) else "never offline"
            answers.append(SiteResult(site=site, result=Result.UNKNOWN, value=None, reason=reason))
            continue
        events = units.event[mine]
        interval = share_over_events(
            grouped(events, units.answered[mine]), grouped(events, issued), confidence
        )
        result = decide(interval, target)
        reason = f"{_percent(interval.share)} over {interval.events} events"
        if result is Result.UNKNOWN:
            reason += f"; {_would_decide(interval, target, confidence, storm.end_us)}"
        answers.append(SiteResult(site=site, result=result, value=interval.share, reason=reason))
    return answers


def _would_decide(interval: Interval, target: float, confidence: float, record_us: int) -> str:
    needed = events_needed(interval, target, confidence)
    if needed is None or needed >= EVENTS_MAX:
        return "no number of such outages would decide: the share is at the target"
    more = max(1, needed - interval.events)
    months = record_us / MONTH_US * more / interval.events
    return f"about {more:,} more independent outages would decide, {months:.1f} months of such"


def _between(interval: Interval) -> str:
    return f"at least {_percent(interval.lower)}, at most {_percent(interval.upper)}"


def _percent(share: float) -> str:
    """Return *share* in percent, never rounded up to a whole it is not.

    >>> _percent(0.9999999), _percent(1.0), _percent(0.12345)
    ('99.999%', '100%', '12.345%')
    """
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    return f"{min(max(share, 0.00001), 0.99999):.3%}"


def _beside(units: Units, measures: dict[str, Interval | None]) -> str:
    time, whole = measures["offline_time"], measures["outages"]
    served = f"served {_percent(time.share)} of" if time else "served none of"
    text = f"{served} {duration_text(int(units.offline_us.sum()))} offline"
    if whole:
        text += f", {int(units.survived.sum()):,} of {int((units.issued > 0).sum()):,}"
        text += " outages survived whole"
    return text


def _counted(answers: list[SiteResult]) -> str:
    counts = {result: sum(answer.result is result for answer in answers) for result in Result}
    return (
        f"sites: {counts[Result.PASS]} pass, {counts[Result.FAIL]} fail, "
        f"{counts[Result.UNKNOWN]} undecided"
    )


def _stated(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    return {
        "share": interval.share,
        "lower": interval.lower,
        "upper": interval.upper,
        "events": interval.events,
        "events_failing": interval.failing,
        "events_effective": round(interval.events_effective, 1),
        "method": interval.method,
    }


def _worst_outages(storm: Storm, units: Units) -> tuple[Evidence, ...]:
    lost = units.issued - units.answered
    evidence = []
    for unit in np.argsort(-lost, kind="stable")[:EVIDENCE_ROWS_MAX].tolist():
        if lost[unit] == 0:
            break
        parts = ", ".join(
            f"{int(units.outcomes[name][unit]):,} {name}"
            for name in OUTCOMES
            if name not in (*ANSWERED, "in_flight") and units.outcomes[name][unit]
        )
        evidence.append(
            Evidence(
                what=f"of {int(units.issued[unit]):,} requests issued while offline: {parts}",
                number=int(lost[unit]),
                site=storm.sites[units.site[unit]],
                start_us=int(units.start_us[unit]),
                end_us=int(units.end_us[unit]),
            )
        )
    return tuple(evidence)
