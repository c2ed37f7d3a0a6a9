from edgetwin.checks import Result
from made_histories import edited, judged, made


def test_the_dearest_decision_decides():
    slow = edited(made(), "decisions", cost_us_max=[1_001.0])

    assert judged("policy_latency", made()).result is Result.PASS
    assert judged("policy_latency", slow).result is Result.FAIL
    assert "r1" in judged("policy_latency", slow).evidence[0].what


def test_a_policy_that_nobody_asked_is_unknown():
    silent = edited(made(), "decisions", asked=[0], allowed=[0], denied=[0])

    assert judged("policy_latency", silent).result is Result.UNKNOWN
