"""The common workload of the benchmarks: sites with ten devices each, a request a second a device.

Every request passes an endpoint, a policy with 1,000 distinct inputs (each met online and
offline), a queue, an append to a keyed collection that the cloud writes too, and an outcome; every
uplink is down twice for 5 % of the time (facts/peers.md, 5).
"""

from pathlib import Path

from edgetwin.kubernetes import Claim, Container, Manifests, Service, Workload
from edgetwin.model import Bundle, Scenario, Topology
from edgetwin.outages import Outage, Record

POLICIES = Path(__file__).parents[2] / "policies"


def scenario(sites: int, duration_s: float, *, repeat_s: float | None = None) -> Scenario:
    """Return the workload for *sites* sites over *duration_s* seconds.

    Its two cuts a site are those of *repeat_s* seconds (None: of the whole run), again and again.
    """
    end_us = round(duration_s * 1e6)
    period_us = end_us if repeat_s is None else round(repeat_s * 1e6)
    topology = Topology.model_validate(
        {
            "name": "workload",
            "sites": {
                "site": {
                    "count": sites,
                    "control_plane": "local",
                    "nodes": {"edge": {"cpu": 4, "memory": "8Gi", "disk": "32Gi"}},
                    "uplinks": {"wan": {"latency": "12ms", "bandwidth": "20Mbit/s"}},
                    "devices": {
                        "device": {
                            "count": 10,
                            "requests": {
                                "put": {
                                    "service": "api",
                                    "every": "1s",
                                    "kind": "write",
                                    "payload": 400,
                                    "collection": "records",
                                    "policy": "authz",
                                    "input": {
                                        "user": {"integer": [1, 10]},
                                        "role": "cashier",
                                        "action": "pay",
                                        "amount_cents": {"integer": [4950, 5049]},
                                        "offline": {"state": "offline"},
                                        "device": "till",
                                        "class": "internal",
                                    },
                                    "service_time": {"law": "exponential", "mean": "8ms"},
                                    "timeout": "1h",
                                }
                            },
                        }
                    },
                }
            },
            "collections": {
                "records": {
                    "keys": {"count": 10_000},
                    "retention": "7d",
                    "cloud_writes": {"every": "10s"},
                    "claim": "data",
                }
            },
            "policies": {
                "authz": {
                    "entrypoint": "retail/authz/allow",
                    "releases": [{"bundle": "retail-authz-r1.tar.gz"}],
                }
            },
            "sync": {"interval": "60s"},
            "outages": {"settle": "1us", "duration": f"{end_us}us"},
        }
    )
    names = [name for name, _ in _named(topology, sites)]
    cut_us = period_us // 40
    starts = [
        begin + part
        for begin in range(0, end_us, period_us)
        for part in (period_us // 5, period_us * 3 // 5)
        if begin + part + 2 * cut_us < end_us
    ]
    rows = [
        Outage(name, start + 997 * number % cut_us, start + 997 * number % cut_us + cut_us)
        for number, name in enumerate(names)
        for start in starts
    ]
    record = Record(
        outages=tuple(sorted(rows)), unknown=(), sites=tuple(sorted(names)), window_us=(0, end_us)
    )
    file = "retail-authz-r1.tar.gz"
    return Scenario(
        topology=topology,
        manifests=Manifests(
            workloads=(
                Workload(
                    kind="Deployment",
                    name="api",
                    labels=(("app", "api"),),
                    containers=(Container(name="api", image="registry.example/api:1"),),
                ),
            ),
            services=(Service(name="api", selector=(("app", "api"),)),),
            claims=(Claim(name="data", size_bytes=10 * 2**30),),
        ),
        bundles={file: Bundle(file, (POLICIES / file).read_bytes())},
        record=record,
    )


def _named(topology: Topology, sites: int) -> list[tuple[str, str]]:
    from edgetwin.model import numbered

    return [(name, "site") for name in numbered("site", sites)]
