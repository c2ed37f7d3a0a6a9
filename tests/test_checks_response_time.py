from dataclasses import replace

import numpy as np

from edgetwin.checks import Result
from made_histories import TERMS, aimed, edited, judged, made


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
