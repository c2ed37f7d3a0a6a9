"""One site in simulated time: its links, its power, its policies, and what they mean to requests.

Everything here changes state and so is an event; what requests do between events is the plane's.
After all events of an instant `settle` tells the plane, once, what holds from then on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import simpy

from edgetwin.engine.agent import Agent
from edgetwin.engine.counted_log import CountedLog
from edgetwin.engine.decisions import NO_BUNDLE
from edgetwin.engine.freshness import Freshness
from edgetwin.engine.ledger import SpanState
from edgetwin.engine.queueing import NEVER_US
from edgetwin.engine.requests import durations_us
from edgetwin.engine.sync import Line, Outbox
from edgetwin.model import Site
from edgetwin.ways import Passage

if TYPE_CHECKING:
    from edgetwin.engine.cluster import Cluster, PodKey
    from edgetwin.engine.world import World


@dataclass(frozen=True)
class Fault:
    """One outage of the record, as it is replayed at one site."""

    number: int
    """Row of `outages` in the history."""
    start_us: int
    end_us: int
    what: str
    """cut, cut-up (towards the cloud), cut-down, degraded, power, node, node-cut (from the site's
    other nodes and devices) or control-plane."""
    node: str = ""
    """Of node and node-cut: which, as the cluster calls it; empty: the first."""


CUTTING = ("cut", "cut-up", "cut-down", "degraded")
"""Faults of the way to the cloud. What they do stands in the site's passages."""

LOST = {"cut": "", "cut-up": "what the site sends", "cut-down": "what the site is sent"}
"""What a cut loses, where it is not all."""


