"""Each other check: what passes, what fails it, what leaves it open, and which lie it finds."""

from dataclasses import replace

import numpy as np
import pytest

from edgetwin.checks import NOTHING_JUDGED, Result, check
from edgetwin.errors import UsageError
from edgetwin.terms import CollectionTerms, RoomTerms, stored, terms
from edgetwin.units import DAY_US, HOUR_US, MINUTE_US
from made_histories import CLASS, TERMS, aimed, edited, made


def judged(name, history, given=TERMS):
    return check(given, history)[name]


# ---- response time -----------------------------------------------------------------------------


def test_p99_is_the_bin_that_holds_the_99th_percentile():
    verdict = judged("response_time", made(sites=1, outages=300, offline={"late": 1}))

    # 300 outages of 20 requests with one late, 301 stretches with none: 2.5 % are late.
    assert verdict.value == 200_703
    assert verdict.result is Result.FAIL
    assert verdict.evidence[0].site == "store-001"


def test_where_the_target_is_the_budget_outcomes_decide_and_bins_do_not():
    history = made(sites=1, outages=30)
    inside = edited(history, "latency", le_us=[50_175] * history.rows("latency"))

    assert judged("response_time", inside).result is Result.PASS
    assert judged("response_time", inside, replace(TERMS, budgets_us={})).result is Result.UNKNOWN


def test_a_target_on_the_edge_of_a_bin_is_decided_by_counts():
    given = replace(aimed(response_time="12159us"), budgets_us={})
    history = made(sites=1, outages=30)

    assert judged("response_time", history, given).result is Result.PASS
    below = replace(aimed(response_time="11ms"), budgets_us={})
    assert judged("response_time", history, below).result is Result.FAIL


def test_a_client_that_gave_up_counts_as_slow():
    history = made(sites=1, outages=300, offline={"late": 1})
    rows = history.column("latency", "le_us") < 50_000

    silent = edited(history, "latency", count=history.column("latency", "count") * rows)

    assert judged("response_time", silent).result is Result.FAIL
    assert judged("response_time", silent).details["no_answer_in_time"] == 300


def test_answers_from_the_cloud_leave_open_what_the_edge_did():
    history = made(sites=1, outages=300, offline={"late": 1})
    forwarded = np.where(history.column("outcomes", "late") > 0, 1, 0)

    shared = edited(history, "outcomes", forwarded=forwarded)

    assert judged("response_time", shared).result is Result.UNKNOWN
    assert "from the cloud" in judged("response_time", shared).reason


def test_fewer_than_a_hundred_answers_have_no_99th_percentile():
    verdict = judged("response_time", made(sites=2, outages=4, issued=5))

    assert verdict.result is Result.UNKNOWN
    assert "needs 100" in verdict.reason


# ---- convergence -------------------------------------------------------------------------------


def test_a_drain_slower_than_the_bound_fails_and_says_where():
    history = made()
    drained = history.column("drains", "drained_us").copy()
    drained[7] += 11 * MINUTE_US

    verdict = judged("convergence", edited(history, "drains", drained_us=drained))

    assert verdict.result is Result.FAIL
    assert verdict.value == 11 * MINUTE_US + 30_000_000
    assert verdict.evidence[0].start_us == history.column("drains", "heal_us")[7]


def test_a_backlog_that_never_drains_fails_once_the_bound_has_passed():
    history = made(sites=1, outages=1, drained_us=-1)

    assert judged("convergence", history, aimed(convergence="1h")).result is Result.FAIL
    assert judged("convergence", history, aimed(convergence="200d")).result is Result.UNKNOWN


def test_a_drain_that_the_next_cut_ended_hands_its_rest_on():
    history = made(sites=1, outages=200)
    drained = history.column("drains", "drained_us").copy()
    drained[:-1] = -1

    verdict = judged(
        "convergence", edited(history, "drains", drained_us=drained), aimed(convergence="1d")
    )

    assert verdict.result is Result.PASS
    assert "199 cut again first" in verdict.reason


def test_nothing_to_drain_is_unknown():
    assert judged("convergence", made(backlog=0)).result is Result.UNKNOWN
    assert judged("convergence", made(outages=0)).result is Result.UNKNOWN


# ---- lost writes -------------------------------------------------------------------------------


def changed(history, row, **by):
    columns = {}
    for name, amount in by.items():
        columns[name] = history.column("writes", name).copy()
        columns[name][row] += amount
    return edited(history, "writes", **columns)


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


# ---- locality ----------------------------------------------------------------------------------


def test_sensitive_data_that_left_fails_by_flag_or_by_count():
    history = made()
    faces = history.text("writes", "collection") == "faces"

    flagged = edited(history, "writes", left_site=history.column("writes", "left_site") | faces)
    delivered = changed(history, int(np.flatnonzero(faces)[0]), kept=-3, delivered=3)

    assert judged("data_locality", history).result is Result.PASS
    assert judged("data_locality", flagged).result is Result.FAIL
    assert judged("data_locality", delivered).result is Result.FAIL
    assert judged("data_locality", delivered).value == 3


def test_no_sensitive_collection_or_no_write_to_one_is_unknown():
    history = made()
    zero = np.where(history.text("writes", "collection") == "faces", 0, 1)

    silent = edited(
        history,
        "writes",
        acked=history.column("writes", "acked") * zero,
        kept=history.column("writes", "kept") * zero,
    )

    assert judged("data_locality", silent).result is Result.UNKNOWN
    public = {"sales": TERMS.collections["sales"]}
    verdict = judged("data_locality", history, replace(TERMS, collections=public))
    assert verdict.result is Result.UNKNOWN


# ---- policy ------------------------------------------------------------------------------------


