"""A scenario as the rules of the data plane: stores, classes of requests, services, policies."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgetwin import profiles
from edgetwin.engine.decisions import Decisions
from edgetwin.engine.plane import ClassRules, ServiceRules
from edgetwin.engine.queueing import NO_LIMIT, Rules
from edgetwin.engine.requests import Arrivals
from edgetwin.engine.store import Store, WriteClass
from edgetwin.kubernetes import Workload
from edgetwin.model import Collection, Keys, Scenario, ServiceBehaviour
from edgetwin.policy import Policy, load_bundle

if TYPE_CHECKING:
    from edgetwin.engine.world import World

CRITICAL_DISK_SHARE = 0.05
"""K3s evicts pods below this share of free disk, so a volume has what is above it
(facts/k3s.md, 2)."""


def measured_profile(world: "World", workload: Workload) -> profiles.Profile:
    """Return the start-up profile of a workload: by its RuntimeClass, as the topology maps it."""
    runtimes = dict(world.topology.runtimes)
    if "default" in runtimes:
        runtimes[""] = runtimes.pop("default")
    image = workload.containers[0].image if workload.containers else ""
    return profiles.for_runtime_class(workload.runtime_class or None, image, runtimes)


def make_store(world: "World", window_us: int) -> Store:
    """Return the stores: one column a class of requests that writes."""
    columns = []
    for number, (_, _, _, request) in enumerate(world.requests):
        if request.kind != "write" or request.collection is None:
            continue
        collection = world.topology.collections[request.collection]
        columns.append(
            WriteClass(
                request_class=number,
                collection=world.collections.index(request.collection),
                disk_bytes=-(
                    -request.payload_bytes * round(1e6 * (1 + collection.overhead_share)) // 10**6
                ),
                wire_bytes=request.payload_bytes + world.topology.sync.write_overhead_bytes,
                retention_us=given(collection.retention_us),
                synced=_leaves(world, request.collection, collection),
                contended=collection.cloud_writes is not None
                and _leaves(world, request.collection, collection),
            )
        )
    limit = np.array([_volume_bytes(world, kind) for kind in world.kinds], dtype=np.int64)
    return Store(len(world.names), columns, limit, world.topology.prune_every_us, window_us)


def _leaves(world: "World", name: str, collection: Collection) -> bool:
    """Say whether a collection is synced: not if it is sensitive or its policy refuses."""
    return collection.data_class != "sensitive" and world.egress.get(name, True)


def _volume_bytes(world: "World", kind: str) -> int:
    """Return what one node's disk has for the stores: the claim's size is not enforced."""
    node = next(iter(world.topology.sites[kind].nodes.values()))
    images = sum(
        world.profile_of[workload.name].image_bytes
        for workload in world.scenario.manifests.workloads
    )
    free = node.disk_bytes * (1 - CRITICAL_DISK_SHARE) - node.system_bytes - images
    return max(0, int(free))


def class_rules(world: "World") -> list[ClassRules]:
    column_of = {one.request_class: column for column, one in enumerate(world.store.classes)}
    made = []
    for number, (kind, group, name, request) in enumerate(world.requests):
        sites = np.array([i for i, k in enumerate(world.kinds) if k == kind], dtype=np.int64)
        column = column_of.get(number, -1)
        devices = world.topology.sites[kind].devices[group]
        decisions = None
        if request.policy is not None:
            policy = world.topology.policies[request.policy]
            decisions = Decisions(
                world.policies[request.policy], policy.entrypoint, request.input,
                fail_open=policy.missing == "allow",
            )  # fmt: skip
        contended = column >= 0 and world.store.classes[column].contended
        made.append(
            ClassRules(
                name=f"{kind}/{group}/{name}",
                service=world.service_names.index(request.service),
                budget_us=request.budget_us,
                timeout_us=request.timeout_us,
                retries=request.retries,
                backoff_us=request.backoff_us,
                law=request.service_time,
                write_class=column,
                keys=key_law(world.topology.collections[request.collection].keys)
                if contended and request.collection
                else None,
                decisions=decisions,
                dark_without_power=devices.power == "site",
                sites=sites,
                arrivals=Arrivals(
                    world.draws,
                    [f"{world.names[site]}/{group}/{name}" for site in sites.tolist()],
                    every_us=request.every_us,
                    devices=devices.count,
                    periodic=request.arrival == "periodic",
                ),
            )
        )
    return made


def service_rules(world: "World") -> list[ServiceRules]:
    made = []
    for number, name in enumerate(world.service_names):
        behaviour = world.topology.services.get(name) or ServiceBehaviour()
        workloads = [
            w for w in world.scenario.manifests.workloads if w.name in world.workloads_of[number]
        ]
        profile = world.profile_of[workloads[0].name] if workloads else None
        killed_over = NO_LIMIT
        limit = min((memory_limit(w) for w in workloads if memory_limit(w)), default=0)
        if limit and profile and behaviour.memory_per_request_bytes:
            killed_over = max(
                0, (limit - profile.memory_bytes) // behaviour.memory_per_request_bytes
            )
        made.append(
            ServiceRules(
                name=name,
                rules=Rules(
                    workers=behaviour.workers,
                    in_pod_max=NO_LIMIT
                    if behaviour.queue_limit is None
                    else behaviour.workers + behaviour.queue_limit,
                    killed_over=killed_over,
                    keep_alive_us=behaviour.keep_alive_us or 0,
                ),
                cold_us=_cold_us(profile),
                fallback=behaviour.fallback == "cloud",
                cloud_law=behaviour.cloud_service_time,
                watch_memory=behaviour.memory_per_request_bytes > 0,
            )
        )
    return made


def _cold_us(profile: profiles.Profile | None) -> NDArray[np.int64]:
    """Return the cold starts of a scaled-to-zero instance: measured, at even quantiles."""
    if profile is None:
        return np.zeros(1, dtype=np.int64)
    return profile.start_us((np.arange(1024) + 0.5) / 1024)


def key_law(keys: Keys) -> NDArray[np.float64] | int:
    """Return how requests choose among *keys*: their number, or their cumulative shares."""
    if keys.law == "uniform":
        return keys.count
    weight = np.arange(1, keys.count + 1, dtype=np.float64) ** -keys.exponent
    shares = np.cumsum(weight)
    cumulative: NDArray[np.float64] = shares[:-1] / shares[-1]
    return cumulative


def memory_limit(workload: Workload) -> int:
    """Return the memory limit of a pod in bytes, 0 if a container has none."""
    limits = [container.memory_bytes_limit for container in workload.containers]
    return sum(limit for limit in limits if limit) if limits and all(limits) else 0


def load_policies(scenario: Scenario) -> dict[str, list[Policy]]:
    """Return every policy's revisions, each the real module."""
    return {
        name: [
            Policy(load_bundle(scenario.bundles[release.bundle].content, name=release.bundle))
            for release in policy.releases
        ]
        for name, policy in scenario.topology.policies.items()
    }


def ask_egress(scenario: Scenario) -> dict[str, bool]:
    """Ask each collection's egress policy whether it may leave its site; no answer is a no."""
    allowed = {}
    for name, collection in scenario.topology.collections.items():
        if collection.egress is None:
            continue
        policy = scenario.topology.policies[collection.egress]
        bundle = policy.releases[0].bundle
        module = Policy(load_bundle(scenario.bundles[bundle].content, name=bundle))
        answer = module.decide(
            policy.entrypoint, {"collection": name, "class": collection.data_class}
        )
        allowed[name] = answer is True
    return allowed


def given(value: int | None) -> int:
    """Return what loading has filled in."""
    assert value is not None
    return value
