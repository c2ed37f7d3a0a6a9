"""How long a policy's decision takes, in simulated time: fuel over a calibrated rate."""

import numpy as np

from edgetwin.checks.storm import Storm
from edgetwin.checks.verdict import EVIDENCE_ROWS_MAX, Evidence, Result, Verdict
from edgetwin.terms import Terms


def policy_latency(terms: Terms, storm: Storm) -> Verdict | None:
    """The dearest decision that any request asked for, against the target.

    Measured wall time is shown beside it and decides nothing.
    """
    target = terms.targets.policy_latency_us_max
    if target is None:
        return None
    history = storm.history
    asked = history.column("decisions", "asked")
    cost = history.column("decisions", "cost_us_max")
    mean = history.column("decisions", "cost_us_mean")
    policy, revision = history.text("decisions", "policy"), history.text("decisions", "revision")
    rows = np.flatnonzero(asked > 0)
    if not len(rows):
        reason = "no request asked a policy; give a request class one"
        return Verdict(
            name="policy_latency", result=Result.UNKNOWN, reason=reason, target=target, unit="us"
        )
    dearest = float(cost[rows].max())
    total = int(asked[rows].sum())
    average = float((mean[rows] * asked[rows]).sum() / total)
    distinct = int(history.column("decisions", "distinct")[rows].sum())
    order = rows[np.argsort(-cost[rows], kind="stable")]
    return Verdict(
        name="policy_latency",
        result=Result.PASS if dearest <= target else Result.FAIL,
        reason=f"at most {dearest:,.0f} us, {average:,.0f} us on average over {total:,} decisions "
        f"of {distinct:,} distinct inputs, on the calibrated cost model",
        value=dearest,
        target=target,
        unit="us",
        evidence=tuple(
            Evidence(what=f"dearest of {policy[row]} {revision[row]}", number=float(cost[row]))
            for row in order[:EVIDENCE_ROWS_MAX].tolist()
        ),
        details={"decisions": total, "distinct": distinct, "cost_us_mean": average},
    )
