"""Policy agents in whole runs: what a cut, a restart and a bounded log leave in the history."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from edgetwin import simulate
from edgetwin.checks import Result, check
from edgetwin.engine.agent import AgentSettings
from edgetwin.engine.policy_agents import agent_settings
from edgetwin.history import SCHEMA, History
from edgetwin.model import DecisionLog, Scenario, Targets
from reference_plane import ReferencePlane
from small_scenarios import PAYMENT, SECOND_US, request, scenario, site, workload

R1, R2 = "retail-authz-r1.tar.gz", "retail-authz-r2.tar.gz"


def shop(
    releases: Sequence[tuple[int, str]], *, outages: Sequence[tuple[str, float, float, str]] = (),
    cut: str = "refuse", storm_s: float = 600, settle_s: float = 60, target: str = "1m",
    sites: int = 1, **policy: Any,
) -> Scenario:  # fmt: skip
    """Return shops that ask for payments; *releases* are (second, bundle) after the first."""
    written = [{"bundle": R1}, *({"at": f"{at}s", "bundle": file} for at, file in releases)]
    uplinks = {"fibre": {"latency": "10ms", "bandwidth": "10Mbit/s", "cut": cut}}
    pay = request(policy="authz", input=PAYMENT, service_time={"law": "fixed", "value": "5ms"})
    return scenario(
        {"shop": site({"pay": pay}, uplinks=uplinks, count=sites)},
        policies={
            "authz": {
                "entrypoint": "retail/authz/allow", "releases": written,
                "poll_min": "5s", "poll_max": "10s", **policy,
            }
        },
        outages=outages, storm_s=storm_s, settle_s=settle_s,
        targets={"policy_freshness": target},
    )  # fmt: skip


def rows(history: History, table: str = "freshness") -> list[dict[str, Any]]:
    """Return the rows of *table*; names as text."""
    columns = {
        name: history.text(table, name) if kind.startswith("names:") else values
        for (name, values), (kind, _) in zip(
            history.tables[table].items(), SCHEMA[table].values(), strict=True
        )
    }
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def decided(history: History, start_us: int, end_us: int) -> int:
    """Return how many attempts a pod took up between the two instants."""
    column: Mapping[str, Any] = history.tables["requests"]
    issued = (column["issued_us"] >= start_us) & (column["issued_us"] < end_us)
    return int(np.count_nonzero(issued & (column["pod"] >= 0)))


def summed(history: History, column: str) -> int:
    return int(history.column("outcomes", column).sum())


def test_a_release_while_cut_decides_after_the_heal_and_what_was_asked_meanwhile_is_stale():
    small = shop([(100, R2)], outages=[("shop", 60, 400, "network")])

    history = simulate(small, seed=3, requests=True)

    (row,) = rows(history)
    assert row["since_us"] == row["released_us"] == 100 * SECOND_US
    # After the heal: what is left of the back-off, at most 1.2 x 10 s, and some 10 ms.
    assert 300 * SECOND_US < row["lag_us"] < 312_100_000
    assert row["active_us"] - row["since_us"] == row["lag_us"]
    assert row["instead"].startswith(R1)
    assert row["revision"].startswith(R2)
    assert row["stale"] == decided(history, row["since_us"], row["active_us"]) > 1_000
    assert row["wrongly_denied"] == summed(history, "wrongly_denied") > 100
    assert check(small, history)["policy_freshness"].result is Result.FAIL


def test_what_a_stricter_release_would_have_refused_is_wrongly_allowed():
    small = shop([(10, R2), (100, R1)], outages=[("shop", 60, 400, "network")])

    history = simulate(small, seed=3)

    first, second = rows(history)
    assert first["wrongly_denied"] == 0
    assert second["wrongly_allowed"] == summed(history, "wrongly_allowed") > 100


def test_releases_that_overtake_one_another_all_count_until_the_newest_decides():
    small = shop([(100, R2), (200, R1), (300, R2)], outages=[("shop", 60, 400, "network")])

    history = simulate(small, seed=3, requests=True)

    found = rows(history)
    assert len({row["active_us"] for row in found}) == 1
    assert [row["since_us"] for row in found] == [100_000_000, 200_000_000, 300_000_000]
    asked = [decided(history, k * SECOND_US, (k + 100) * SECOND_US) for k in (100, 200)]
    assert [row["stale"] for row in found[:2]] == asked


def test_a_restart_while_cut_without_persistence_decides_nothing_until_the_heal():
    storm = [("shop", 50, 400, "network"), ("shop", 100, 110, "power")]

    history = simulate(shop([], outages=storm), seed=3, requests=True)

    (row,) = rows(history)
    assert (row["cause"], row["instead"]) == ("restart", "")
    assert 112 * SECOND_US <= row["since_us"] <= 114 * SECOND_US, "boot takes 2 to 4 s"
    assert row["active_us"] > 400 * SECOND_US
    assert row["stale"] == row["undecided"] > 1_000
    verdict = check(shop([], outages=storm), history)["policy_freshness"]
    assert verdict.result is Result.FAIL
    assert "a restart left a site without its revision" in verdict.reason


@pytest.mark.parametrize("kept", [{"persist": True}, {"disk_store": True}])
def test_what_is_kept_on_disk_decides_a_moment_after_a_restart_while_cut(kept):
    storm = [("shop", 50, 400, "network"), ("shop", 100, 110, "power")]

    (row,) = rows(simulate(shop([], outages=storm, **kept), seed=3))

    assert row["cause"] == "restart"
    assert 65_000 <= row["lag_us"] <= 220_000


def test_time_without_power_is_not_counted():
    storm = [("shop", 50, 350, "power")]

    history = simulate(shop([(100, R2)], outages=storm, persist=True), seed=3)

    (row,) = rows(history)
    assert row["stopped_us"] + row["lag_us"] == row["active_us"] - row["since_us"]
    assert row["stopped_us"] > 250 * SECOND_US
    assert row["lag_us"] < 2 * SECOND_US
    assert check(shop([(100, R2)]), history)["policy_freshness"].result is Result.PASS


@pytest.mark.parametrize("settings", [{"long_poll": "30s"}, {"header_timeout": "0s"}])
def test_an_agent_that_hangs_for_ever_never_decides_by_a_later_release(settings):
    small = shop(
        [(400, R2)], outages=[("shop", 60, 200, "network")], cut="hang", target="1h", **settings
    )

    history = simulate(small, seed=3)

    (row,) = rows(history)
    assert row["active_us"] == -1
    assert 60 * SECOND_US <= row["stuck_us"] <= 200 * SECOND_US
    verdict = check(small, history)["policy_freshness"]
    assert verdict.result is Result.FAIL, "though only 260 s of 1 h have passed"
    assert "the agent asks no more" in verdict.reason


def test_with_a_header_timeout_a_hanging_link_ends():
    small = shop([(400, R2)], outages=[("shop", 60, 200, "network")], cut="hang")

    (row,) = rows(simulate(small, seed=3))

    assert row["lag_us"] < 11 * SECOND_US


def test_a_restart_frees_a_stuck_agent():
    storm = [("shop", 60, 200, "network"), ("shop", 500, 510, "power")]
    small = shop([(400, R2)], outages=storm, cut="hang", long_poll="30s")

    found = rows(simulate(small, seed=3))

    assert [row["cause"] for row in found] == ["release"]
    assert (found[0]["stuck_us"], found[0]["active_us"] > 510 * SECOND_US) == (-1, True)


def test_an_agent_that_was_freed_is_not_stuck_when_the_run_ends():
    storm = [("shop", 60, 200, "network"), ("shop", 300, 310, "power")]
    small = shop(
        [(400, R2), (599, R1)], outages=storm, cut="hang", header_timeout="0s",
        poll_min="100s", poll_max="200s", settle_s=0.001,
    )  # fmt: skip

    found = rows(simulate(small, seed=3))

    assert [row["active_us"] > 0 for row in found if row["cause"] == "release"] == [True, False]
    assert {row["stuck_us"] for row in found} == {-1}


def test_the_end_of_the_run_comes_before_the_release_arrives():
    small = shop([(599, R2)], storm_s=600, settle_s=0.001, poll_min="100s", poll_max="200s")

    history = simulate(small, seed=1)

    assert rows(history)[0]["active_us"] == -1
    verdict = check(small, history)["policy_freshness"]
    assert verdict.result is Result.UNKNOWN
    assert "1 not active at the end of the run" in verdict.reason


def test_how_a_link_is_cut_is_what_the_agent_feels():
    storm = [("shop", 60, 400, "network")]

    lags = {
        cut: rows(simulate(shop([(100, R2)], outages=storm, cut=cut), seed=3))[0]["lag_us"]
        for cut in ("drop", "refuse", "hang")
    }

    assert len(set(lags.values())) == 3


def test_a_bounded_log_loses_exactly_its_oldest():
    slow = {"upload_min": "1h", "upload_max": "2h"}
    small = shop([], decision_log={"buffer": "event", "limit_events": 500, **slow})

    history = simulate(small, seed=3, requests=True)

    (log,) = rows(history, "decision_logs")
    assert log["uploaded"] == 0, "no upload falls into these eleven minutes"
    assert log["made"] == decided(history, 0, 660 * SECOND_US) > 3_000
    assert log["buffered"] == 500
    assert log["lost"] == log["made"] - 500


def test_a_size_buffer_keeps_as_many_chunks_as_it_has_room_for():
    log = {"limit": "20000", "upload": "4096", "upload_min": "2s", "upload_max": "4s"}
    storm = [("shop", 60, 600, "network")]
    small = shop([], outages=storm, decision_log=log, settle_s=0.001)

    history = simulate(small, seed=3, requests=True)

    (row,) = rows(history, "decision_logs")
    before = decided(history, 0, 56 * SECOND_US)
    assert before <= row["uploaded"] <= decided(history, 0, 60 * SECOND_US)
    assert 20_000 - 4_096 < row["buffered"] * 65 <= 20_000 + 4_096
    assert row["lost"] == row["made"] - row["uploaded"] - row["buffered"] > 2_000


def test_an_unbounded_log_outlasts_the_cut_and_dies_with_the_process():
    log = {"upload_min": "2s", "upload_max": "4s"}
    cut, power = ("shop", 60, 400, "network"), ("shop", 200, 210, "power")
    running = shop([], outages=[cut], decision_log=log)
    restarted = shop([], outages=[cut, power], persist=True, decision_log=log)

    (kept,) = rows(simulate(running, seed=3), "decision_logs")
    history = simulate(restarted, seed=3, requests=True)
    (gone,) = rows(history, "decision_logs")

    assert kept["lost"] == 0
    at_risk = decided(history, 60 * SECOND_US, 200 * SECOND_US)
    assert at_risk <= gone["lost"] <= at_risk + decided(history, 56 * SECOND_US, 60 * SECOND_US)


def test_a_process_that_is_down_logs_nothing_though_others_ask():
    pay = request(policy="authz", input=PAYMENT, service_time={"law": "fixed", "value": "5ms"})
    small = scenario(
        {"shop": site({"pay": pay}, nodes=2)}, workloads=[workload("api", replicas=2)],
        policies={
            "authz": {
                "entrypoint": "retail/authz/allow", "releases": [{"bundle": R1}], "persist": True,
                "decision_log": {},
            }
        },
        outages=[("shop", 60, 160, "node")], storm_s=300,
    )  # fmt: skip

    history = simulate(small, seed=3, requests=True)

    (log,) = rows(history, "decision_logs")
    unheard = decided(history, 0, 360 * SECOND_US) - log["made"]
    assert unheard >= decided(history, 60 * SECOND_US, 160 * SECOND_US) > 100


def test_without_a_log_nothing_is_counted():
    counted = []

    class Watched(ReferencePlane):
        def close(self, end_us: int) -> None:
            counted.append(self.tally.logged)
            super().close(end_us)

    history = simulate(shop([(100, R2)], storm_s=120), seed=3, plane_type=Watched)

    assert counted == [None]
    assert rows(history, "decision_logs") == []


def test_the_defaults_of_a_log_are_those_of_its_agent():
    policy = shop([], poll_min="60s", poll_max="120s", decision_log=DecisionLog()).topology

    assert agent_settings(policy.policies["authz"]) == AgentSettings()


def test_neither_processes_nor_blocks_leave_a_trace_and_the_slow_plane_agrees():
    storm = [
        ("shop-001", 60, 200, "network"), ("shop-002", 50, 70, "power"),
        ("shop-003", 80, 140, "network"), ("shop-003", 100, 105, "power"),
    ]  # fmt: skip
    small = shop(
        [(90, R2), (150, R1)], outages=storm, sites=3, storm_s=240,
        decision_log={"buffer": "event", "limit_events": 50, "upload_min": "2s",
                      "upload_max": "9s", "decisions_per_s": 4},
    )  # fmt: skip

    whole = simulate(small, seed=5, requests=True)
    others = [
        simulate(small, seed=5, requests=True, jobs=3),
        simulate(small, seed=5, requests=True, span_us=7 * SECOND_US),
        simulate(small, seed=5, requests=True, plane_type=ReferencePlane),
    ]

    for other in others:
        for name in ("freshness", "decision_logs", "activations", "requests"):
            assert rows(other, name) == rows(whole, name)
    check(small, whole)
    assert sum(row["lost"] for row in rows(whole, "decision_logs")) > 0


def test_the_target_is_a_duration_as_people_write_it():
    assert Targets(policy_freshness="5m").policy_freshness_us_max == 300 * SECOND_US
