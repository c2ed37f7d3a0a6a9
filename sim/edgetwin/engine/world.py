"""A scenario made ready to run: streams, rules, stores, clusters and agents for a set of sites."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import simpy
from numpy.typing import NDArray

from edgetwin import profiles, versions
from edgetwin.engine.agent import Agent, AgentSettings, LogSettings
from edgetwin.engine.cluster import Cluster, ClusterSpec
from edgetwin.engine.cluster_state import ControlPlane
from edgetwin.engine.conflicts import Clocks, Contention
from edgetwin.engine.counted_log import CountedLog
from edgetwin.engine.decisions import NO_BUNDLE, Decisions
from edgetwin.engine.freshness import Freshness
from edgetwin.engine.ledger import Ledger
from edgetwin.engine.plane import ClassRules, Plane, ServiceRules
from edgetwin.engine.queueing import NO_LIMIT, Rules
from edgetwin.engine.requests import Arrivals
from edgetwin.engine.site import Fault, SiteControl
from edgetwin.engine.store import Store, WriteClass
from edgetwin.engine.sync import Outbox, SyncRules
from edgetwin.history import Recorder
from edgetwin.kubernetes import ZONE, Node, RuntimeClass, Taint, Workload, pairs
from edgetwin.model import Collection, Keys, Scenario, ServiceBehaviour
from edgetwin.model import Policy as Written
from edgetwin.policy import Policy, load_bundle
from edgetwin.streams import Philox, named

K3S_RUNTIME_CLASSES = tuple(
    RuntimeClass(name=name, handler=name)
    for name in ("crun", "lunatic", "slight", "spin", "wasmedge", "wasmer", "wasmtime", "wws")
)
"""RuntimeClass objects that K3s makes by itself, shim or not; there is no `wasm` among them
(facts/k3s.md, 3.6)."""

CRITICAL_DISK_SHARE = 0.05
"""K3s evicts pods below this share of free disk, so a volume has what is above it
(facts/k3s.md, 2)."""


@dataclass(frozen=True)
class Component:
    """Sites that share a clock because they share a cluster."""

    env: simpy.Environment
    sites: tuple[int, ...]


class World:
    """Everything that one process runs of a scenario."""

    def __init__(
        self, scenario: Scenario, seed: int, sites: Sequence[int],
        faults: Mapping[str, Sequence[Fault]], *, end_us: int, window_us: int,
        keep_requests: bool, plane_type: type[Plane] = Plane,
    ) -> None:  # fmt: skip
        topology = scenario.topology
        self.scenario = scenario
        self.topology = topology
        self.draws = Philox(seed)
        self.recorder = Recorder()
        self.end_us = end_us
        self.names = [scenario.sites[number][0] for number in sites]
        self.kinds = [scenario.sites[number][1] for number in sites]
        self.node_kind: dict[str, str] = {}
        self._counters: dict[str, int] = {}
        self._touched: dict[int, SiteControl] = {}
        self.policies = _policies(scenario)
        self.egress = _egress(scenario)
        self._requests = [
            (kind, group, name, request)
            for kind, site in topology.sites.items()
            for group, devices in site.devices.items()
            for name, request in devices.requests.items()
            if kind in self.kinds
        ]
        self.service_names = sorted({request.service for *_, request in self._requests})
        workloads = scenario.manifests.workloads
        services = {service.name: service for service in scenario.manifests.services}
        self.workloads_of = [
            tuple(
                workload.name for workload in workloads
                if services[name].selector
                and set(services[name].selector) <= set(workload.labels)
            )
            for name in self.service_names
        ]  # fmt: skip
        self.profile_of = {workload.name: self._profile(workload) for workload in workloads}
        self._store(window_us)
        self.books = Ledger(
            self.names, [f"{kind}/{group}/{name}" for kind, group, name, _ in self._requests]
        )
        self._components(faults)
        component = np.zeros(len(self.names), dtype=np.int64)
        for number, one in enumerate(self.components):
            component[list(one.sites)] = number
        classes, rules = self._classes(), self._services()
        self.plane = plane_type(
            len(self.names), classes, rules, self.store, self.books, component,
            keep_requests=keep_requests,
        )  # fmt: skip
        self._contended()
        self._clusters()
        self._agents()
        self._outboxes()
        for control in self.controls:
            control.endpoints(range(len(self.service_names)))
            control.touch()
            control.settle()

    # -- making ----------------------------------------------------------------------------

    def _profile(self, workload: Workload) -> profiles.Profile:
        runtimes = dict(self.topology.runtimes)
        if "default" in runtimes:
            runtimes[""] = runtimes.pop("default")
        image = workload.containers[0].image if workload.containers else ""
        return profiles.for_runtime_class(workload.runtime_class or None, image, runtimes)

    def _store(self, window_us: int) -> None:
        """Make the stores: one column a class of requests that writes."""
        self.collections = sorted(self.topology.collections)
        columns = []
        for number, (_, _, _, request) in enumerate(self._requests):
            if request.kind != "write" or request.collection is None:
                continue
            collection = self.topology.collections[request.collection]
            columns.append(
                WriteClass(
                    request_class=number,
                    collection=self.collections.index(request.collection),
                    disk_bytes=-(
                        -request.payload_bytes
                        * round(1e6 * (1 + collection.overhead_share))
                        // 10**6
                    ),
                    wire_bytes=request.payload_bytes + self.topology.sync.write_overhead_bytes,
                    retention_us=_given(collection.retention_us),
                    synced=self._leaves(request.collection, collection),
                    contended=collection.cloud_writes is not None
                    and self._leaves(request.collection, collection),
                )
            )
        limit = np.array([self._volume_bytes(kind) for kind in self.kinds], dtype=np.int64)
        self.store = Store(len(self.names), columns, limit, self.topology.prune_every_us, window_us)

    def _leaves(self, name: str, collection: Collection) -> bool:
        """Say whether a collection is synced: not if it is sensitive or its policy refuses."""
        return collection.data_class != "sensitive" and self.egress.get(name, True)

    def _volume_bytes(self, kind: str) -> int:
        """Return what one node's disk has for the stores: the claim's size is not enforced."""
        node = next(iter(self.topology.sites[kind].nodes.values()))
        images = sum(
            self.profile_of[workload.name].image_bytes
            for workload in self.scenario.manifests.workloads
        )
        free = node.disk_bytes * (1 - CRITICAL_DISK_SHARE) - node.system_bytes - images
        return max(0, int(free))

    def _classes(self) -> list[ClassRules]:
        column_of = {one.request_class: column for column, one in enumerate(self.store.classes)}
        self._first_use: dict[str, int] = {}
        made = []
        for number, (kind, group, name, request) in enumerate(self._requests):
            sites = np.array([i for i, k in enumerate(self.kinds) if k == kind], dtype=np.int64)
            column = column_of.get(number, -1)
            devices = self.topology.sites[kind].devices[group]
            decisions = None
            if request.policy is not None:
                policy = self.topology.policies[request.policy]
                decisions = Decisions(
                    self.policies[request.policy], policy.entrypoint, request.input,
                    fail_open=policy.missing == "allow",
                )  # fmt: skip
            contended = column >= 0 and self.store.classes[column].contended
            made.append(
                ClassRules(
                    name=f"{kind}/{group}/{name}",
                    service=self.service_names.index(request.service),
                    budget_us=request.budget_us,
                    timeout_us=request.timeout_us,
                    retries=request.retries,
                    backoff_us=request.backoff_us,
                    law=request.service_time,
                    write_class=column,
                    keys=key_law(self.topology.collections[request.collection].keys)
                    if contended and request.collection
                    else None,
                    decisions=decisions,
                    dark_without_power=devices.power == "site",
                    sites=sites,
                    arrivals=Arrivals(
                        self.draws,
                        [f"{self.names[site]}/{group}/{name}" for site in sites.tolist()],
                        every_us=request.every_us,
                        devices=devices.count,
                        periodic=request.arrival == "periodic",
                    ),
                )
            )
        return made

    def _services(self) -> list[ServiceRules]:
        made = []
        for number, name in enumerate(self.service_names):
            behaviour = self.topology.services.get(name) or ServiceBehaviour()
            workloads = [
                w for w in self.scenario.manifests.workloads if w.name in self.workloads_of[number]
            ]
            profile = self.profile_of[workloads[0].name] if workloads else None
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
                    cold_us=self._cold_us(profile),
                    fallback=behaviour.fallback == "cloud",
                    cloud_law=behaviour.cloud_service_time,
                    watch_memory=behaviour.memory_per_request_bytes > 0,
                )
            )
        return made

    def _cold_us(self, profile: profiles.Profile | None) -> NDArray[np.int64]:
        """Return the cold starts of a scaled-to-zero instance: measured, at even quantiles."""
        if profile is None:
            return np.zeros(1, dtype=np.int64)
        return profile.start_us((np.arange(1024) + 0.5) / 1024)

    def _components(self, faults: Mapping[str, Sequence[Fault]]) -> None:
        self.components: list[Component] = []
        self.controls: list[SiteControl] = []
        shared = [i for i, kind in enumerate(self.kinds) if self._plane_of(kind) == "cloud"]
        env_of: dict[int, simpy.Environment] = {}
        if shared:
            env = simpy.Environment()
            self.components.append(Component(env, tuple(shared)))
            env_of.update(dict.fromkeys(shared, env))
        for number in range(len(self.names)):
            if number not in env_of:
                env_of[number] = simpy.Environment()
                self.components.append(Component(env_of[number], (number,)))
        self._ticks = np.array([self._phase_us(name) for name in self.names], dtype=np.int64)
        for number, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True)):
            self.controls.append(
                SiteControl(
                    self, env_of[number], number, name, self.topology.sites[kind],
                    faults.get(name, ()),
                )
            )  # fmt: skip
        self.by_name = {control.name: control for control in self.controls}
        for control in self.controls:
            control.foresee(self.end_us)

    def _plane_of(self, kind: str) -> ControlPlane:
        return self.topology.sites[kind].control_plane

    def _phase_us(self, name: str) -> int:
        return self.draws.word(f"sync/{name}", 0) % _given(self.topology.sync.interval_us)

    def ticks_before(self, number: int, at_us: int) -> tuple[int, int]:
        """Return the last but one and the last sync tick of a site before *at_us*."""
        interval = _given(self.topology.sync.interval_us)
        phase = int(self._ticks[number])
        last = phase + (at_us - 1 - phase) // interval * interval
        return last - interval, last

    def _clusters(self) -> None:
        for component in self.components:
            kinds = {self.kinds[number] for number in component.sites}
            mode = self._plane_of(next(iter(kinds)))
            nodes = [node for number in component.sites for node in self._nodes(number)]
            name = "cloud" if mode == "cloud" else self.names[component.sites[0]]
            manifests = self.scenario.manifests
            spec = ClusterSpec(
                name=name,
                control_plane=mode,
                nodes=tuple(nodes),
                workloads=manifests.workloads,
                services=manifests.services,
                claims=manifests.claims,
                runtime_classes=(*manifests.runtime_classes, *K3S_RUNTIME_CLASSES),
                kubernetes=self._kubernetes,
                image_bytes=tuple(
                    (container.image, self.profile_of[workload.name].image_gzip_bytes)
                    for workload in manifests.workloads
                    for container in workload.containers[:1]
                ),
            )
            cluster = Cluster(
                component.env, spec, named(self.draws, f"cluster/{name}"),
                start_us=partial(self._start_us, component.env),
                on_endpoints=self._on_endpoints,
                on_event=partial(self._on_event, component.env, name),
            )  # fmt: skip
            for number in component.sites:
                self.controls[number].cluster = cluster
                self.controls[number].nodes = [
                    node.name for node in nodes if node.site == self.names[number]
                ]

    @cached_property
    def _kubernetes(self) -> versions.Kubernetes:
        # A node's own boot law is applied by its site, before the cluster hears of the power.
        return versions.defaults(self.topology.kubernetes, boot_us=0)

    def _nodes(self, number: int) -> list[Node]:
        name, spec = self.names[number], self.topology.sites[self.kinds[number]]
        made: list[Node] = []
        servers = {"cloud": 0, "local": 1, "local-ha": 3}[spec.control_plane]
        for key, node in spec.nodes.items():
            for copy in range(1, node.count + 1):
                own = f"{name}-{key}" if node.count == 1 else f"{name}-{key}-{copy}"
                self.node_kind[own] = key
                labels = dict(node.labels)
                if spec.zone_label:
                    labels[ZONE] = name
                made.append(
                    Node(
                        name=own,
                        site=name,
                        cores=node.cpu_cores,
                        memory_bytes=node.memory_bytes,
                        disk_bytes=node.disk_bytes,
                        labels=pairs(labels),
                        taints=tuple(_taint(text) for text in node.taints),
                        server=len(made) < servers if node.server is None else node.server,
                    )
                )
        return made

    def _start_us(
        self, env: simpy.Environment, workload: Workload, node: Node, counter: int
    ) -> int:
        profile = self.profile_of[workload.name]
        share = self.draws.unit(f"start/{node.name}/{workload.name}", counter)
        control = self.by_name[node.site]
        cold = control.cluster is not None and any(
            control.cluster.cold(node.name, container.image) for container in workload.containers
        )
        runtime = profile.cold_start_us(share) if cold else profile.start_us(share)
        duration = runtime + self.topology.kubelet_delay_us
        if env.now > 0:
            self.recorder.row(
                "starts", time_us=int(env.now), site=node.site, workload=workload.name,
                profile=profile.name, start_us=duration,
            )  # fmt: skip
        return duration

    def _on_endpoints(self, site: str, workload: str) -> None:
        services = [i for i, names in enumerate(self.workloads_of) if workload in names]
        if services:
            self.by_name[site].endpoints(services)

    def _on_event(
        self, env: simpy.Environment, own: str, entity: str, kind: str, detail: str
    ) -> None:
        if env.now > 0:
            name = entity.removeprefix("node/")
            site = next((s for s in (own, name.rpartition("-")[0]) if s in self.by_name), own)
            self.recorder.row(
                "events", time_us=int(env.now), site=site, entity=entity, kind=kind, detail=detail
            )

    def _agents(self) -> None:
        policies = sorted(self.topology.policies.items())
        self._first_release: dict[str, int] = {}
        releases = 0
        for name, policy in policies:
            self._first_release[name] = releases
            releases += len(policy.releases)
        self.plane.tally.follow(releases)
        if any(policy.decision_log for _, policy in policies):
            self.plane.tally.log()
        for name, policy in policies:
            settings = agent_settings(policy)
            sizes = [
                len(self.scenario.bundles[release.bundle].content) for release in policy.releases
            ]
            for control in self.controls:
                control.active[name] = 0
                draw = named(self.draws, f"agent/{control.name}/{name}")
                control.freshness[name] = Freshness(partial(self._stale, control, name))
                log = None
                if policy.decision_log is not None:
                    log = control.logs[name] = CountedLog(
                        settings.log, draw, counted=partial(self._logged, control, name),
                        later=control.at_the_end,
                    )  # fmt: skip
                agent = Agent(
                    control.env, settings, draw,
                    activate=partial(control.activated, name),
                    on_event=partial(control.agent_event, name),
                    holds="0",
                    log=log,
                )  # fmt: skip
                control.agents[name] = agent
                for number, release in enumerate(policy.releases[1:], start=1):
                    if release.at_us < self.end_us:
                        control.env.timeout(release.at_us).callbacks.append(
                            partial(self._release, control, agent, number, sizes[number])
                        )

    def _release(
        self, control: SiteControl, agent: Agent, number: int, size: int, _: simpy.Event
    ) -> None:
        agent.release(str(number), size_bytes=size, packed_bytes=size)
        control.touch()

    def _stale(self, control: SiteControl, policy: str, release: int) -> NDArray[np.int64]:
        """Return the stale decisions of a site while a release was the cloud's, by verdict."""
        return self.plane.tally.stale[self._first_release[policy] + release, control.number]

    def _logged(self, control: SiteControl, policy: str) -> int:
        """Return how many decisions of a policy were asked of a site's agent so far."""
        logged = self.plane.tally.logged
        assert logged is not None
        classes = [i for i, (*_, one) in enumerate(self._requests) if one.policy == policy]
        return int(logged[classes, control.number].sum())

    def _outboxes(self) -> None:
        sync = self.topology.sync
        for control in self.controls:
            load = sum(
                8 * one.wire_bytes / self._requests[one.request_class][3].every_us * 1e6
                * control.spec.devices[self._requests[one.request_class][1]].count
                for one in self.store.classes
                if one.synced and self._requests[one.request_class][0] == self.kinds[control.number]
            )  # fmt: skip
            control.outbox = Outbox(
                control.env, control.number, self.store,
                SyncRules(
                    _given(sync.interval_us), int(self._ticks[control.number]),
                    sync.batch_writes_max, sync.bandwidth_share,
                ),
                load, control.link, control.at_the_end,
                partial(control.event, "sync"),
            )  # fmt: skip

    def _contended(self) -> None:
        """Find the collections that both sides write, and the streams of the cloud's writes."""
        offset, drift = [], []
        for name, kind in zip(self.names, self.kinds, strict=True):
            clock = self.topology.sites[kind].clock
            share = self.draws.unit(f"clock/{name}", 0), self.draws.unit(f"clock/{name}", 1)
            offset.append(round((2 * share[0] - 1) * clock.offset_us))
            drift.append((2 * share[1] - 1) * clock.drift_ppm)
        clocks = Clocks(np.array(offset, dtype=np.int64), np.array(drift, dtype=np.float64))
        self.contentions: list[Contention] = []
        for number, edge in self.store.keyed.items():
            name = self.collections[number]
            collection = self.topology.collections[name]
            assert collection.cloud_writes is not None
            sites = np.unique(
                np.concatenate(
                    [
                        self.plane.classes[one.request_class].sites
                        for one in self.store.classes
                        if one.collection == number
                    ]
                )
            )
            streams = Arrivals(
                self.draws,
                [f"{self.names[site]}/cloud/{name}" for site in sites.tolist()],
                every_us=collection.cloud_writes.every_us,
            )
            self.contentions.append(
                Contention(
                    name, collection, self.names, edge, streams, sites,
                    key_law(collection.keys), clocks, self._merge(collection),
                )
            )  # fmt: skip

    def _merge(
        self, collection: Collection
    ) -> Callable[[Sequence[object]], Sequence[object]] | None:
        """Return what decides conflicts of a collection whose strategy is a policy."""
        if collection.merge is None:
            return None
        policy = self.topology.policies[collection.merge]
        return partial(self.policies[collection.merge][0].decide_many, policy.entrypoint)

    # -- while it runs ---------------------------------------------------------------------

    def touched(self, control: SiteControl) -> None:
        """A site has something to say at the end of this instant."""
        self._touched[control.number] = control

    def is_touched(self, sites: Sequence[int]) -> bool:
        """Say whether any of *sites* has something to say at the end of this instant."""
        return bool(self._touched) and any(site in self._touched for site in sites)

    def settle(self, sites: Sequence[int]) -> None:
        """Let the touched ones of *sites* tell the plane what holds from now on."""
        if not self._touched:
            return
        env = self.controls[sites[0]].env
        while touched := [site for site in sites if site in self._touched]:
            for site in touched:
                self._touched.pop(site).settle()
            # What they said may have consequences within the instant.
            while env.peek() <= env.now:
                env.step()

    def counted_word(self, stream: str) -> NDArray[np.uint64]:
        """Return the next word of a stream that is drawn from once an event, shape (1,)."""
        counter = self._counters.get(stream, 0)
        self._counters[stream] = counter + 1
        return np.array([self.draws.word(stream, counter)], dtype=np.uint64)

    def current(self, policy: str, now_us: int) -> int:
        """Return the revision of *policy* that the cloud holds."""
        releases = self.topology.policies[policy].releases
        return max(i for i, release in enumerate(releases) if release.at_us <= now_us)

    def settle_tables(self, control: SiteControl) -> None:
        """Choose the decision tables of a site's classes for its present state."""
        now, offline = int(control.env.now), control.uplink is None
        for number, (kind, _, _, request) in enumerate(self._requests):
            decisions = self.plane.classes[number].decisions
            if decisions is None or request.policy is None or kind != self.kinds[control.number]:
                continue
            current, active = self.current(request.policy, now), control.active[request.policy]
            table = decisions.table(active=active, current=current, offline=offline)
            if active != current:
                release = self._first_release[request.policy] + current
                self.plane.tally.declare_stale(number, table, release)
            self.plane.table[number, control.number] = table
            self.plane.cloud_table[number, control.number] = decisions.table(
                active=current, current=current, offline=False
            )

    def serving(self, control: SiteControl) -> bool:
        """Say whether every class of a site's requests could be answered now."""
        here = control.number
        for kind, _, _, request in self._requests:
            if kind != self.kinds[here]:
                continue
            service = self.service_names.index(request.service)
            behaviour = self.topology.services.get(request.service)
            away = behaviour is not None and behaviour.fallback == "cloud" and control.uplink
            if not self.plane.ready[service, here] and not away:
                return False
            if (
                request.policy is not None
                and control.active[request.policy] == NO_BUNDLE
                and self.topology.policies[request.policy].missing == "deny"
            ):
                return False
            if request.kind == "write" and self.store.full[here]:
                return False
        return True

    def request_policy(self, number: int) -> str:
        """Return the policy that a class of requests asks, empty for none."""
        return self._requests[number][3].policy or ""

    def meetings(self, until_us: int) -> list[NDArray[np.int64]]:
        """Return when each site met its cloud, for meetings before *until_us* not yet asked for."""
        return [
            control.outbox.meetings.until(until_us) for control in self.controls if control.outbox
        ]

    def activation(self, control: SiteControl, policy: str, revision: int) -> None:
        """Write to the history which revision decides at a site from now on."""
        releases = self.topology.policies[policy].releases
        self.recorder.row(
            "activations",
            time_us=int(control.env.now),
            site=control.name,
            policy=policy,
            revision="" if revision == NO_BUNDLE else self.revision_name(policy, revision),
            released_us=-1 if revision == NO_BUNDLE else releases[revision].at_us,
        )

    def revision_name(self, policy: str, revision: int) -> str:
        """Return the bundle of a revision with the head of its digest."""
        file = self.topology.policies[policy].releases[revision].bundle
        return f"{file}@{self.scenario.bundles[file].sha256[:12]}"