def test_the_dearest_decision_decides():
    slow = edited(made(), "decisions", cost_us_max=[1_001.0])

    assert judged("policy_latency", made()).result is Result.PASS
    assert judged("policy_latency", slow).result is Result.FAIL
    assert "r1" in judged("policy_latency", slow).evidence[0].what


def test_a_policy_that_nobody_asked_is_unknown():
    silent = edited(made(), "decisions", asked=[0], allowed=[0], denied=[0])

    assert judged("policy_latency", silent).result is Result.UNKNOWN


# ---- capacity ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        ("volumes", {"full_us": [0, 60_000_000, 0]}, "volume full for 1m"),
        ("volumes", {"used_bytes_max": [0, 11 * 2**30, 0]}, "its claim asks for 10.0Gi"),
        ("pods", {"killed": [0, 3, 0]}, "killed 3 times"),
        ("pods", {"memory_bytes_max": [0, 2**30, 0]}, "limit 512.0Mi"),
    ],
)
def test_a_shortage_fails_and_is_named_with_its_site(table, columns, words):
    verdict = judged("capacity", edited(made(), table, **columns))

    assert verdict.result is Result.FAIL
    assert words in verdict.evidence[0].what
    assert verdict.evidence[0].site == "store-002"


def test_an_outage_longer_than_the_retention_fails():
    short = {
        "sales": CollectionTerms(data_class="internal", retention_us=2 * MINUTE_US, synced=True)
    }

    verdict = judged("capacity", made(), replace(TERMS, collections=short))

    assert verdict.result is Result.FAIL
    assert "retention of sales is 2m, the longest outage 5m" in verdict.evidence[0].what


def test_what_would_be_stored_in_the_rest_of_the_retention_counts():
    history = made(sites=1, outages=30)
    daily = edited(history, "writes", stored_bytes=[2 * 2**30, 0])
    long = {
        "sales": CollectionTerms(data_class="internal", retention_us=1_000 * DAY_US, synced=True)
    }

    verdict = judged("capacity", daily, replace(TERMS, collections=long))

    assert verdict.result is Result.FAIL
    assert "within the retention" in verdict.evidence[0].what
    assert judged("capacity", history).result is Result.PASS


def test_requests_above_what_the_nodes_have_fail():
    room = {
        "store": RoomTerms(cores_requested=5, cores=4, memory_bytes_requested=1, memory_bytes=2**33)
    }

    verdict = judged("capacity", made(), replace(TERMS, rooms=room))

    assert verdict.result is Result.FAIL
    assert "request 5 cores, its nodes have 4" in verdict.reason


# ---- all together ------------------------------------------------------------------------------


def test_readings_that_disagree_are_unknown_and_say_which_is_which():
    histories = [made(), made(reading="power", offline={"unavailable": 20}, serving=False)]

    verdict = check(TERMS, histories)["offline_availability"]

    assert verdict.result is Result.UNKNOWN
    assert verdict.reason == (
        "PASS if the record means link cuts, FAIL if the record means power losses"
    )
    assert verdict.value == 0.0
    assert verdict.details["value_range"] == [0.0, 1.0]
    assert [one.result for one in verdict.readings.values()] == [Result.PASS, Result.FAIL]


def test_readings_that_agree_keep_their_result():
    verdict = check(TERMS, {"cut": made(), "power": made(offline={"late": 0})})["availability"]

    assert verdict.result is Result.PASS
    assert set(verdict.readings) == {"cut", "power"}


def test_two_histories_of_one_reading_are_refused():
    with pytest.raises(UsageError, match="two histories of one reading"):
        check(TERMS, [made(), made()])


def test_no_target_is_unknown_with_the_remedy():
    verdicts = check(aimed(), made())

    assert verdicts.result is Result.UNKNOWN
    assert verdicts.checks == ()
    assert NOTHING_JUDGED in verdicts.notes


def test_the_worst_sites_come_first():
    history = made(sites=3)
    ok, error = (history.column("outcomes", name).copy() for name in ("ok", "error"))
    second = history.text("outcomes", "site") == "store-002"
    error[second] = 2
    ok[second] -= 2
    given = replace(TERMS, writers={})
    worse = edited(history, "outcomes", ok=ok, error=error)
    worse = edited(worse, "latency", count=worse.column("latency", "count") // 2)

    sites = check(given, worse).sites["cut"]

    assert sites[0].site == "store-002"
    assert sites[0].result is Result.FAIL
    assert sites[0].offline_availability_share == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("table", "columns", "law"),
    [
        ("outcomes", {"issued": None}, "issued = "),
        ("writes", {"delivered": None}, "acked \\+ info = "),
        ("writes", {"acked": None, "delivered": None}, "ok <= acked"),
        ("decisions", {"asked": None}, "asked = "),
        ("spans", {"end_us": None}, "spans"),
        ("latency", {"count": None}, "no more latencies than answers"),
    ],
)
def test_a_history_that_breaks_a_law_of_conservation_is_a_bug(table, columns, law):
    history = made()
    kept = {name: history.column(table, name) + 1 for name in columns}

    with pytest.raises(AssertionError, match=law):
        check(TERMS, edited(history, table, **kept))


def test_a_write_that_vanishes_from_both_books_is_found():
    history = made()
    less = {name: history.column("writes", name).copy() for name in ("acked", "delivered")}
    for values in less.values():
        values[0] -= 3

    with pytest.raises(AssertionError, match=f"store-001, {TERMS.writers[CLASS]}"):
        check(TERMS, edited(history, "writes", **less))


def test_terms_survive_their_storing():
    assert terms(stored(TERMS)) == TERMS
    assert TERMS.targets.convergence_us_max == 10 * MINUTE_US < HOUR_US
