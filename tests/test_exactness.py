"""Two engines, one history: blocks of requests against one request at a time.

The two-plane engine judges requests in columns and finds crossings before it commits; the
reference (`reference_plane`) tries every instant. Same draws, so every request must end alike.
"""

import os
from collections.abc import Collection, Mapping
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drawn_scenarios import scenarios
from edgetwin import simulate
from edgetwin.history import SCHEMA, History
from edgetwin.model import Scenario
from reference_plane import ReferencePlane
from small_scenarios import PAYMENT, request, scenario, site, workload

EXAMPLES = int(os.environ.get("EDGETWIN_EXAMPLES", "40"))
"""Drawn scenarios; a nightly run asks for more."""

OWN_COLUMNS = {"decisions": ("distinct", "cost_us_mean", "cost_us_max")}
"""What the engine knows of its table of decisions; the reference has none."""


def table(history: History, name: str, skipped: Collection[str] = ()) -> list[tuple[object, ...]]:
    """Return the rows of a table, names as text, in the history's order."""
    columns = [
        history.text(name, column) if kind.startswith("names:") else history.column(name, column)
        for column, (kind, _) in SCHEMA[name].items()
        if column not in skipped
    ]
    return list(zip(*(column.tolist() for column in columns), strict=True))


def assert_alike(
    one: History, other: History, skipped: Mapping[str, Collection[str]] = MappingProxyType({})
) -> None:
    for name in ("requests", *(name for name in SCHEMA if name != "requests")):
        leave = skipped.get(name, ())
        ours, theirs = table(one, name, leave), table(other, name, leave)
        if ours != theirs:
            differing = [
                f"{a}\n{b}" for a, b in zip(ours, theirs, strict=False) if a != b
            ]  # fmt: skip
            columns = ", ".join(SCHEMA[name])
            raise AssertionError(
                f"{name} ({columns}): {len(ours)} rows against {len(theirs)}, "
                f"{len(differing)} differ, first:\n" + "\n".join(differing[:3])
            )


def agreed(small: Scenario, *, seed: int = 1, span_us: int | None = None) -> History:
    """Return the engine's history once the reference has found the same."""
    fast = simulate(small, seed=seed, requests=True, span_us=span_us)
    slow = simulate(small, seed=seed, requests=True, span_us=span_us, plane_type=ReferencePlane)
    assert_alike(fast, slow, OWN_COLUMNS)
    return fast


def count(history: History, outcome: str) -> int:
    return int(np.count_nonzero(history.text("requests", "outcome") == outcome))


def happened(history: History, kind: str) -> int:
    return int(np.count_nonzero(history.text("events", "kind") == kind))


WRITE = {"kind": "write", "collection": "sales"}
SALES = {"collections": {"sales": {}}}


def full_disk() -> Scenario:
    return scenario(
        {"shop": site({"pay": request(**WRITE)}, volume_bytes=20_000)},
        collections={"sales": {"retention": "15s"}},
    )


def queue_limit() -> Scenario:
    return scenario(
        {"shop": site({"pay": request(**WRITE)}, devices=4)},
        **SALES, services={"api": {"queue_limit": 2}},
    )  # fmt: skip


def memory_kill() -> Scenario:
    return scenario(
        {"shop": site({"pay": request(**WRITE)}, devices=3)},
        workloads=[workload("api", replicas=2, requests_in_memory=4)],
        **SALES, services={"api": {"memory_per_request": "1Mi"}},
    )  # fmt: skip


def cold_start() -> Scenario:
    return scenario(
        {"shop": site({"pay": request(every="800ms", **WRITE)})},
        **SALES, services={"api": {"keep_alive": "500ms"}},
    )  # fmt: skip


def crash() -> Scenario:
    return scenario(
        {"shop": site({"pay": request(retries=1, **WRITE)}, devices=5)},
        outages=[("shop", 10.5, 15, "power"), ("shop", 40.25, 41, "node")], **SALES,
    )  # fmt: skip


