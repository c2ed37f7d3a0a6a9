from edgetwin.checks import Result
from edgetwin.units import MINUTE_US
from made_histories import aimed, edited, judged, made


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