class SiteControl:
    """The state of one site and all that changes it."""

    def __init__(
        self, world: "World", env: simpy.Environment, number: int, name: str, spec: Site,
        faults: Sequence[Fault], passages: Sequence[tuple[int, Passage]],
    ) -> None:  # fmt: skip
        """*passages* are the site's way to the cloud from 0 on, and from each of its changes."""
        self.world = world
        self.env = env
        self.number = number
        self.name = name
        self.spec = spec
        self._first = min(spec.uplinks.values(), key=lambda uplink: uplink.priority)
        self.passage = passages[0][1]
        """The way to the cloud, power apart."""
        self.cluster: Cluster | None = None
        self.nodes: list[str] = []
        self.power_faults = 0
        self._node_faults: dict[str, int] = {}
        """How many faults hold a node down, the site's power apart."""
        self._apart: dict[str, int] = {}
        """How many faults cut a node off from the others and the devices."""
        self.holding: dict[int, None] = {}
        """Outages that hold the site offline now, oldest first."""
        self.agents: dict[str, Agent] = {}
        self.active: dict[str, int] = {}
        """Revision that decides, by policy; NO_BUNDLE: none."""
        self.freshness: dict[str, Freshness] = {}
        self.logs: dict[str, CountedLog] = {}
        """Of the policies whose decisions are logged."""
        self.outbox: Outbox | None = None
        self.full_since_us = 0
        self.kills: dict[int, int] = {}
        """Pods killed for memory, by service."""
        self._slots: dict[int, dict[PodKey, int]] = {}
        self._leaving: dict[tuple[int, PodKey], int] = {}
        self._endpoints_changed: dict[int, None] = {}
        self.booted = True
        """The first node, on which the outbox and the policy agents run, is up."""
        self._offline = False
        self._cloud_linked: dict[str, bool] = {}
        self._told: tuple[bool, int, tuple[str, ...]] = (False, -1, ())
        self._line: tuple[Passage, str, Line | None] | None = None
        """The line of a passage in a state of the sync, kept while both stay."""
        self._stale = True
        """What the plane and the books know of the site may not hold any more."""
        self._syncing = "open"
        """The outbox's way: open, cut, or deaf: what it sends arrives, and it hears nothing."""
        self._online_since_us = 0
        self._actions: list[Callable[[], None]] = []
        self._changed = True
        for fault in faults:
            self._plan(fault)
        before = self.passage
        for at_us, passage in passages[1:]:
            if before.up and before.down:
                self.foresee(at_us)
            self._at(at_us, partial(self._pass, passage))
            before = passage

    # -- faults ----------------------------------------------------------------------------

    def _at(self, when_us: int, action: Callable[[], None]) -> None:
        self.env.timeout(max(0, when_us - int(self.env.now))).callbacks.append(lambda _: action())

    def _plan(self, fault: Fault) -> None:
        start = fault.start_us
        if fault.what == "power":
            start = min(start + self.spec.ups_us, fault.end_us)
            if start == fault.end_us:
                return
        if fault.what in ("power", "node-cut"):
            self.foresee(start)
        self._at(start, lambda: self._begin(fault))
        self._at(fault.end_us, lambda: self._finish(fault))

    def _pass(self, passage: Passage) -> None:
        before, self.passage = self.passage.uplink, passage
        if passage.uplink and before != passage.uplink and len(self.spec.uplinks) > 1:
            self.event("uplink", "carries", passage.uplink)
        self.touch()

    def foresee(self, cut_us: int) -> None:
        """The way to the cloud changes then: have the sync sessions before it simulated, which
        decide what is pending."""
        before, last = self.world.ticks_before(self.number, cut_us)
        if before >= self.env.now:
            self._at(before, lambda: self.at_the_end(self._assume_delivered))
        if last >= self.env.now:
            self._at(last, lambda: self.at_the_end(self._begin_session))

    def _assume_delivered(self) -> None:
        assert self.outbox is not None
        self.outbox.assume_delivered()

    def _begin_session(self) -> None:
        assert self.outbox is not None
        self.outbox.begin()

    def _begin(self, fault: Fault) -> None:
        self.touch()
        if fault.what == "degraded":
            self.event("uplink", "degraded", "")
        elif fault.what in CUTTING:
            self.holding[fault.number] = None
            self.event("uplink", "cut", LOST[fault.what])
        elif fault.what == "power":
            self.holding[fault.number] = None
            self.power_faults += 1
            if self.power_faults == 1:
                self.event("site", "power lost", "")
                self.booted = False
                for agent in self.agents.values():
                    agent.power(False)
                assert self.cluster is not None
                for node in self.nodes:
                    self.cluster.power(node, False)
        elif fault.what == "node":
            self._node_down(fault.node or self.nodes[0])
        elif fault.what == "node-cut":
            self._cut_off(fault.node, 1)
        else:
            assert self.cluster is not None
            self.cluster.server(False)

    def _finish(self, fault: Fault) -> None:
        self.touch()
        if fault.what == "degraded":
            self.event("uplink", "restored", "")
        elif fault.what in CUTTING:
            del self.holding[fault.number]
            self.event("uplink", "heal", LOST[fault.what])
        elif fault.what == "power":
            del self.holding[fault.number]
            self.power_faults -= 1
            if self.power_faults == 0:
                self.event("site", "power back", "")
                for node in self.nodes:
                    self._boot(node)
        elif fault.what == "node":
            node = fault.node or self.nodes[0]
            self._node_faults[node] -= 1
            if not self._node_faults[node]:
                self._boot(node)
        elif fault.what == "node-cut":
            self._cut_off(fault.node, -1)
        else:
            assert self.cluster is not None
            self.cluster.server(True)

    def _node_down(self, node: str) -> None:
        assert self.cluster is not None
        self._node_faults[node] = self._node_faults.get(node, 0) + 1
        self.cluster.power(node, False)
        if node == self.nodes[0]:
            self.booted = False
            for agent in self.agents.values():
                agent.power(False)

    def _cut_off(self, node: str, faults: int) -> None:
        """Cut *node* off from the site's other nodes and devices, or let it back."""
        count = self._apart.get(node, 0) + faults
        if count:
            self._apart[node] = count
        else:
            del self._apart[node]
        if (count == 1) == (faults == 1):
            self.event(f"node/{node}", "cut off" if count else "linked again", "")
        self.endpoints(range(len(self.world.service_names)))

    def _boot(self, node: str) -> None:
        """Give a node its power back; it works after the time that its machine takes to boot."""
        law = self.spec.nodes[self.world.node_kind[node]].boot
        word = self.world.counted_word(f"{self.name}/boot/{node}")
        self._at(int(self.env.now) + int(durations_us(law, word)[0]), lambda: self._booted(node))

    def _booted(self, node: str) -> None:
        if self.power_faults or self._node_faults.get(node):
            return
        assert self.cluster is not None
        self.cluster.power(node, True)
        if node == self.nodes[0]:
            self.booted = True
            for agent in self.agents.values():
                agent.power(True)
        self.touch()

    # -- what others tell it ---------------------------------------------------------------

    def endpoints(self, services: Sequence[int]) -> None:
        """The pods that answer for *services* may have changed."""
        for service in services:
            self._endpoints_changed[service] = None
        self.touch()

    def activated(self, policy: str, revision: str | None) -> None:
        """A policy's agent decides with another revision from now on."""
        number = NO_BUNDLE if revision is None else int(revision)
        if self.active.get(policy, NO_BUNDLE) != number:
            self.active[policy] = number
            self.world.activation(self, policy, number)
            self.touch()

    def agent_event(self, policy: str, kind: str, detail: str) -> None:
        """A policy's agent tells what a history keeps."""
        if kind == "stuck":
            self.freshness[policy].stuck(int(self.env.now))
        self.event(f"policy/{policy}", kind, detail)

    def killed(self, service: int, slot: int) -> None:
        """The kernel kills the pod in *slot* for its memory."""
        assert self.cluster is not None
        self.kills[service] = self.kills.get(service, 0) + 1
        for key, held in self._slots.get(service, {}).items():
            if held == slot:
                self.event(f"pod/{key.name}", "OOMKilled", "")
                self.cluster.kill(key, "OOMKilled")
        self.touch()

    def volume_full(self) -> None:
        """The volume takes no more writes until pruning frees something."""
        self.world.store.full[self.number] = True
        self.event("store", "full", "")
        self.full_since_us = int(self.env.now)
        self._await_room()
        self.touch()

    def _await_room(self) -> None:
        when = self.world.store.next_room_us(self.number)
        if when != NEVER_US:
            self._at(when, self._room)

    def _room(self) -> None:
        # At a mark: the plane has pruned up to it before this event runs.
        store = self.world.store
        if store.used_bytes[self.number] < store.limit_bytes[self.number]:
            store.full[self.number] = False
            store.full_us[self.number] += int(self.env.now) - self.full_since_us
            self.event("store", "room again", "")
            self.touch()
        else:
            self._await_room()

    def touch(self) -> None:
        """Something about the site changed in this instant."""
        self._stale = True
        self._speak()

    def _speak(self) -> None:
        """Have `settle` called at the end of this instant."""
        if not self._changed:
            self._changed = True
            self.world.touched(self)

    def at_the_end(self, action: Callable[[], None]) -> None:
        """Do *action* at the end of this instant, when all requests before it are known."""
        self._actions.append(action)
        self._speak()

    def event(self, entity: str, kind: str, detail: str) -> None:
        """Write an event to the history."""
        self.world.recorder.row(
            "events", time_us=int(self.env.now), site=self.name, entity=entity, kind=kind,
            detail=detail,
        )  # fmt: skip

    # -- what it says to the plane ---------------------------------------------------------

    @property
    def uplink(self) -> Passage | None:
        """The way to the cloud, None while there is none in one direction at least."""
        passage = self.passage
        return None if self.power_faults or not (passage.up and passage.down) else passage

    def line(self) -> Line | None:
        """Return what the outbox sends over, None while nothing would arrive."""
        passage, state = self.passage, self._sync_state()
        if self._line is None or self._line[0] is not passage or self._line[1] != state:
            self._line = passage, state, None if state == "cut" else self._line_over(passage)
        return self._line[2]

    def _line_over(self, passage: Passage) -> Line:
        return Line(
            round_trip_us=passage.up_latency_us + passage.down_latency_us,
            bits_per_s=passage.bandwidth_bps * (1 - passage.loss_share),
            heard=passage.down,
            capacity=self.world.scenario.capacities.get(
                self.spec.uplinks[passage.uplink].capacity or ""
            ),
            delivered_share=1 - passage.loss_share,
        )

    def _sync_state(self) -> str:
        passage = self.passage
        if self.power_faults or not passage.up or not self.booted or self.nodes[0] in self._apart:
            return "cut"
        return "open" if passage.down else "deaf"

    def settle(self) -> None:
        """After all events of an instant: tell everybody what holds from now on."""
        self._changed = False
        actions, self._actions = self._actions, []
        for action in actions:
            action()
        if not self._stale:
            # A session of the sync changes nothing that anybody but the outbox asks about.
            self._settle_sync()
            return
        self._stale = False
        self._settle_links()
        for service in sorted(self._endpoints_changed):
            self._settle_endpoints(service)
        self._endpoints_changed.clear()
        self._settle_leaving()
        for policy, agent in self.agents.items():
            self.freshness[policy].tell(
                int(self.env.now),
                current=self.world.current(policy, int(self.env.now)),
                active=self.active[policy],
                running=agent.running,
            )
        self.world.settle_tables(self)
        self.world.books.open(self.number, int(self.env.now), self._state())

    def _settle_links(self) -> None:
        plane, here, state = self.world.plane, self.number, self.uplink
        offline = state is None
        plane.powered[here] = not self.power_faults
        if state is not None:
            # Requests go and come: half of the round trip each way, where the ways differ.
            plane.links.latency_us[here] = -(-(state.up_latency_us + state.down_latency_us) // 2)
            plane.links.jitter_us[here] = state.jitter_us
        if offline != self._offline:
            self._settle_offline(offline)
        self._settle_cluster(offline)
        self._settle_sync()

    def _settle_sync(self) -> None:
        state = self._sync_state()
        assert self.outbox is not None
        if state == self._syncing:
            if state != "cut":
                self.outbox.changed()
            return
        before, self._syncing = self._syncing, state
        if before != "cut":
            self.outbox.cut()
        if state == "open":
            self.outbox.heal(self._online_since_us)
        elif state == "deaf":
            self.outbox.unheard()

    def _settle_offline(self, offline: bool) -> None:
        plane, here = self.world.plane, self.number
        self._offline = offline
        plane.links.offline[here] = offline
        now = int(self.env.now)
        if offline:
            plane.drop_cloud(here, now)
        else:
            self._online_since_us = now

    def _settle_cluster(self, offline: bool) -> None:
        """Tell agents, registry and kubelets which ways are open, where that has changed."""
        cluster, cut = self.cluster, self._first.cut
        passage = self.uplink
        bits_per_s = passage.bandwidth_bps if passage else self._first.bandwidth_bps
        told = (offline, bits_per_s, tuple(self._apart))
        if cluster is None or told == self._told:
            return
        before, self._told = self._told, told
        silent = cut != "refuse"
        first = not offline and self.nodes[0] not in self._apart
        if self._changes("agents", first):
            for agent in self.agents.values():
                agent.link(first, mode=cut)
        if before[:2] != told[:2]:
            # Pulls under way feel another rate at once.
            cluster.registry(self.name, not offline, bits_per_s, silent=silent)
        servers = [node for node in self.nodes if cluster.state.nodes[node].node.server]
        for node in self.nodes:
            linked = node not in self._apart
            if self.spec.control_plane == "cloud":
                linked = linked and not offline
            elif self.spec.control_plane == "local":
                linked = linked and not any(server in self._apart for server in servers)
            if self._changes(node, linked):
                cluster.link(node, linked, silent=silent or node in self._apart, lan=True)

    def _changes(self, what: str, linked: bool) -> bool:
        """Note whether *what* is linked, and say whether that is new."""
        before = self._cloud_linked.get(what, True)
        self._cloud_linked[what] = linked
        return before != linked

    def _settle_endpoints(self, service: int) -> None:
        assert self.cluster is not None
        plane, now = self.world.plane, int(self.env.now)
        held = self._slots.setdefault(service, {})
        ready = [
            key
            for workload in self.world.workloads_of[service]
            for key in self.cluster.ready(workload, self.name)
        ]
        away = self._cut_off_pods(service)
        ready = [key for key in ready if key not in away]
        for key in [key for key in held if key not in ready]:
            if key in away:
                # It works on, but no answer of it arrives.
                plane.drop_slot(service, held.pop(key), now)
            else:
                self._leaving[service, key] = held.pop(key)
        for key in ready:
            if key not in held:
                slot = self._leaving.pop((service, key), None)
                held[key] = plane.new_slot(service, now) if slot is None else slot
        plane.set_endpoints(service, self.number, [held[key] for key in ready])

    def _cut_off_pods(self, service: int) -> "set[PodKey]":
        """Return the pods that run on nodes which are cut off from the others."""
        if not self._apart:
            return set()
        assert self.cluster is not None
        return {
            key
            for workload in self.world.workloads_of[service]
            for key, node in self.cluster.running(workload)
            if node in self._apart
        }

    def _settle_leaving(self) -> None:
        """Pods that no longer answer may still work on what they have, until they end."""
        if not self._leaving:
            return
        assert self.cluster is not None
        alive = {
            key
            for service in {service for service, _ in self._leaving}
            for workload in self.world.workloads_of[service]
            for key, _ in self.cluster.running(workload)
        }
        for (service, key), slot in list(self._leaving.items()):
            if key not in alive:
                del self._leaving[service, key]
                self.world.plane.drop_slot(service, slot, int(self.env.now))

    def _state(self) -> SpanState:
        world, here = self.world, self.number
        ready = world.plane.ready[:, here]
        link = self.uplink
        return SpanState(
            offline=link is None,
            powered=not self.power_faults,
            serving=world.serving(self),
            endpoints=int(ready.sum()),
            uplink=link.uplink if link else "",
            degraded=link is not None and link.degraded,
            store_full=bool(world.store.full[here]),
            outage=next(iter(self.holding), -1) if link is None else -1,
        )
