"""All key-level checks of one operation history: what a sceptic asks of a store after a partition.

They are facts/verification.md, 2.7: linear or n log n, no search, because the history says what
every replica knew and showed. Each answers PASS, FAIL or UNKNOWN and carries its witness under
``details["witness"]`` and the few events that prove it as evidence.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from edgetwin.checks.consistency_counts import (
    AppInvariant,
    app_invariant,
    exactly_once,
    no_invented_values,
    order_preserved,
)
from edgetwin.checks.consistency_reads import (
    bounded_staleness,
    causal_order,
    data_locality,
    monotonic_reads,
    read_your_writes,
)
from edgetwin.checks.consistency_trace import Trace, traced
from edgetwin.checks.consistency_writes import (
    convergence,
    no_lost_acked_writes,
    no_lost_updates,
    no_resurrected_deletes,
    no_revoked_acks,
    real_time_winner,
)
from edgetwin.checks.verdict import Verdict
from edgetwin.operations import OperationHistory

CONSISTENCY_CHECKS: Final[Mapping[str, Callable[[Trace], Verdict]]] = {
    "convergence": convergence,
    "no_lost_acked_writes": no_lost_acked_writes,
    "no_lost_updates": no_lost_updates,
    "no_revoked_acks": no_revoked_acks,
    "no_resurrected_deletes": no_resurrected_deletes,
    "read_your_writes": read_your_writes,
    "monotonic_reads": monotonic_reads,
    "causal_order": causal_order,
    "exactly_once": exactly_once,
    "order_preserved": order_preserved,
    "real_time_winner": real_time_winner,
    "data_locality": data_locality,
    "no_invented_values": no_invented_values,
}
"""The checks that need nothing but the history."""


def check_consistency(
    history: OperationHistory,
    *,
    staleness_bound_us: int | None = None,
    invariants: Sequence[AppInvariant] = (),
) -> dict[str, Verdict]:
    """Return every check's verdict on *history*, by name.

    *staleness_bound_us*: largest age of an operation that a read may miss; without it
    ``bounded_staleness`` is UNKNOWN and only measures. *invariants* become ``app:<name>``.
    """
    trace = traced(history)
    verdicts = {name: check(trace) for name, check in CONSISTENCY_CHECKS.items()}
    verdicts["bounded_staleness"] = bounded_staleness(trace, staleness_bound_us)
    for invariant in invariants:
        verdicts[f"app:{invariant.name}"] = app_invariant(trace, invariant)
    return verdicts
