import pytest

from edgetwin.checks import Result, Verdict, check
from edgetwin.history import History
from edgetwin.units import DAY_US, MINUTE_US
from made_histories import (
    FRESH_US,
    RELEASED_US,
    SETTLE_US,
    STORM_US,
    TERMS,
    aimed,
    edited,
    judged,
    made,
)

NEVER = -1


def freshness(history: History, target: str = "5m") -> Verdict:
    return judged("policy_freshness", history, aimed(policy_freshness=target))


def never_active(history: History, row: int, *, stuck_us: int = NEVER) -> History:
    """Return *history* in which the release of one *row* has not arrived at the end."""
    active = history.column("freshness", "active_us").copy()
    lag = history.column("freshness", "lag_us").copy()
    stuck = history.column("freshness", "stuck_us").copy()
    active[row], stuck[row] = NEVER, stuck_us
    lag[row] = STORM_US + SETTLE_US - RELEASED_US
    return edited(history, "freshness", active_us=active, lag_us=lag, stuck_us=stuck)


def restarted(history: History, lag_us: int) -> History:
    """Return *history* in which the rows are restarts that found nothing for *lag_us*."""
    names = {**history.names, "freshness": ("restart",), "revision": ("r1", "r2")}
    active = RELEASED_US + lag_us
    lied = edited(
        history, "freshness", cause=[0] * 3, instead=[-1] * 3, active_us=[active] * 3,
        lag_us=[lag_us] * 3, undecided=[10] * 3, wrongly_allowed=[0] * 3, wrongly_denied=[0] * 3,
    )  # fmt: skip
    lied = edited(lied, "activations", time_us=[active] * 3)
    return History(lied.meta, names, lied.tables)


def without_releases(history: History) -> History:
    names = list(history.tables["freshness"])
    return edited(history, "freshness", **{name: [] for name in names})


def test_the_slowest_site_decides():
    assert freshness(made()).result is Result.PASS
    assert freshness(made()).value == FRESH_US
    assert freshness(made(), "1m").result is Result.PASS
    assert freshness(made(), "59s").result is Result.FAIL


def test_evidence_names_site_release_lag_and_wrong_decisions():
    verdict = freshness(made(), "59s")

    first = verdict.evidence[0]
    assert first.site == "store-001"
    assert first.number == FRESH_US
    assert (first.start_us, first.end_us) == (RELEASED_US, RELEASED_US + FRESH_US)
    assert "payment r2 decided, r1 did: 10 decisions, 1 wrongly allowed, 2 wrongly" in first.what
    assert "30 stale decisions: 3 wrongly allowed, 6 wrongly denied, 0 without" in verdict.reason


def test_nothing_released_is_unknown():
    verdict = freshness(without_releases(made()))

    assert verdict.result is Result.UNKNOWN
    assert "nothing was released" in verdict.reason
    assert {answer.result for answer in verdict.sites} == {Result.UNKNOWN}


def test_a_release_still_under_way_at_the_end_is_unknown_within_the_target_and_fails_beyond():
    waiting = never_active(made(), 1)

    assert freshness(waiting, "200d").result is Result.UNKNOWN
    assert "1 not active at the end of the run" in freshness(waiting, "200d").reason
    assert freshness(waiting, "5m").result is Result.FAIL
    assert [answer.result for answer in freshness(waiting).sites] == [
        Result.PASS,
        Result.FAIL,
        Result.PASS,
    ]


def test_a_stuck_agent_fails_at_any_target_and_says_why():
    verdict = freshness(never_active(made(), 2, stuck_us=RELEASED_US - DAY_US), "200d")

    assert verdict.result is Result.FAIL
    assert "1 never will be: the agent asks no more, and its health says 200" in verdict.reason
    assert verdict.evidence[0].site == "store-003"
    assert "will never decide" in verdict.evidence[0].what


def test_a_site_that_caught_up_is_not_stuck_whatever_is_said():
    lied = edited(made(), "freshness", stuck_us=[RELEASED_US] * 3)

    assert freshness(lied).result is Result.PASS


def test_a_restart_that_finds_nothing_can_fail_but_never_pass():
    long, short = restarted(made(), 6 * MINUTE_US), restarted(made(), 100_000)

    assert freshness(long).result is Result.FAIL
    assert "3 times a restart left a site without its revision" in freshness(long).reason
    assert "nothing did" in freshness(long).evidence[0].what
    assert freshness(short).result is Result.UNKNOWN


@pytest.mark.parametrize(
    ("column", "values", "law"),
    [
        ("lag_us", [1, FRESH_US, FRESH_US], "lag = active"),
        ("stopped_us", [FRESH_US, 0, 0], "lag = active"),
        ("stopped_us", [-1, 0, 0], "lag = active"),
        ("active_us", [NEVER, NEVER, NEVER], "lag = active"),
        ("stale", [2, 10, 10], "wrong decisions are stale ones"),
        ("undecided", [-1, 0, 0], "wrong decisions are stale ones"),
        ("released_us", [0, RELEASED_US, RELEASED_US], "a release has a row at every site"),
        ("site", [0, 0, 1], "a release has a row at every site"),
    ],
)
def test_a_history_that_lies_about_freshness_is_found_out(column, values, law):
    history = made()
    if column == "site":
        values = [int(history.column("sites", "site")[one]) for one in values]
        law = "activation|every site"

    with pytest.raises(AssertionError, match=law):
        check(TERMS, edited(history, "freshness", **{column: values}))


def test_an_activation_that_nobody_saw_is_found_out():
    earlier = RELEASED_US + 1

    lied = edited(made(), "freshness", active_us=[earlier] * 3, lag_us=[1] * 3)

    with pytest.raises(AssertionError, match="what became active is an activation"):
        check(TERMS, lied)


def test_a_missing_site_is_found_out():
    history = made()
    kept = {name: values[:2] for name, values in history.tables["freshness"].items()}

    with pytest.raises(AssertionError, match="a release has a row at every site"):
        check(TERMS, edited(history, "freshness", **kept))


def test_decisions_that_a_log_lost_unsaid_are_found_out():
    logs = {"policy": [0], "made": [100], "uploaded": [60], "lost": [30], "buffered": [9]}
    site = [int(made().column("sites", "site")[0])]

    lied = edited(made(), "decision_logs", site=site, duplicated=[0], **logs)

    with pytest.raises(AssertionError, match="made = uploaded"):
        check(TERMS, lied)
