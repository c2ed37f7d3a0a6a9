"""After a heal: does all that waited arrive, and how long does it take?"""

import numpy as np
from numpy.typing import NDArray

from edgetwin.checks.storm import Storm
from edgetwin.checks.verdict import EVIDENCE_ROWS_MAX, Evidence, Result, SiteResult, Verdict
from edgetwin.terms import Terms
from edgetwin.units import duration_text


def convergence(terms: Terms, storm: Storm) -> Verdict | None:
    """Time from each heal until all that waited then had arrived, against the bound.

    A drain that the next cut ended within the bound decides nothing, its rest waits for the next
    heal; one that was still going when the bound had passed is a failure, cut or not.
    """
    bound = terms.targets.convergence_us_max
    if bound is None:
        return None
    took, done, waiting = drains(storm)
    site = storm.site_of("drains")
    heal = storm.history.column("drains", "heal_us")
    backlog = storm.history.column("drains", "backlog_writes")
    failed = waiting & (took > bound)
    passed = waiting & done & ~failed
    latest = np.full(len(storm.sites), -1, dtype=np.int64)
    np.maximum.at(latest, site[waiting], heal[waiting])
    last = waiting & (heal == latest[site])
    open_ended = waiting & ~done & ~failed
    # Only the last drain of a site leaves something open: an earlier one handed its rest on.
    undecided = open_ended & last
    answers = []
    for number, name in enumerate(storm.sites):
        mine = waiting & (site == number)
        if not mine.any():
            result, value, reason = Result.UNKNOWN, None, "nothing had to drain"
        else:
            value = int(took[mine].max())
            slow, pending = int(failed[mine].sum()), int(undecided[mine].sum())
            result = Result.FAIL if slow else Result.UNKNOWN if pending else Result.PASS
            reason = f"{int(mine.sum())} drains, {slow} over the bound, {pending} unfinished"
        answers.append(SiteResult(site=name, result=result, value=value, reason=reason))
    count = int(waiting.sum())
    if not count:
        result, value = Result.UNKNOWN, None
        reason = f"nothing had to drain after {len(heal)} heals"
    else:
        slow, pending = int(failed.sum()), int(undecided.sum())
        value = int(took[waiting].max())
        result = Result.FAIL if slow else Result.UNKNOWN if pending else Result.PASS
        reason = (
            f"{int(passed.sum()):,} of {count:,} backlogs drained within the bound, the slowest "
            f"{'still waits after' if not done[waiting][took[waiting].argmax()] else 'after'} "
            f"{duration_text(value)}"
        )
        reason += f"; {slow:,} over it" if slow else ""
        reason += f"; {pending:,} unfinished at the end of the run" if pending else ""
        cut_again = int((open_ended & ~undecided).sum())
        reason += f"; {cut_again:,} cut again first" if cut_again else ""
    order = np.flatnonzero(waiting)[np.argsort(-took[waiting], kind="stable")]
    evidence = [
        Evidence(
            what=f"from the heal until {int(backlog[row]):,} writes had arrived"
            if done[row]
            else f"after the heal {int(backlog[row]):,} writes still waited",
            number=int(took[row]),
            site=storm.sites[site[row]],
            start_us=int(heal[row]),
            end_us=int(heal[row] + took[row]),
        )
        for row in order[:EVIDENCE_ROWS_MAX].tolist()
    ]
    return Verdict(
        name="convergence",
        result=result,
        reason=reason,
        value=value,
        target=bound,
        unit="us",
        evidence=tuple(evidence),
        sites=tuple(answers),
        details={"heals": len(heal), "backlogs": count, "drained": int((waiting & done).sum())},
    )


def drains(storm: Storm) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return of each drain: how long it took in us, whether it ended, whether anything waited.

    One that did not end is counted to the next cut of its site, or to the end of the run.
    """
    history = storm.history
    heal = history.column("drains", "heal_us")
    drained = history.column("drains", "drained_us")
    waiting = history.column("drains", "backlog_writes") > 0
    done = drained >= 0
    site = storm.site_of("drains")
    offline = history.column("spans", "offline")
    # One number orders cuts by site and time, so that the next cut after a heal is a search away.
    beyond = storm.run_end_us + 1
    cuts = np.sort(storm.span_site[offline] * beyond + history.column("spans", "start_us")[offline])
    place = np.searchsorted(cuts, site * beyond + heal)
    following = np.append(cuts, np.iinfo(np.int64).max)[place]
    next_cut = np.where(following // beyond == site, following % beyond, storm.run_end_us)
    return np.where(done, drained, next_cut) - heal, done, waiting