def timeouts_and_retries() -> Scenario:
    return scenario(
        {"shop": site(
            {"pay": request(timeout="100ms", retries=2, backoff="250ms", **WRITE)}, devices=4
        )},
        **SALES,
    )  # fmt: skip


def failover() -> Scenario:
    return scenario(
        {"shop": site({"pay": request(retries=1, **WRITE)}, devices=2)},
        workloads=[workload("api", requests_in_memory=3)],
        outages=[("shop", 20, 30, "network"), ("shop", 35.125, 36, "network")],
        **SALES, services={"api": {"memory_per_request": "1Mi", "fallback": "cloud"}},
    )  # fmt: skip


def policy_release() -> Scenario:
    return scenario(
        {"shop": site({"pay": request(policy="authz", input=PAYMENT, **WRITE)}, devices=2)},
        outages=[("shop", 20, 30, "network"), ("shop", 40, 42, "node")],
        **SALES,
        policies={"authz": {
            "entrypoint": "retail/authz/allow", "poll_min": "5s", "poll_max": "9s",
            "releases": [
                {"bundle": "retail-authz-r1.tar.gz"},
                {"at": "12s", "bundle": "retail-authz-r2.tar.gz"},
            ],
        }},
    )  # fmt: skip


def workers() -> Scenario:
    return scenario(
        {"shop": site({"pay": request(**WRITE), "ask": request(timeout="150ms")}, devices=4)},
        workloads=[workload("api", replicas=2)],
        **SALES, services={"api": {"workers": 2, "queue_limit": 1}},
    )  # fmt: skip


def shared_plane() -> Scenario:
    return scenario(
        {"shop": site({"pay": request(**WRITE)}, devices=3, control_plane="cloud", count=2),
         "kiosk": site({"ask": request()}, power="site")},
        workloads=[workload("api", replicas=3, requests_in_memory=4)],
        outages=[("shop-001", 10, 20, "power"), ("kiosk", 12, 17, "power")],
        **SALES, services={"api": {"memory_per_request": "1Mi", "workers": 2}},
    )  # fmt: skip


def contended() -> Scenario:
    return scenario(
        {"shop": site({"pay": request(**WRITE)})},
        collections={"sales": {"keys": {"count": 50}, "cloud_writes": {"every": "1s"}}},
        outages=[("shop", 10, 35, "network")],
    )  # fmt: skip


def answer_at_the_timeout() -> Scenario:
    return scenario(
        {"shop": site({"pay": request(
            service_time={"law": "fixed", "value": "100ms"}, timeout="100ms", budget="50ms",
            retries=2, backoff="30ms", **WRITE,
        )})},
        **SALES,
    )  # fmt: skip


def short_retention() -> Scenario:
    return scenario(
        {"shop": site({"pay": request(**WRITE)}, volume_bytes=90_000)},
        collections={"sales": {"retention": "3s"}}, prune_every="5s",
    )  # fmt: skip


def queue_and_memory_limit() -> Scenario:
    return scenario(
        {"shop": site({"pay": request(**WRITE)}, devices=4)},
        workloads=[workload("api", requests_in_memory=3)],
        **SALES, services={"api": {"memory_per_request": "1Mi", "queue_limit": 2}},
    )  # fmt: skip


