"""Zones of nodes: their state, how fast nodes may be tainted in each, and the loop that taints.

Held against facts/k3s.md, 1.3. Each zone has a queue of nodes to taint with NoExecute and a
limiter; every 100 ms a loop taints whom the limiters let pass, one node after the other. While it
is at work in a zone it holds that zone's limiter, and whoever wants to change the rate waits: a
node whose taint is being written when evictions stop is tainted all the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import simpy

from edgetwin.engine.cluster_draws import Stream
from edgetwin.engine.cluster_state import ClusterState, NodeState
from edgetwin.engine.controller_client import Client, Process, TokenBucket
from edgetwin.versions import Kubernetes

ZoneCondition = Literal["Normal", "PartialDisruption", "FullDisruption"]


def zone_condition(total: int, lost: int, times: Kubernetes) -> ZoneCondition:
    """Return the state of a zone of *total* counted nodes, *lost* of them not Ready (1.3)."""
    if lost == total > 0:
        return "FullDisruption"
    if lost >= times.unhealthy_nodes_min and lost / total >= times.unhealthy_share:
        return "PartialDisruption"
    return "Normal"


def taint_rate_per_s(condition: ZoneCondition, total: int, times: Kubernetes) -> float:
    """Return how many nodes a second may be tainted in a zone of *total* nodes (1.3)."""
    if condition == "PartialDisruption":
        return times.secondary_rate_per_s if total > times.large_zone_nodes else 0.0
    return times.eviction_rate_per_s


@dataclass(slots=True, eq=False)
class Zone:
    """One zone: how many nodes it has and has lost, and its queue for the NoExecute taint."""

    name: str
    total: int = 0
    """Nodes that count (1.3: not those labelled exclude-disruption)."""
    lost: int = 0
    """Of them, not Ready as the last pass saw them."""
    condition: ZoneCondition = "Normal"
    rate_per_s: float = 0.0
    bucket: TokenBucket | None = None
    """Limits tainting; None: never."""
    queue: dict[str, NodeState] = field(default_factory=dict)
    """Nodes to taint, in order."""
    tainting: bool = False
    """The taint loop is at work in this zone, and holds its limiter."""
    freed: list[simpy.Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a pass found of the zones."""

    zones: tuple[Zone, ...]
    """Those whose rate may have to change."""
    entering: bool
    """No Ready node is left in the whole cluster, and one was before."""
    leaving: bool
    """There is a Ready node again."""


