"""How long sites decide by a policy revision that the cloud has replaced, or by none."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetwin.checks.storm import Flags, Ints, Storm
from edgetwin.checks.verdict import EVIDENCE_ROWS_MAX, Evidence, Result, SiteResult, Verdict
from edgetwin.terms import Terms
from edgetwin.units import duration_text


def policy_freshness(terms: Terms, storm: Storm) -> Verdict | None:
    """The longest time that a site's agent ran without the revision current in the cloud.

    It counts from a release, or from a restart that found nothing or something older, until that
    revision or a newer one decides. One that still waits at the end decides nothing while it is
    within the target, unless its agent has stopped asking for good: that fails at any target.
    Restarts can fail the check; only a release that arrived can pass it.
    """
    target = terms.targets.policy_freshness_us_max
    if target is None:
        return None
    history = storm.history
    site, lag = storm.site_of("freshness"), lags(storm)
    active = history.column("freshness", "active_us") >= 0
    stuck = ~active & (history.column("freshness", "stuck_us") >= 0)
    released = history.text("freshness", "cause") == "release"
    failed = (lag > target) | stuck
    undecided = ~active & ~failed
    answers = []
    for number, name in enumerate(storm.sites):
        mine = site == number
        result = _result(failed[mine], undecided[mine], released[mine])
        reason = "nothing was released"
        if mine.any():
            reason = f"{_counted(mine & released, mine & ~released)}, {int(failed[mine].sum())} "
            reason += f"over the target, {int((mine & ~active).sum())} without an end"
        value = int(lag[mine].max()) if mine.any() else None
        answers.append(SiteResult(site=name, result=result, value=value, reason=reason))
    return Verdict(
        name="policy_freshness",
        result=_result(failed, undecided, released),
        reason=_reason(storm, lag, failed, stuck, target),
        value=int(lag.max()) if len(lag) else None,
        target=target,
        unit="us",
        evidence=_evidence(storm, lag, stuck),
        sites=tuple(answers),
        details={
            "releases": int(released.sum()),
            "restarts": int((~released).sum()),
            "never_active": int((~active).sum()),
            "stuck": int(stuck.sum()),
            **{name: _total(storm, name) for name in ("stale", *_WRONG)},
        },
    )


_WRONG = ("wrongly_allowed", "wrongly_denied", "undecided")


def lags(storm: Storm) -> Ints:
    """Return of each row of `freshness` how long it lasted, in us, from its instants alone."""
    column = storm.history.tables["freshness"]
    active = column["active_us"]
    until = np.where(active >= 0, active, storm.run_end_us)
    lag: Ints = until - column["since_us"] - column["stopped_us"]
    return lag


def _result(failed: Flags, undecided: Flags, released: NDArray[Any]) -> Result:
    if failed.any():
        return Result.FAIL
    if undecided.any() or not released.any():
        return Result.UNKNOWN
    return Result.PASS


def _counted(released: Flags, restarted: Flags) -> str:
    """Return how many releases and restarts these are."""
    found = []
    for flags, word in ((released, "release"), (restarted, "restart")):
        if number := int(flags.sum()):
            found.append(f"{number:,} {word}{'s' if number > 1 else ''}")
    return " and ".join(found)


def _total(storm: Storm, column: str) -> int:
    return int(storm.history.column("freshness", column).sum())


def _reason(storm: Storm, lag: Ints, failed: Flags, stuck: Flags, target: int) -> str:
    history = storm.history
    released = history.text("freshness", "cause") == "release"
    active = history.column("freshness", "active_us") >= 0
    if not len(lag):
        return "nothing was released after the start; give a policy a release at a later instant"
    reason = ""
    if released.any():
        slowest = np.flatnonzero(released)[lag[released].argmax()]
        reason = (
            f"{int((active & released).sum()):,} of {int(released.sum()):,} releases at sites "
            f"became active, the slowest {'after' if active[slowest] else 'not within'} "
            f"{duration_text(int(lag[slowest]))}"
        )
    else:
        reason = "nothing was released after the start"
    if empty := int((failed & ~released).sum()):
        reason += f"; {empty:,} times a restart left a site without its revision for longer"
    if late := int((failed & released & ~stuck).sum()):
        reason += f"; {late:,} over the target of {duration_text(target)}"
    if waiting := int((~active & ~failed).sum()):
        reason += f"; {waiting:,} not active at the end of the run"
    if never := int(stuck.sum()):
        reason += f"; {never:,} never will be: the agent asks no more, and its health says 200"
    if stale := _total(storm, "stale"):
        wrong = ", ".join(
            f"{_total(storm, name):,} {word}"
            for name, word in zip(
                _WRONG, ("wrongly allowed", "wrongly denied", "without a decision"), strict=True
            )
        )
        reason += f"; {stale:,} stale decisions: {wrong}"
    return reason


def _evidence(storm: Storm, lag: Ints, stuck: Flags) -> tuple[Evidence, ...]:
    """Return the stretches that weigh most: the stuck, then the longest."""
    history = storm.history
    column, site = history.tables["freshness"], storm.site_of("freshness")
    policy, revision = history.text("freshness", "policy"), history.text("freshness", "revision")
    instead, cause = history.text("freshness", "instead"), history.text("freshness", "cause")
    pieces = []
    for row in np.lexsort((-lag, ~stuck))[:EVIDENCE_ROWS_MAX].tolist():
        what = f"from the {cause[row]} until {policy[row]} {revision[row]} decided"
        if column["active_us"][row] < 0:
            what = f"after the {cause[row]} {policy[row]} {revision[row]} did not decide yet"
        if stuck[row]:
            what = f"{policy[row]} {revision[row]} will never decide: the agent asks no more"
        wrong = [int(column[name][row]) for name in _WRONG]
        what += (
            f", {instead[row] or 'nothing'} did: {int(column['stale'][row]):,} decisions, "
            f"{wrong[0]:,} wrongly allowed, {wrong[1]:,} wrongly denied, {wrong[2]:,} none"
        )
        active = int(column["active_us"][row])
        pieces.append(
            Evidence(
                what=what,
                number=int(lag[row]),
                site=storm.sites[site[row]],
                start_us=int(column["since_us"][row]),
                end_us=active if active >= 0 else storm.run_end_us,
            )
        )
    return tuple(pieces)
