from dataclasses import replace

import numpy as np
import pytest

from edgetwin.checks import Result, check
from made_histories import aimed, edited, made


def offline(history, **targets):
    return check(aimed(offline_availability="99%", **targets), history)["offline_availability"]


def test_a_fleet_passes_where_its_sites_are_each_undecided():
    verdict = offline(made(sites=3, outages=400))

    assert verdict.result is Result.PASS
    assert verdict.value == 1.0
    assert {answer.result for answer in verdict.sites} == {Result.UNKNOWN}
    assert "3 undecided" in verdict.reason


def test_too_few_outages_are_unknown_and_say_how_many_would_decide():
    verdict = offline(made(sites=1, outages=10))

    assert verdict.result is Result.UNKNOWN
    assert "about 289 more independent outages would decide" in verdict.reason


def test_outages_of_one_shared_event_count_once():
    history = made(sites=3, outages=900)
    shared = edited(history, "outages", event=history.column("outages", "event") % 300)

    few = offline(edited(history, "outages", event=history.column("outages", "event") % 100))

    assert offline(shared).result is Result.PASS
    assert "300 events" in offline(shared).reason
    assert few.result is Result.UNKNOWN


@pytest.mark.parametrize("outcome", ["late", "unavailable", "rejected", "store_full", "error"])
def test_what_is_not_answered_within_budget_fails_whatever_it_is_called(outcome):
    verdict = offline(made(offline={outcome: 10}))

    assert verdict.result is Result.FAIL
    assert verdict.value == 0.5
    assert outcome in verdict.evidence[0].what
    assert verdict.evidence[0].site.startswith("store-")
    assert verdict.evidence[0].end_us - verdict.evidence[0].start_us == 5 * 60 * 10**6


def test_a_denial_that_the_history_calls_denied_is_an_answer():
    assert offline(made(offline={"denied": 20})).value == 1.0


def test_three_shares_differ_where_the_site_turns_away_and_is_asked_little():
    history = made(sites=1, outages=300, offline={"unavailable": 1})
    serving = history.column("spans", "serving").copy()
    rows = np.flatnonzero(history.column("spans", "offline"))
    serving[rows[:100]] = False

    details = offline(edited(history, "spans", serving=serving)).details

    assert details["requests"]["share"] == pytest.approx(0.95)
    assert details["offline_time"]["share"] == pytest.approx(2 / 3)
    assert details["outages"]["share"] == 0


def test_late_answers_do_not_end_an_outages_survival():
    details = offline(made(offline={"late": 1})).details

    assert details["outages"]["share"] == 1
    assert details["requests"]["share"] < 1


def test_an_outage_in_which_nobody_asked_is_unknown_and_did_not_bite():
    verdicts = check(aimed(offline_availability="99%"), made(issued=0, backlog=0))

    assert verdicts["offline_availability"].result is Result.UNKNOWN
    assert verdicts["offline_availability"].value is None
    assert "399 of 399 outages did not bite" in verdicts.notes[0]


def test_outages_that_only_held_writes_back_did_bite():
    assert check(aimed(offline_availability="99%"), made(issued=0)).notes == ()


def test_a_run_without_outages_is_unknown():
    verdict = offline(made(outages=0))

    assert verdict.result is Result.UNKNOWN
    assert "no site was ever offline" in verdict.reason


def test_quiet_time_after_the_storm_does_not_count():
    history = made(sites=1, outages=300)
    late = history.column("spans", "start_us") >= history.meta["storm_end_us"]
    dark = edited(history, "spans", offline=history.column("spans", "offline") | late)

    assert offline(dark).details == offline(history).details


def test_availability_counts_all_requests_of_the_storm():
    history = made(sites=2, outages=20, offline={"unavailable": 20})

    verdict = check(aimed(availability="60%"), history)["availability"]

    # 10 outages a site lie between 11 stretches with as many requests.
    assert verdict.value == pytest.approx(11 / 21)
    assert verdict.result is Result.FAIL
    assert [answer.value for answer in verdict.sites] == [pytest.approx(11 / 21)] * 2


def test_requests_still_in_flight_leave_availability_open():
    history = made(sites=1, outages=10, offline={"in_flight": 1})

    assert check(aimed(availability="99.9%"), history)["availability"].result is Result.UNKNOWN
    assert check(aimed(availability="97%"), history)["availability"].result is Result.PASS


def test_moving_answers_to_errors_turns_a_pass_into_a_fail():
    terms = replace(aimed(availability="99%", offline_availability="99%"), writers={})
    history = made()
    ok = history.column("outcomes", "ok")

    lie = edited(history, "outcomes", ok=ok // 2, error=ok - ok // 2)
    lie = edited(lie, "latency", count=[0] * lie.rows("latency"))

    assert check(terms, history).result is Result.PASS
    assert [one.result for one in check(terms, lie).checks] == [Result.FAIL, Result.FAIL]
