from dataclasses import replace

from edgetwin.checks import Result
from made_histories import TERMS, changed, edited, judged, made


def test_a_write_that_was_pruned_before_delivery_is_lost():
    verdict = judged("no_lost_acked_writes", changed(made(), 0, delivered=-5, pruned=5))

    assert verdict.result is Result.FAIL
    assert verdict.value == 5
    assert verdict.evidence[0].site == "store-001"
    assert "sales" in verdict.evidence[0].what


def test_where_the_lost_may_be_writes_nobody_was_told_of_it_is_unknown():
    verdict = judged("no_lost_acked_writes", changed(made(), 0, info=5, pruned=5))

    assert verdict.result is Result.UNKNOWN
    assert "0 to 5" in verdict.reason


def test_writes_that_wait_after_an_unfinished_drain_leave_it_open():
    waiting = changed(made(), 0, delivered=-5, pending=5)
    drained = waiting.column("drains", "drained_us").copy()
    drained[waiting.column("drains", "heal_us").argmax()] = -1
    drained[waiting.column("drains", "site") == 0] = -1

    stuck = edited(waiting, "drains", drained_us=drained)

    assert judged("no_lost_acked_writes", waiting).result is Result.PASS
    assert judged("no_lost_acked_writes", stuck).result is Result.UNKNOWN


def test_a_run_without_writes_is_unknown():
    assert judged("no_lost_acked_writes", made(issued=0), replace(
        TERMS, collections={})).result is Result.PASS  # fmt: skip
    empty = edited(made(issued=0), "writes", acked=[0] * 6, kept=[0] * 6)
    assert judged("no_lost_acked_writes", empty).result is Result.UNKNOWN
