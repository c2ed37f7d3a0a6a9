"""Is every acknowledged write still somewhere, or known to have arrived?"""

import numpy as np
from numpy.typing import NDArray

from edgetwin.checks.storm import Storm
from edgetwin.checks.verdict import EVIDENCE_ROWS_MAX, Evidence, Result, SiteResult, Verdict
from edgetwin.terms import Terms


def no_lost_acked_writes(terms: Terms, storm: Storm) -> Verdict | None:
    """Writes whose client got its answer and that are neither in the cloud nor at their site.

    Whatever was stored and is not delivered, pending or kept is lost, said or not. Writes whose
    client had given up may be among the lost: their number leaves the loss between two values.
    What still waits at a site whose last drain has not ended may yet be lost.
    """
    target = terms.targets.lost_acked_writes_max
    if target is None:
        return None
    history, site = storm.history, storm.site_of("writes")
    written = history.column("writes", "acked") + history.column("writes", "direct")
    most, least = losses(storm)
    pending = history.column("writes", "pending")
    stuck = _still_draining(storm)
    by_site = [storm.by_site(site, values) for values in (written, most, least, pending)]
    answers = []
    for number, name in enumerate(storm.sites):
        acked, at_most, at_least, waits = (int(values[number]) for values in by_site)
        open_ended = waits if stuck[number] else 0
        answers.append(
            SiteResult(
                site=name,
                result=_result(acked, at_most, at_least, open_ended, target),
                value=at_most if acked else None,
                reason=f"{at_most:,} of {acked:,} acknowledged writes lost",
            )
        )
    acked, at_most, at_least, waits = (int(values.sum()) for values in by_site)
    open_ended = int(by_site[3][stuck].sum())
    result = _result(acked, at_most, at_least, open_ended, target)
    if not acked:
        reason = "no write was acknowledged"
    else:
        lost = f"{at_most:,}" if at_most == at_least else f"{at_least:,} to {at_most:,}"
        delivered = int(history.column("writes", "delivered").sum())
        kept = int(history.column("writes", "kept").sum())
        reason = f"{lost} of {acked:,} acknowledged writes lost; {delivered:,} delivered"
        reason += f", {kept:,} kept at their site" if kept else ""
        reason += f", {waits:,} still waiting" if waits else ""
        if open_ended:
            reason += f" ({open_ended:,} at sites whose last drain has not ended)"
    collections = history.text("writes", "collection")
    pruned = history.column("writes", "pruned")
    order = [row for row in np.argsort(-most, kind="stable").tolist() if most[row] > 0]
    return Verdict(
        name="no_lost_acked_writes",
        result=result,
        reason=reason,
        value=at_most if acked else None,
        target=target,
        unit="writes",
        evidence=tuple(
            Evidence(
                what=f"writes of {collections[row]} lost, {int(pruned[row]):,} stored ones pruned"
                " by retention before delivery",
                number=int(most[row]),
                site=storm.sites[site[row]],
                start_us=0,
                end_us=storm.run_end_us,
            )
            for row in order[:EVIDENCE_ROWS_MAX]
        ),
        sites=tuple(answers),
        details={"acked": acked, "lost_max": at_most, "lost_min": at_least, "pending": waits},
    )


def losses(storm: Storm) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the most and the least acknowledged writes lost, a row of `writes` each."""
    column = storm.history.tables["writes"]
    gone = column["acked"] + column["info"]
    gone = gone - column["delivered"] - column["pending"] - column["kept"]
    gone = np.maximum(gone, 0)
    return np.minimum(gone, column["acked"]), np.maximum(gone - column["info"], 0)


def _result(acked: int, most: int, least: int, open_ended: int, target: int) -> Result:
    if least > target:
        return Result.FAIL
    if not acked or most > target or open_ended:
        return Result.UNKNOWN
    return Result.PASS


def _still_draining(storm: Storm) -> NDArray[np.bool_]:
    """Tell of each site whether it ends the run offline, or with its last drain unfinished."""
    stuck = np.zeros(len(storm.sites), dtype=np.bool_)
    history = storm.history
    at_end = history.column("spans", "end_us") >= storm.run_end_us
    stuck[storm.span_site[at_end & history.column("spans", "offline")]] = True
    site, heal = storm.site_of("drains"), history.column("drains", "heal_us")
    unfinished = history.column("drains", "drained_us") < 0
    waiting = history.column("drains", "backlog_writes") > 0
    latest = np.full(len(storm.sites), -1, dtype=np.int64)
    np.maximum.at(latest, site, heal)
    stuck[site[(heal == latest[site]) & unfinished & waiting]] = True
    return stuck
