"""How fast the edge answers: the 99th percentile of what its sites answered themselves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgetwin.checks.storm import Storm
from edgetwin.checks.verdict import EVIDENCE_ROWS_MAX, Evidence, Result, SiteResult, Verdict
from edgetwin.terms import Terms

QUANTILE_SHARE = 0.99
ANSWERS_MIN = 100
"""With fewer answers a 99th percentile is their maximum, and says nothing."""
BIN_WIDTH_SHARE_MAX = 0.02
"""Bins of the history are 1.6 % wide; one whose upper edge is further above the target than this
lies above it altogether."""


def response_time(terms: Terms, storm: Storm) -> Verdict | None:
    """The 99th percentile of answers at the edge, over the whole run, against the target.

    Counts decide: so many answers within the target, of all. Where a class's budget is the target,
    its outcomes are that count; else bins are. Three things can leave it open: a bin that holds the
    target inside, answers that came from the cloud and cannot be told from the edge's, and too few
    answers. A client that gave up before its answer counts as slower.
    """
    target = terms.targets.response_time_us_max
    if target is None:
        return None
    counts = _counts(terms, storm, target)
    answers = [_judged(site, one) for site, one in zip(storm.sites, _each(counts), strict=True)]
    whole = _judged("", Counts(*(values.sum(keepdims=True) for values in counts.columns())))
    p99 = p99_us(storm)
    fleet_p99 = p99_us(storm, whole=True)[0]
    sites = tuple(
        SiteResult(
            site=answer.site,
            result=answer.result,
            value=int(value) if value >= 0 else None,
            reason=answer.reason,
        )
        for answer, value in zip(answers, p99, strict=True)
    )
    slow = sum(answer.result is Result.FAIL for answer in answers)
    reason = whole.reason
    reason += f"; {slow} of {len(sites)} sites slower than the target" if slow else ""
    order = np.argsort(-p99, kind="stable")[:EVIDENCE_ROWS_MAX].tolist()
    return Verdict(
        name="response_time",
        result=whole.result,
        reason=reason,
        value=int(fleet_p99) if fleet_p99 >= 0 else None,
        target=target,
        unit="us",
        evidence=tuple(
            Evidence(
                what="p99 of answers",
                number=int(p99[site]),
                site=storm.sites[site],
                start_us=0,
                end_us=storm.run_end_us,
            )
            for site in order
            if p99[site] > target
        ),
        sites=sites,
        details={
            "answers": int(counts.total.sum()),
            "within": int(counts.within.sum()),
            "bin_of_target": int(counts.unclear.sum()),
            "from_the_cloud": int(counts.forwarded.sum()),
            "no_answer_in_time": int(counts.unanswered.sum()),
        },
    )


@dataclass(frozen=True)
class Counts:
    """Answers, an element a site."""

    within: NDArray[np.int64]
    """Surely within the target."""
    unclear: NDArray[np.int64]
    """In the bin that holds the target inside."""
    total: NDArray[np.int64]
    """All with a latency, and those whose client gave up."""
    forwarded: NDArray[np.int64]
    """At most so many of the total came from the cloud."""
    unanswered: NDArray[np.int64]

    def columns(self) -> tuple[NDArray[np.int64], ...]:
        """Return the columns in order."""
        return self.within, self.unclear, self.total, self.forwarded, self.unanswered


def _each(counts: Counts) -> list[Counts]:
    return [
        Counts(*(values[site : site + 1] for values in counts.columns()))
        for site in range(len(counts.total))
    ]


def _counts(terms: Terms, storm: Storm, target: int) -> Counts:
    history = storm.history
    site, edge = storm.site_of("latency"), history.column("latency", "le_us")
    count = history.column("latency", "count")
    labels = history.names["class"]
    by_outcome = np.array([*(terms.budgets_us.get(label) == target for label in labels), False])
    binned = ~by_outcome[history.column("latency", "class")]
    counted = by_outcome[history.column("outcomes", "class")]
    below = binned & (edge <= target)
    # An edge on the target leaves nothing unclear; without one, the next bin holds it inside.
    on_edge = bool((edge[binned] == target).any())
    unclear = binned & (edge > target) & (edge <= target * (1 + BIN_WIDTH_SHARE_MAX))
    unclear &= not on_edge
    measured = storm.by_site(site, count)
    ended = storm.by_site(storm.row_site, storm.outcome("ok", "denied", "late"))
    # The history counts only answers that came; a client that gave up waited longer than that.
    unanswered = np.maximum(ended - measured, 0)
    answered = storm.outcome("ok", "denied")
    return Counts(
        within=storm.by_site(site[below], count[below])
        + storm.by_site(storm.row_site[counted], answered[counted]),
        unclear=storm.by_site(site[unclear], count[unclear]),
        total=measured + unanswered,
        forwarded=storm.by_site(storm.row_site, storm.outcome("forwarded")),
        unanswered=unanswered,
    )


def _judged(site: str, counts: Counts) -> SiteResult:
    """Judge one site, or the fleet: PASS and FAIL only where both readings of the unclear agree."""
    within, unclear, total, forwarded, _ = (int(values[0]) for values in counts.columns())
    edge = total - min(forwarded, total)
    reason = f"{within:,} of {total:,} answers within the target"
    if edge < ANSWERS_MIN:
        return SiteResult(
            site=site,
            result=Result.UNKNOWN,
            value=None,
            reason=f"{edge:,} answers at the edge; a 99th percentile needs {ANSWERS_MIN}",
        )
    # At worst all that came from the cloud was fast, at best all of it was slow.
    least = max(within - min(forwarded, total), 0) / edge
    most = min(within + unclear, edge) / edge
    if least >= QUANTILE_SHARE:
        return SiteResult(site=site, result=Result.PASS, value=None, reason=reason)
    if most < QUANTILE_SHARE:
        return SiteResult(site=site, result=Result.FAIL, value=None, reason=reason)
    causes = [f"{unclear:,} in the 1.6 % bin around it"] if unclear else []
    causes += [f"up to {forwarded:,} came from the cloud"] if forwarded else []
    return SiteResult(
        site=site, result=Result.UNKNOWN, value=None, reason=f"{reason}, {', '.join(causes)}"
    )


def p99_us(storm: Storm, *, whole: bool = False) -> NDArray[np.int64]:
    """Return the upper edge of the bin that holds the 99th percentile, an element a site.

    One element for the fleet if *whole*. -1 where nothing was answered.
    """
    history = storm.history
    count = history.column("latency", "count").astype(np.int64)
    edge = history.column("latency", "le_us")
    site = np.zeros(len(count), dtype=np.int64) if whole else storm.site_of("latency")
    result = np.full(1 if whole else len(storm.sites), -1, dtype=np.int64)
    order = np.lexsort((edge, site))
    site, edge, count = site[order], edge[order], count[order]
    sums = np.cumsum(count)
    for number in np.unique(site).tolist():
        low, high = np.searchsorted(site, [number, number + 1])
        before = sums[low - 1] if low else 0
        total = sums[high - 1] - before
        if total:
            rank = before + -(-total * 99 // 100)
            result[number] = edge[low + int(np.searchsorted(sums[low:high], rank))]
    return result