def key_law(keys: Keys) -> NDArray[np.float64] | int:
    """Return how requests choose among *keys*: their number, or their cumulative shares."""
    if keys.law == "uniform":
        return keys.count
    weight = np.arange(1, keys.count + 1, dtype=np.float64) ** -keys.exponent
    shares = np.cumsum(weight)
    cumulative: NDArray[np.float64] = shares[:-1] / shares[-1]
    return cumulative


def agent_settings(policy: Written) -> AgentSettings:
    """Return how the agents of *policy* are configured."""
    log = policy.decision_log
    return AgentSettings(
        polling_us_min=policy.poll_min_us,
        polling_us_max=policy.poll_max_us,
        long_poll_us=policy.long_poll_us,
        header_timeout_us=policy.header_timeout_us,
        persist=policy.persist,
        disk_store=policy.disk_store,
        log=LogSettings()
        if log is None
        else LogSettings(
            reporting_us_min=log.upload_min_us,
            reporting_us_max=log.upload_max_us,
            buffer=log.buffer,
            buffer_bytes_max=log.limit_bytes,
            buffer_events_max=log.limit_events,
            upload_bytes_max=log.upload_bytes_max,
            decisions_per_s_max=log.decisions_per_s_max,
            event_bytes=log.event_bytes,
        ),
    )


def memory_limit(workload: Workload) -> int:
    """Return the memory limit of a pod in bytes, 0 if a container has none."""
    limits = [container.memory_bytes_limit for container in workload.containers]
    return sum(limit for limit in limits if limit) if limits and all(limits) else 0


def _policies(scenario: Scenario) -> dict[str, list[Policy]]:
    """Return every policy's revisions, each the real module."""
    return {
        name: [
            Policy(load_bundle(scenario.bundles[release.bundle].content, name=release.bundle))
            for release in policy.releases
        ]
        for name, policy in scenario.topology.policies.items()
    }


def _egress(scenario: Scenario) -> dict[str, bool]:
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


def _taint(text: str) -> Taint:
    """Return the taint that *text* writes as kubectl does: ``key=value:NoSchedule``."""
    left, _, effect = text.rpartition(":")
    key, _, value = left.partition("=")
    return Taint(key=key, effect=effect, value=value)  # type: ignore[arg-type]


def _given(value: int | None) -> int:
    assert value is not None, "loading fills this in"
    return value
