"""One site in simulated time: its links, its power, its policies, and what they mean to requests.

Everything here changes state and so is an event; what requests do between events is the plane's.
After all events of an instant `settle` tells the plane, once, what holds from then on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import simpy

from edgetwin.engine.agent import Agent
from edgetwin.engine.counted_log import CountedLog
from edgetwin.engine.decisions import NO_BUNDLE
from edgetwin.engine.freshness import Freshness
from edgetwin.engine.ledger import SpanState
from edgetwin.engine.queueing import NEVER_US
from edgetwin.engine.requests import durations_us
from edgetwin.engine.sync import Outbox
from edgetwin.model import Site, Uplink

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
    """cut, power, node or control-plane."""


class UplinkState:
    """An uplink and how many faults hold it down: the first heal does not end the second."""

    def __init__(self, name: str, uplink: Uplink) -> None:
        self.name = name
        self.uplink = uplink
        self.faults = 0


class SiteControl:
    """The state of one site and all that changes it."""

    def __init__(
        self, world: "World", env: simpy.Environment, number: int, name: str, spec: Site,
        faults: Sequence[Fault],
    ) -> None:  # fmt: skip
        self.world = world
        self.env = env
        self.number = number
        self.name = name
        self.spec = spec
        self.uplinks = [
            UplinkState(key, link)
            for key, link in sorted(spec.uplinks.items(), key=lambda item: item[1].priority)
        ]
        self.cluster: Cluster | None = None
        self.nodes: list[str] = []
        self.power_faults = 0
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
        self._syncing = True
        self._online_since_us = 0
        self._actions: list[Callable[[], None]] = []
        self._changed = True
        for fault in faults:
            self._plan(fault)

    # -- faults ----------------------------------------------------------------------------

    def _at(self, when_us: int, action: Callable[[], None]) -> None:
        self.env.timeout(max(0, when_us - int(self.env.now))).callbacks.append(lambda _: action())

    def _plan(self, fault: Fault) -> None:
        start = fault.start_us
        if fault.what == "power":
            start = min(start + self.spec.ups_us, fault.end_us)
            if start == fault.end_us:
                return
        if fault.what in ("cut", "power"):
            self.foresee(start)
        self._at(start, lambda: self._begin(fault))
        self._at(fault.end_us, lambda: self._finish(fault))

    def foresee(self, cut_us: int) -> None:
        """A cut comes: have the sync sessions before it simulated, which decide what is pending."""
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
        if fault.what == "cut":
            self.holding[fault.number] = None
            for link in self._hit():
                link.faults += 1
            self.event("uplink", "cut", "")
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
            assert self.cluster is not None
            self.booted = False
            self.cluster.power(self.nodes[0], False)
            for agent in self.agents.values():
                agent.power(False)
        else:
            assert self.cluster is not None
            self.cluster.server(False)

    def _finish(self, fault: Fault) -> None:
        self.touch()
        if fault.what == "cut":
            del self.holding[fault.number]
            for link in self._hit():
                link.faults -= 1
            self.event("uplink", "heal", "")
        elif fault.what == "power":
            del self.holding[fault.number]
            self.power_faults -= 1
            if self.power_faults == 0:
                self.event("site", "power back", "")
                for node in self.nodes:
                    self._boot(node)
        elif fault.what == "node":
            self._boot(self.nodes[0])
        else:
            assert self.cluster is not None
            self.cluster.server(True)

    def _hit(self) -> list[UplinkState]:
        """Return the uplinks that a cut takes: the first, and those that share its risk."""
        first = self.uplinks[0]
        group = first.uplink.risk_group
        return [
            link
            for link in self.uplinks
            if link is first or (group is not None and link.uplink.risk_group == group)
        ]

    def _boot(self, node: str) -> None:
        """Give a node its power back; it works after the time that its machine takes to boot."""
        law = self.spec.nodes[self.world.node_kind[node]].boot
        word = self.world.counted_word(f"{self.name}/boot/{node}")
        self._at(int(self.env.now) + int(durations_us(law, word)[0]), lambda: self._booted(node))

    def _booted(self, node: str) -> None:
        if self.power_faults:
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
        if not self._changed:
            self._changed = True
            self.world.touched(self)

    def at_the_end(self, action: Callable[[], None]) -> None:
        """Do *action* at the end of this instant, when all requests before it are known."""
        self._actions.append(action)
        self.touch()

    def event(self, entity: str, kind: str, detail: str) -> None:
        """Write an event to the history."""
        self.world.recorder.row(
            "events", time_us=int(self.env.now), site=self.name, entity=entity, kind=kind,
            detail=detail,
        )  # fmt: skip

    # -- what it says to the plane ---------------------------------------------------------

    @property
    def uplink(self) -> UplinkState | None:
        """The uplink that carries the traffic: of those that are up, the first by priority."""
        if self.power_faults:
            return None
        return next((link for link in self.uplinks if not link.faults), None)

    def link(self) -> tuple[int, float] | None:
        """Return round trip (us) and useful bits a second of the outbox's way to the cloud."""
        state = self.uplink
        if state is None or not self.booted:
            return None
        useful = state.uplink.bandwidth_bps * (1 - state.uplink.loss_share)
        return 2 * state.uplink.latency_us, useful

    def settle(self) -> None:
        """After all events of an instant: tell everybody what holds from now on."""
        self._changed = False
        actions, self._actions = self._actions, []
        for action in actions:
            action()
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
            plane.links.latency_us[here] = state.uplink.latency_us
            plane.links.jitter_us[here] = state.uplink.jitter_us
        if offline != self._offline:
            self._settle_offline(offline)
        syncing = not offline and self.booted
        if syncing != self._syncing:
            self._syncing = syncing
            assert self.outbox is not None
            if syncing:
                self.outbox.heal(self._online_since_us)
            else:
                self.outbox.cut()

    def _settle_offline(self, offline: bool) -> None:
        plane, here = self.world.plane, self.number
        self._offline = offline
        plane.links.offline[here] = offline
        now = int(self.env.now)
        if offline:
            plane.drop_cloud(here, now)
        else:
            self._online_since_us = now
        cut = self.uplinks[0].uplink.cut
        for agent in self.agents.values():
            agent.link(not offline, mode=cut)
        if self.cluster is not None:
            silent = cut != "refuse"
            self.cluster.registry(self.name, not offline, self._registry_bps(), silent=silent)
            for node in self.nodes:
                self.cluster.link(node, not offline, silent=silent)

    def _registry_bps(self) -> int:
        state = self.uplink or self.uplinks[0]
        return state.uplink.bandwidth_bps

    def _settle_endpoints(self, service: int) -> None:
        assert self.cluster is not None
        plane, now = self.world.plane, int(self.env.now)
        held = self._slots.setdefault(service, {})
        ready = [
            key
            for workload in self.world.workloads_of[service]
            for key in self.cluster.ready(workload, self.name)
        ]
        for key in [key for key in held if key not in ready]:
            self._leaving[service, key] = held.pop(key)
        for key in ready:
            if key not in held:
                slot = self._leaving.pop((service, key), None)
                held[key] = plane.new_slot(service, now) if slot is None else slot
        plane.set_endpoints(service, self.number, [held[key] for key in ready])

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
            uplink=link.name if link else "",
            store_full=bool(world.store.full[here]),
            outage=next(iter(self.holding), -1) if link is None else -1,
        )
