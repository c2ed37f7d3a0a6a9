"""Small scenarios, made in memory: minutes of time, one or two kinds of sites, real policies."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgetwin import profiles
from edgetwin.kubernetes import Container, Manifests, Service, Workload
from edgetwin.model import Bundle, Scenario, Topology
from edgetwin.outages import Outage, Record

POLICIES = Path(__file__).parent.parent / "policies"
START_US = 1_700_000_000_000_000
SECOND_US = 1_000_000
RUNTIME = "wasmedge"
PROFILE = profiles.for_runtime_class(RUNTIME, "app:1", {})
BUNDLES = {
    name: Bundle(name, (POLICIES / name).read_bytes())
    for name in ("retail-authz-r1.tar.gz", "retail-authz-r2.tar.gz")
}
PAYMENT = {
    "user": {"integer": [1, 3]}, "role": {"one_of": ["cashier", "manager"]},
    "action": {"one_of": ["pay", "refund"]}, "amount_cents": {"one_of": [100, 4000, 6000, 30000]},
    "offline": {"state": "offline"}, "device": "till", "class": "internal",
}  # fmt: skip


def disk_for(volume_bytes: int, services: int = 1) -> int:
    """Return the disk that leaves *volume_bytes* for the stores of a node."""
    return -(-(volume_bytes + services * PROFILE.image_bytes) * 100 // 95)


def workload(
    name: str, *, replicas: int = 1, requests_in_memory: int | None = None,
    memory_per_request: int = 1 << 20, kind: str = "Deployment",
) -> Workload:  # fmt: skip
    """Return a workload whose memory limit has room for so many requests at once."""
    limit = None
    if requests_in_memory is not None:
        limit = PROFILE.memory_bytes + requests_in_memory * memory_per_request
    return Workload(
        kind=kind,  # type: ignore[arg-type]
        name=name,
        replicas=replicas,
        labels=(("app", name),),
        runtime_class=RUNTIME,
        containers=(Container(name=name, image=f"{name}:1", memory_bytes_limit=limit),),
    )


def request(**changes: Any) -> dict[str, Any]:
    """Return a class of requests that asks `api` five times a second."""
    return {
        "service": "api",
        "every": "200ms",
        "service_time": {"law": "exponential", "mean": "50ms"},
        "budget": "200ms",
        **changes,
    }


def site(
    requests: Mapping[str, Mapping[str, Any]], *, devices: int = 1, volume_bytes: int = 1 << 30,
    services: int = 1, nodes: int = 1, node: Mapping[str, Any] | None = None, power: str = "own",
    **changes: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return a kind of sites with one group of devices."""
    return {
        "control_plane": "local",
        "nodes": {
            "edge": {
                "count": nodes,
                "disk": disk_for(volume_bytes, services),
                "system": 0,
                "boot": {"law": "uniform", "min": "2s", "max": "4s"},
                **(node or {}),
            }
        },
        "uplinks": {"fibre": {"latency": "10ms", "jitter": "5ms", "bandwidth": "10Mbit/s"}},
        "devices": {"till": {"count": devices, "power": power, "requests": dict(requests)}},
        **changes,
    }


def scenario(
    sites: Mapping[str, Mapping[str, Any]], *, workloads: Sequence[Workload] | None = None,
    outages: Sequence[tuple[str, float, float, str]] = (), storm_s: float = 60,
    settle_s: float = 30, **topology: Any,
) -> Scenario:  # fmt: skip
    """Return a scenario; *outages* are (site, from, to, kind), in seconds after the start."""
    workloads = [workload("api")] if workloads is None else workloads
    written = {
        "name": "small",
        "sites": dict(sites),
        "prune_every": "10s",
        "kubelet_delay": "0s",
        "outages": {
            "duration": f"{round(storm_s * 1e6)}us",
            "settle": f"{round(settle_s * 1e6)}us",
        },
        **topology,
    }
    written["sync"] = {"interval": "10s", **written.get("sync", {})}
    collections = {
        name: {"retention": "7d", **values}
        for name, values in written.get("collections", {}).items()
    }
    made = Topology.model_validate({**written, "collections": collections})
    bare = Scenario(made, Manifests(), {}, Record((), (), (), (0, 0)))
    rows = tuple(
        Outage(name, START_US + round(start * 1e6), START_US + round(end * 1e6), kind)
        for name, start, end, kind in sorted(outages)
    )
    return Scenario(
        topology=made,
        manifests=Manifests(
            workloads=tuple(workloads),
            services=tuple(
                Service(name=one.name, selector=(("app", one.name),)) for one in workloads
            ),
        ),
        bundles=BUNDLES,
        record=Record(
            outages=rows, unknown=(), sites=bare.site_names,
            window_us=(START_US, START_US + round(storm_s * 1e6)),
        ),
    )  # fmt: skip