class Zones:
    """All zones of a cluster, and the loop that taints their nodes."""

    def __init__(
        self,
        state: ClusterState,
        client: Client,
        stream: Stream,
        *,
        on_tainted: Callable[[NodeState], None],
    ) -> None:
        self._state = state
        self._env = state.env
        self._times = state.times
        self._client = client
        self._stream = stream
        self._on_tainted = on_tainted
        self._zones: dict[str, Zone] = {}
        self._full = 0
        """Zones in FullDisruption as of the last pass."""
        self._counted = 0
        """Zones with a node that counts."""
        self._wholly_lost = 0
        """Of them, without a Ready node."""
        self._waiting: dict[str, Zone] = {}
        """Zones whose queue is not empty."""
        self._changed: dict[str, Zone] = {}
        """Zones whose count has changed since the last pass."""
        self._tick = 0
        self._tick_us: int | None = None
        self._looping = False
        self._stopped = False

    def add(self, name: str, *, counted: bool) -> Zone:
        """Return the zone *name* with one node more, which counts for its state or not."""
        zone = self._zones.get(name)
        if zone is None:
            zone = self._zones[name] = Zone(name)
            self._set_rate(zone, self._times.eviction_rate_per_s)
        self._counted += counted and not zone.total
        zone.total += counted
        return zone

    def stop(self) -> None:
        """Die; nobody is tainted any more."""
        self._stopped = True

    # The state of the zones

    def count(self, zone: Zone, lost: int) -> None:
        """Take note that *lost* nodes more, or less, are not Ready in *zone*."""
        if lost:
            self._wholly_lost -= zone.lost == zone.total
            zone.lost += lost
            self._wholly_lost += zone.lost == zone.total
            self._changed[zone.name] = zone

    def judge(self) -> Judgement | None:
        """Return what a pass has found, None if all were lost before and still are."""
        if not self._changed:
            return None
        all_full = self._wholly_lost == self._counted
        was_full = self._full == self._counted
        changed, self._changed = self._changed, {}
        if all_full and was_full:
            return None
        if all_full or was_full:
            changed = {name: zone for name, zone in self._zones.items() if zone.total}
        return Judgement(tuple(changed.values()), entering=all_full, leaving=was_full)

    def settle(self, judgement: Judgement) -> Process:
        """Set each zone's rate by its state; if no node at all is left, taint nobody."""
        for zone in judgement.zones:
            condition = zone_condition(zone.total, zone.lost, self._times)
            if judgement.entering:
                yield from self._change_rate(zone, 0.0)
            elif judgement.leaving or zone.condition != condition:
                rate = taint_rate_per_s(condition, zone.total, self._times)
                yield from self._change_rate(zone, rate)
            if zone.condition != condition:
                self._state.event(f"zone/{zone.name}", condition, "")
            self._full += (condition == "FullDisruption") - (zone.condition == "FullDisruption")
            zone.condition = condition

    def _change_rate(self, zone: Zone, rate_per_s: float) -> Process:
        """Swap the limiter; whoever is tainting in the zone holds it until done."""
        while zone.tainting:
            freed = self._env.event()
            zone.freed.append(freed)
            yield freed
        if rate_per_s != zone.rate_per_s:
            waiting = zone.bucket is None or zone.bucket.wait_us(self._state.now) > 0
            self._set_rate(zone, rate_per_s)
            if zone.bucket is not None and waiting:
                # A limiter that makes nodes wait is followed by an empty one (1.3, leaving).
                zone.bucket.drain(self._state.now)
            self._wake()

    def _set_rate(self, zone: Zone, rate_per_s: float) -> None:
        zone.rate_per_s = rate_per_s
        zone.bucket = TokenBucket(rate_per_s, 1) if rate_per_s > 0 else None

    # The queues

    def queue(self, zone: Zone, node: NodeState) -> None:
        """Have *node* tainted when its turn in *zone* comes."""
        zone.queue[node.node.name] = node
        self._waiting[zone.name] = zone
        self._wake()

    def unqueue(self, zone: Zone, node: NodeState) -> None:
        """Take *node* out of the queue; a taint that is being written is written all the same."""
        zone.queue.pop(node.node.name, None)
        if not zone.queue:
            self._waiting.pop(zone.name, None)

    def _wake(self) -> None:
        """Have the taint loop look at the queues at its next tick that can do something."""
        if self._looping or self._stopped:
            return
        if self._tick_us is not None and self._tick_us <= self._state.now + (
            self._times.taint_loop_us
        ):
            return
        waits_us = [
            zone.bucket.wait_us(self._state.now)
            for zone in self._waiting.values()
            if zone.bucket is not None
        ]
        if not waits_us:
            self._tick_us = None
            return
        if self._tick_us is not None and self._tick_us <= self._state.now + min(waits_us):
            return
        phase_us = self._stream.word() % self._times.taint_loop_us
        steps_us = min(waits_us) // self._times.taint_loop_us * self._times.taint_loop_us
        self._tick_us = self._state.now + steps_us + phase_us
        self._tick += 1
        tick = self._tick
        self._state.later(steps_us + phase_us, lambda: self._look(tick))

    def _look(self, tick: int) -> None:
        if tick == self._tick and not self._stopped and self._tick_us is not None:
            self._tick_us = None
            self._looping = True
            self._env.process(self._taint_loop())

    def _taint_loop(self) -> Process:
        """Go over the zones in no particular order and taint whom their limiters let pass."""
        for zone in sorted(self._waiting.values(), key=lambda _: self._stream.word()):
            yield from self._taint_zone(zone)
        self._looping = False
        self._wake()

    def _taint_zone(self, zone: Zone) -> Process:
        zone.tainting = True
        while zone.queue and zone.bucket is not None and not zone.bucket.wait_us(self._state.now):
            zone.bucket.reserve(self._state.now)
            node = next(iter(zone.queue.values()))
            if node.ready != "True":
                yield self._client.read()
                yield self._client.write()
                self._on_tainted(node)
            self.unqueue(zone, node)
        zone.tainting = False
        freed, zone.freed = zone.freed, []
        for event in freed:
            event.succeed()
