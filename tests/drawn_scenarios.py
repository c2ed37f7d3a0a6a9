"""Hypothesis strategies for small scenarios in which everything is tight.

Durations are whole ticks, so that instants meet: of 10 ms, where clusters have the time to restart
what was killed, or of a microsecond, where a tick has several requests.
"""

from typing import Any

from hypothesis import strategies as st

from edgetwin.model import Scenario
from small_scenarios import PAYMENT, disk_for, scenario, workload

SERVICES = ("api", "log")
WRITE_BYTES = 500


def _ticks(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


def _law(tick: int) -> st.SearchStrategy[dict[str, Any]]:
    def text(ticks: int) -> str:
        return f"{ticks * tick}us"

    return st.one_of(
        st.builds(lambda n: {"law": "fixed", "value": text(n)}, _ticks(0, 8)),
        st.builds(lambda n: {"law": "exponential", "mean": text(n)}, _ticks(1, 12)),
        st.builds(
            lambda low, more: {"law": "uniform", "min": text(low), "max": text(low + more)},
            _ticks(0, 4), _ticks(0, 12),
        ),
        st.builds(
            lambda n, sigma: {"law": "lognormal", "median": text(n), "sigma": sigma},
            _ticks(1, 6), st.sampled_from([0.3, 1.5]),
        ),
    )  # fmt: skip


@st.composite
def _requests(draw: st.DrawFn, tick: int, services: tuple[str, ...]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "service": draw(st.sampled_from(services)),
        "every": f"{draw(_ticks(8, 80) if tick > 1 else _ticks(2, 20)) * tick}us",
        "arrival": draw(st.sampled_from(["poisson", "poisson", "periodic"])),
        "service_time": draw(_law(tick)),
        "budget": f"{draw(_ticks(1, 40)) * tick}us",
        "timeout": f"{draw(st.sampled_from([2, 4, 8, 30, 400])) * tick}us",
        "retries": draw(st.sampled_from([0, 0, 1, 2, 3])),
        "backoff": f"{draw(_ticks(1, 20)) * tick}us",
        "payload": draw(st.sampled_from([WRITE_BYTES, WRITE_BYTES, 300])),
    }
    if draw(st.booleans()):
        made |= {"kind": "write", "collection": draw(st.sampled_from(["sales", "prices"]))}
    if draw(st.integers(0, 2)) == 0:
        made |= {"policy": "authz", "input": PAYMENT}
    return made


@st.composite
def _service(draw: st.DrawFn, tick: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "workers": draw(st.sampled_from([1, 1, 1, 2, 3])),
        "queue_limit": draw(st.sampled_from([None, None, 0, 1, 4])),
        "memory_per_request": draw(st.sampled_from(["0", "1Mi", "1Mi"])),
        "fallback": draw(st.sampled_from(["none", "cloud"])),
        "cloud_service_time": draw(_law(tick)),
    }
    if made["workers"] == 1 and draw(st.booleans()):
        made["keep_alive"] = f"{draw(_ticks(1, 30)) * tick}us"
    return made


@st.composite
def _site(draw: st.DrawFn, tick: int, services: tuple[str, ...]) -> dict[str, Any]:
    volume_bytes = draw(
        st.sampled_from([1 << 30, 0, 2 * WRITE_BYTES, 9 * WRITE_BYTES, 40 * WRITE_BYTES])
    )
    uplinks = {
        "fibre": {
            "latency": f"{draw(_ticks(0, 5)) * tick}us",
            "jitter": f"{draw(_ticks(0, 4)) * tick}us",
            "bandwidth": draw(st.sampled_from(["10Gbit/s", "2Mbit/s", "8kbit/s"])),
        }
    }
    if draw(st.integers(0, 3)) == 0:
        uplinks["radio"] = {**uplinks["fibre"], "latency": f"{9 * tick}us", "priority": 2}
    groups = {
        name: {
            "count": draw(st.integers(1, 2)),
            "power": draw(st.sampled_from(["own", "site"])),
            "requests": draw(
                st.dictionaries(
                    st.sampled_from(["ask", "pay"]), _requests(tick, services), min_size=1
                )
            ),
        }
        for name in draw(st.sampled_from([("till",), ("till", "scale")]))
    }
    return {
        "count": draw(st.sampled_from([1, 1, 2])),
        "control_plane": draw(st.sampled_from(["local", "cloud"])),
        "ups": f"{draw(st.sampled_from([0, 0, 20])) * tick}us",
        "nodes": {
            "edge": {
                "count": draw(st.sampled_from([1, 1, 2])),
                "disk": disk_for(volume_bytes, len(services)),
                "system": 0,
                "boot": {"law": "uniform", "min": "1s", "max": "3s"},
            }
        },
        "uplinks": uplinks,
        "devices": groups,
    }


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Draw a scenario of some hundred to a few thousand requests."""
    tick, ticks = draw(st.sampled_from([(10_000, 2_400), (1, 400)]))
    services = SERVICES[: draw(st.integers(1, 2))]
    kinds = ("shop", "kiosk")[: draw(st.integers(1, 2))]
    sites = {kind: draw(_site(tick, services)) for kind in kinds}
    names = [
        name
        for kind in kinds
        for name in ([kind] if sites[kind]["count"] == 1 else [f"{kind}-001", f"{kind}-002"])
    ]
    faults = []
    for _ in range(draw(st.integers(0, 4))):
        start, length = draw(_ticks(0, ticks - 1)), draw(_ticks(1, ticks // 2))
        what = draw(st.sampled_from(["network", "network", "power", "node", "scheduler"]))
        faults.append((draw(st.sampled_from(names)), start * tick / 1e6,
                       (start + length) * tick / 1e6, what))  # fmt: skip
    releases = [{"bundle": "retail-authz-r1.tar.gz"}]
    if draw(st.booleans()):
        at = draw(_ticks(1, ticks))
        releases.append({"at": f"{at * tick}us", "bundle": "retail-authz-r2.tar.gz"})
    poll = draw(_ticks(10, 200))
    return scenario(
        sites,
        workloads=[
            workload(
                name,
                replicas=draw(st.integers(1, 3)),
                requests_in_memory=draw(st.sampled_from([None, None, 0, 1, 2, 4])),
            )
            for name in services
        ],
        outages=faults,
        storm_s=ticks * tick / 1e6,
        settle_s=ticks * tick / 4e6,
        prune_every=f"{draw(_ticks(5, 300)) * tick}us",
        services={name: draw(_service(tick)) for name in services},
        collections={
            "sales": {"retention": f"{draw(st.sampled_from([1, 30, 300, 100_000])) * tick}us"},
            "prices": {
                "retention": f"{draw(_ticks(1, 300)) * tick}us",
                "class": draw(st.sampled_from(["public", "sensitive"])),
                "keys": {"count": 20, "law": draw(st.sampled_from(["uniform", "zipf"]))},
                **draw(st.sampled_from([{}, {}, {"cloud_writes": {"every": f"{25 * tick}us"}}])),
            },
        },
        policies={
            "authz": {
                "entrypoint": "retail/authz/allow",
                "releases": releases,
                "poll_min": f"{poll * tick}us",
                "poll_max": f"{(poll + draw(_ticks(0, 50))) * tick}us",
                "persist": draw(st.booleans()),
                "missing": draw(st.sampled_from(["deny", "allow"])),
            }
        },
        sync={
            "interval": f"{draw(_ticks(5, 300)) * tick}us",
            "batch": draw(st.sampled_from([1, 7, 500])),
        },
    )