DIRECTED = {
    "a full disk": (full_disk, lambda h: count(h, "store_full") and happened(h, "room again")),
    "a queue limit": (queue_limit, lambda h: count(h, "rejected")),
    "a memory kill": (memory_kill, lambda h: happened(h, "OOMKilled") and count(h, "error")),
    "a cold start": (
        cold_start,
        lambda h: np.median(h.column("requests", "finished_us") - h.column("requests", "issued_us"))
        > 130_000,
    ),
    "a crash in mid-queue": (
        crash, lambda h: count(h, "error") > 1 and h.column("requests", "attempt").max() == 1
    ),
    "timeouts and retries": (
        timeouts_and_retries,
        lambda h: h.column("requests", "attempt").max() == 2 and h.column("writes", "info").sum(),
    ),
    "failover to the cloud": (
        failover, lambda h: h.column("writes", "direct").sum() and count(h, "unavailable")
    ),
    "a release in mid-block": (
        policy_release,
        lambda h: h.column("outcomes", "wrongly_denied").sum()
        and set(h.text("activations", "revision")) >= {""} and count(h, "denied"),
    ),
    "several workers": (workers, lambda h: count(h, "rejected") and count(h, "late")),
    "a shared control plane": (
        shared_plane, lambda h: happened(h, "OOMKilled") and count(h, "unavailable")
    ),
    "an answer at the very timeout": (
        answer_at_the_timeout, lambda h: count(h, "late") and h.column("writes", "acked").sum()
    ),
    "writes that go in their own block": (
        short_retention,
        lambda h: not count(h, "store_full")
        and h.column("writes", "stored_bytes").sum() > h.column("volumes", "limit_bytes").sum(),
    ),
    "a queue limit at the memory limit": (
        queue_and_memory_limit, lambda h: count(h, "rejected") and not happened(h, "OOMKilled")
    ),
    "two writers": (contended, lambda h: h.rows("conflicts")),
}  # fmt: skip
"""One scenario for each feedback, and what shows that it occurred."""


@pytest.mark.parametrize("feedback", DIRECTED)
def test_both_engines_agree_request_by_request(feedback):
    make, occurred = DIRECTED[feedback]

    history = agreed(make())

    assert occurred(history)


@pytest.mark.parametrize("feedback", DIRECTED)
def test_the_span_of_a_block_leaves_no_trace(feedback):
    small = DIRECTED[feedback][0]()
    whole = simulate(small, seed=2, requests=True)

    for span_us in (1_000_000, 7_000_000, 60_000_000, 3_600_000_000):
        assert_alike(whole, simulate(small, seed=2, requests=True, span_us=span_us))


def fleet() -> Scenario:
    pay = request(policy="authz", input=PAYMENT, retries=1, **WRITE)
    return scenario(
        {"depot": site({"ask": request(service="log")}, control_plane="cloud", count=2),
         "shop": site({"pay": pay}, count=3, services=2),
         "kiosk": site({"pay": pay, "ask": request()}, services=2)},
        workloads=[workload("api", replicas=2, requests_in_memory=3), workload("log")],
        outages=[("depot-001", 10, 20, "power"), ("shop-002", 12, 30, "network"),
                 ("shop-003", 22, 25, "power"), ("kiosk", 5, 50, "network")],
        **SALES, services={"api": {"memory_per_request": "1Mi"}},
        policies={"authz": {
            "entrypoint": "retail/authz/allow", "poll_min": "5s", "poll_max": "9s",
            "releases": [{"bundle": "retail-authz-r1.tar.gz"},
                         {"at": "12s", "bundle": "retail-authz-r2.tar.gz"}],
        }},
    )  # fmt: skip


@pytest.mark.parametrize("jobs", [2, 3])
def test_processes_leave_no_trace(jobs):
    small = fleet()
    whole = simulate(small, seed=2, requests=True)

    split = simulate(small, seed=2, requests=True, jobs=jobs)

    assert split.meta["measured"]["jobs"] == jobs
    assert_alike(whole, split)
    assert whole.rows("decisions") > 2


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=EXAMPLES)
@given(scenarios(), st.integers(0, 2**32), st.sampled_from([0.02, 0.13, 0.5, 10.0]))
def test_whatever_happens_both_engines_agree(small, seed, span_share):
    span_us = max(1, round(span_share * small.topology.outages.duration_us))

    history = agreed(small, seed=seed, span_us=span_us)

    assert_alike(history, simulate(small, seed=seed, requests=True))
