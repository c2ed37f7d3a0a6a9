"""A scenario made ready to run: streams, rules, stores, clusters and agents for a set of sites."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import simpy
from numpy.typing import NDArray

from edgetwin.engine.cluster_state import ControlPlane
from edgetwin.engine.decisions import NO_BUNDLE
from edgetwin.engine.fleet import make_clusters
from edgetwin.engine.ledger import Ledger
from edgetwin.engine.meeting import contentions, make_outboxes
from edgetwin.engine.plane import Plane
from edgetwin.engine.policy_agents import make_agents
from edgetwin.engine.replay import Replay
from edgetwin.engine.rules import (
    ask_egress,
    class_rules,
    given,
    load_policies,
    make_store,
    measured_profile,
    service_rules,
)
from edgetwin.engine.site import SiteControl
from edgetwin.history import Recorder
from edgetwin.kubernetes import Node, Workload
from edgetwin.model import Scenario
from edgetwin.streams import Philox


@dataclass(frozen=True)
class Component:
    """Sites that share a clock because they share a cluster."""

    env: simpy.Environment
    sites: tuple[int, ...]


class World:
    """Everything that one process runs of a scenario."""

    def __init__(
        self, scenario: Scenario, seed: int, sites: Sequence[int],
        storm: Replay, *, window_us: int,
        keep_requests: bool, plane_type: type[Plane] = Plane,
    ) -> None:  # fmt: skip
        topology = scenario.topology
        self.scenario = scenario
        self.topology = topology
        self.draws = Philox(seed)
        self.recorder = Recorder()
        self.end_us = storm.end_us
        self.names = [scenario.sites[number][0] for number in sites]
        self.kinds = [scenario.sites[number][1] for number in sites]
        self.node_kind: dict[str, str] = {}
        self._counters: dict[str, int] = {}
        self._touched: dict[int, SiteControl] = {}
        self.policies = load_policies(scenario)
        self.egress = ask_egress(scenario)
        self.requests = [
            (kind, group, name, request)
            for kind, site in topology.sites.items()
            for group, devices in site.devices.items()
            for name, request in devices.requests.items()
            if kind in self.kinds
        ]
        # Those of every kind: which kinds share this process must not change what sites run.
        self.service_names = sorted(
            {
                request.service
                for site in topology.sites.values()
                for devices in site.devices.values()
                for request in devices.requests.values()
            }
        )
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
        self.profile_of = {
            workload.name: measured_profile(self, workload) for workload in workloads
        }
        self.collections = sorted(topology.collections)
        self.store = make_store(self, window_us)
        self.books = Ledger(
            self.names, [f"{kind}/{group}/{name}" for kind, group, name, _ in self.requests]
        )
        self._components(storm)
        component = np.zeros(len(self.names), dtype=np.int64)
        for number, one in enumerate(self.components):
            component[list(one.sites)] = number
        classes, rules = class_rules(self), service_rules(self)
        self.plane = plane_type(
            len(self.names), classes, rules, self.store, self.books, component,
            keep_requests=keep_requests,
        )  # fmt: skip
        self.contentions = contentions(self)
        make_clusters(self)
        self.first_release: dict[str, int] = {}
        make_agents(self)
        make_outboxes(self)
        for control in self.controls:
            control.endpoints(range(len(self.service_names)))
            control.touch()
            control.settle()

    # -- making ----------------------------------------------------------------------------

    def _components(self, storm: Replay) -> None:
        self.components: list[Component] = []
        self.controls: list[SiteControl] = []
        shared = [i for i, kind in enumerate(self.kinds) if self.plane_of(kind) == "cloud"]
        env_of: dict[int, simpy.Environment] = {}
        if shared:
            env = simpy.Environment()
            self.components.append(Component(env, tuple(shared)))
            env_of.update(dict.fromkeys(shared, env))
        for number in range(len(self.names)):
            if number not in env_of:
                env_of[number] = simpy.Environment()
                self.components.append(Component(env_of[number], (number,)))
        self.ticks = np.array([self._phase_us(name) for name in self.names], dtype=np.int64)
        for number, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True)):
            self.controls.append(
                SiteControl(
                    self, env_of[number], number, name, self.topology.sites[kind],
                    storm.faults.get(name, ()), storm.passages[name],
                )
            )  # fmt: skip
        self.by_name = {control.name: control for control in self.controls}
        for control in self.controls:
            control.foresee(self.end_us)

    def plane_of(self, kind: str) -> ControlPlane:
        return self.topology.sites[kind].control_plane

    def _phase_us(self, name: str) -> int:
        return self.draws.word(f"sync/{name}", 0) % given(self.topology.sync.interval_us)

    def ticks_before(self, number: int, at_us: int) -> tuple[int, int]:
        """Return the last but one and the last sync tick of a site before *at_us*."""
        interval = given(self.topology.sync.interval_us)
        phase = int(self.ticks[number])
        last = phase + (at_us - 1 - phase) // interval * interval
        return last - interval, last

    def start_us(self, env: simpy.Environment, workload: Workload, node: Node, counter: int) -> int:
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

    def on_endpoints(self, site: str, workload: str) -> None:
        services = [i for i, names in enumerate(self.workloads_of) if workload in names]
        if services:
            self.by_name[site].endpoints(services)

    def on_event(
        self, env: simpy.Environment, own: str, entity: str, kind: str, detail: str
    ) -> None:
        if env.now > 0:
            name = entity.removeprefix("node/")
            site = next((s for s in (own, name.rpartition("-")[0]) if s in self.by_name), own)
            self.recorder.row(
                "events", time_us=int(env.now), site=site, entity=entity, kind=kind, detail=detail
            )

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
        for number, (kind, _, _, request) in enumerate(self.requests):
            decisions = self.plane.classes[number].decisions
            if decisions is None or request.policy is None or kind != self.kinds[control.number]:
                continue
            current, active = self.current(request.policy, now), control.active[request.policy]
            table = decisions.table(active=active, current=current, offline=offline)
            if active != current:
                release = self.first_release[request.policy] + current
                self.plane.tally.declare_stale(number, table, release)
            self.plane.table[number, control.number] = table
            self.plane.cloud_table[number, control.number] = decisions.table(
                active=current, current=current, offline=False
            )

    def serving(self, control: SiteControl) -> bool:
        """Say whether every class of a site's requests could be answered now."""
        here = control.number
        for kind, _, _, request in self.requests:
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
        return self.requests[number][3].policy or ""

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
