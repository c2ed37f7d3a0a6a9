import json

import pytest

from edgetwin.checks import check
from edgetwin.report import json_report
from edgetwin.report.content import report_of
from made_histories import TERMS, aimed, made


def rendered(histories, terms=TERMS, reports=1, **extra):
    verdicts = check(terms, histories)
    one = report_of(terms, histories, verdicts, path="shop", version="0.1.0", **extra)
    return json_report.render([one] * reports)


def test_the_shape_is_the_documented_one():
    data = json.loads(rendered({"cut": made()}, measured={"simulate_s": 1.5}))

    assert list(data) == [
        "edgetwin", "schema", "scenario", "verdict", "checks", "sites", "notes", "measured",
    ]  # fmt: skip
    assert data["schema"] == 1
    assert data["verdict"] == "pass"
    assert data["scenario"]["digest"] == TERMS.digest
    assert data["scenario"]["draws"] == 1
    assert data["measured"] == {"simulate_s": 1.5}
    assert [check["name"] for check in data["checks"]] == [
        "offline_availability", "availability", "response_time", "convergence",
        "no_lost_acked_writes", "data_locality", "policy_latency", "policy_freshness", "capacity",
    ]  # fmt: skip
    for one in data["checks"]:
        assert {"name", "result", "value", "target", "reason", "evidence"} <= set(one)
        assert one["result"] in ("pass", "fail", "unknown")


def test_every_name_in_the_shape_is_documented():
    data = json.loads(rendered({"cut": made(), "power": made(offline={"unavailable": 20})}))
    known = json_report.__doc__

    def names(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield key
                if key not in ("details", "measured", "checks", "readings"):
                    yield from names(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from names(inner)

    everything = {*names(data), *(key for one in data["checks"] for key in names(one))}
    assert {name for name in everything if f'"{name}"' not in known} == set()


def test_evidence_has_a_site_an_interval_and_a_number():
    data = json.loads(rendered({"cut": made(offline={"unavailable": 20})}))

    piece = data["checks"][0]["evidence"][0]
    assert piece["site"].startswith("store-")
    assert piece["start"] < piece["end"]
    assert piece["end_us"] - piece["start_us"] == 300_000_000
    assert piece["number"] == 20
    assert data["verdict"] == "fail"


def test_readings_are_told_apart():
    data = json.loads(rendered({"cut": made(), "power": made(offline={"unavailable": 20})}))

    assert data["scenario"]["readings"] == ["cut", "power"]
    assert {row["reading"] for row in data["sites"]} == {"cut", "power"}
    readings = data["checks"][0]["readings"]
    assert {name: one["result"] for name, one in readings.items()} == {
        "cut": "pass",
        "power": "fail",
    }


def test_several_scenarios_share_one_verdict():
    data = json.loads(rendered({"cut": made()}, reports=2))

    assert data["verdict"] == "pass"
    assert len(data["scenarios"]) == 2


@pytest.mark.parametrize("terms", [TERMS, aimed()])
def test_the_same_histories_give_the_same_text(terms):
    assert rendered({"cut": made()}, terms) == rendered({"cut": made()}, terms)
