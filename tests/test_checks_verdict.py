from dataclasses import replace

import pytest

from edgetwin.checks import NOTHING_JUDGED, Result, check
from edgetwin.errors import UsageError
from edgetwin.terms import stored, terms
from edgetwin.units import HOUR_US, MINUTE_US
from made_histories import CLASS, TERMS, aimed, edited, made


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
