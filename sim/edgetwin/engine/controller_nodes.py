"""The node lifecycle controller: who is called Unknown, and who gets and loses which taint.

Held against facts/k3s.md, 1.1 and 1.2; zones are next door, in `controller_zones`. It looks at
all nodes in passes, five seconds from the end of one to the start of the next. Passes that could
change nothing are not simulated: the next one that can is computed from the grid of the idle ones.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import simpy

from edgetwin.engine.cluster_draws import Stream
from edgetwin.engine.cluster_state import (
    LONG_AGO_US,
    NO_EXECUTE,
    NO_SCHEDULE,
    ClusterState,
    Condition,
    NodeState,
)
from edgetwin.engine.controller_client import Client, Process, Workers
from edgetwin.engine.controller_zones import Zone, Zones
from edgetwin.kubernetes import EXCLUDE_DISRUPTION
from edgetwin.units import SECOND_US


@dataclass(slots=True, eq=False)
class View:
    """What the controller remembers of one node."""

    node: NodeState
    zone: Zone
    counted: bool
    probe_us: int = LONG_AGO_US
    """When a pass last noticed a renewal."""
    stamped_us: int = LONG_AGO_US
    """The renewal that was noticed."""
    seen: Condition = "True"
    """Condition at the end of the last pass that looked at it."""
    queued: bool = False
    """It has been queued for NoExecute since it was last found Ready, or swept."""
    at_start: Condition = "True"
    """Condition in the list that the running pass works from."""
    turn: tuple[int, int] = (0, 0)


class NodeController:
    """The controller with its passes, its NoSchedule workers and its NoExecute loop."""

    def __init__(
        self,
        state: ClusterState,
        *,
        restarted: bool,
        on_taints: Callable[[NodeState], None],
        on_unknown: Callable[[NodeState], None],
    ) -> None:
        self._state = state
        self._env = state.env
        self._times = state.times
        self._on_taints = on_taints
        self._on_unknown = on_unknown
        self._client = Client(state.env, state.times, state.draws.word("controller/nodes"))
        self._stream = Stream(state.draws.word("controller/turns"))
        self._workers = Workers(state.env, state.times.workers)
        self._lock = simpy.Resource(state.env, capacity=1)
        self._zones = Zones(
            state,
            self._client,
            self._stream,
            on_tainted=lambda node: self._set_taints(node, no_execute=True),
        )
        self._views: dict[str, View] = {}
        for node in state.nodes.values():
            counted = node.node.label(EXCLUDE_DISRUPTION) is None
            zone = self._zones.add(node.node.zone, counted=counted)
            self._views[node.node.name] = View(node, zone, counted)
        self._unsettled: dict[str, View] = {}
        self._lost: dict[str, View] = {}
        """Nodes that the last pass saw not Ready."""
        self._stopped = False
        self._turns: list[tuple[tuple[int, int], View]] | None = None
        self._turn = (0, 0)
        self._plan = 0
        self._planned_us: int | None = None
        self._new = restarted
        """Every node is new to a controller that has just started."""
        self._last_start_us = self._last_end_us = self._first_pass_us(restarted)
        if restarted:
            self._take_over()

    def _first_pass_us(self, restarted: bool) -> int:
        """Return the end of the (virtual) pass before the first one."""
        if restarted:
            return self._state.now - self._times.monitor_period_us
        phase_us = self._state.spec.monitor_phase_us
        if phase_us is None:
            phase_us = self._state.draws.between("controller/phase", 0, self._times.pass_us - 1)
        return phase_us - self._times.monitor_period_us

    def _take_over(self) -> None:
        """Begin after a restart: every node is new, so its grace starts now (0), its NoExecute
        taint is taken back in the first pass, and its NoSchedule taint is looked at."""
        for view in self._views.values():
            view.probe_us = self._state.now
            view.stamped_us = view.node.lease_us
            view.seen = "True"
            node = view.node
            if node.ready != "True" or node.beating_us is None or node.no_execute:
                self._unsettled[node.node.name] = view
            self._queue_no_schedule(node)
        self._replan()

    def stop(self) -> None:
        """Die: nothing of this controller happens any more."""
        self._stopped = True
        self._client.stop()
        self._zones.stop()

    # What the rest of the cluster tells

    def lease_lost(self, node: NodeState) -> None:
        """Take note that *node* renews no longer; its last renewal is ``node.lease_us``."""
        view = self._views[node.node.name]
        noticed_us = self._noticed_us(node.lease_us)
        if node.lease_us > view.stamped_us and noticed_us is not None:
            view.probe_us = max(view.probe_us, noticed_us)
            view.stamped_us = node.lease_us
        self._watch(view)

    def condition_posted(self, node: NodeState) -> None:
        """Take note that the kubelet of *node* has posted its status."""
        self._watch(self._views[node.node.name])
        self._state.later(self._times.watch_us, lambda: self._queue_no_schedule(node))

    def _noticed_us(self, lease_us: int) -> int | None:
        """Return when a pass noticed a renewal at *lease_us*; None if the next one has to."""
        period_us = self._period_us()
        if lease_us <= self._last_start_us:
            return self._last_start_us - (self._last_start_us - lease_us) // period_us * period_us
        if self._turns is not None:
            return None
        passed = (self._state.now - self._last_end_us - self._times.monitor_period_us) // period_us
        grid_us = self._last_end_us + self._times.monitor_period_us
        steps = max(0, -(-(lease_us - grid_us) // period_us))
        return grid_us + steps * period_us if steps <= passed else None

    # Passes

    def _period_us(self) -> int:
        """Return the time from the start of one pass that changes nothing to the next.

        Where the leases of lost nodes are read, eight at a time, they make it longer; more than
        the client may read between two passes wait for their tokens.
        """
        times = self._times
        if not self._lost or not times.lease_read_of_lost:
            return times.pass_us
        reads_us = -(-len(self._lost) // times.workers) * times.read_us
        saved = times.monitor_period_us * times.api_calls_per_s // SECOND_US
        waits_us = max(0, len(self._lost) - saved) * SECOND_US // times.api_calls_per_s
        return times.pass_us + max(reads_us, waits_us)

    def _watch(self, view: View) -> None:
        if self._stopped:
            return
        self._unsettled[view.node.node.name] = view
        if self._turns is not None:
            self._join_pass(view)
        else:
            self._plan_for(view)

    def _join_pass(self, view: View) -> None:
        """Give a node that needs a look a place in the running pass, unless its turn is over."""
        turn = (self._stream.word(), view.node.index)
        if view.turn < self._turn and turn > self._turn and self._turns is not None:
            view.turn = turn
            view.at_start = view.seen
            heapq.heappush(self._turns, (turn, view))

    def _relevant_us(self, view: View) -> int | None:
        """Return from when on a pass has something to do for *view*'s node, None if never."""
        node = view.node
        if node.ready != view.seen or (node.beating_us is None and node.lease_us > view.stamped_us):
            return 0
        if node.ready == "True":
            if node.no_execute or view.queued:
                return 0
            return view.probe_us + self._times.grace_us if node.beating_us is None else None
        return None if view.queued else 0

    def _replan(self) -> None:
        """Schedule the next pass that has something to do, after one has ended."""
        self._planned_us = None
        soonest: View | None = None
        soonest_us = 0
        for name, view in list(self._unsettled.items()):
            relevant_us = self._relevant_us(view)
            if relevant_us is None:
                del self._unsettled[name]
            elif soonest is None or relevant_us < soonest_us:
                soonest, soonest_us = view, relevant_us
        if soonest is not None:
            self._plan_for(soonest)

    def _plan_for(self, view: View) -> None:
        """Have the first pass that has something to do for *view* take place."""
        relevant_us = self._relevant_us(view)
        if relevant_us is None:
            return
        period_us = self._period_us()
        grid_us = self._last_end_us + self._times.monitor_period_us
        after_us = max(relevant_us + 1, self._state.now)
        grid_us += max(0, -(-(after_us - grid_us) // period_us)) * period_us
        if self._planned_us is not None and self._planned_us <= grid_us:
            return
        self._planned_us = grid_us
        self._plan += 1
        plan = self._plan
        self._state.later(grid_us - self._state.now, lambda: self._begin(plan))

    def _begin(self, plan: int) -> None:
        if plan == self._plan and not self._stopped and self._planned_us is not None:
            self._planned_us = None
            self._env.process(self._pass())

    def _pass(self) -> Process:
        """Look at every node whose state may change, eight at a time, then at the zones."""
        self._last_start_us = self._state.now
        self._turns = []
        self._turn = (-1, -1)
        if self._new:
            self._new = False
            for view in list(self._unsettled.values()):
                yield from self._mark_reachable(view)
        looked_at = {**self._lost, **self._unsettled}
        for view in (looked_at if self._times.lease_read_of_lost else self._unsettled).values():
            view.turn = (self._stream.word(), view.node.index)
            view.at_start = view.node.ready
            self._turns.append((view.turn, view))
        heapq.heapify(self._turns)
        workers = min(self._times.workers, len(self._turns))
        yield self._env.all_of([self._env.process(self._examine_all()) for _ in range(workers)])
        yield from self._handle_disruption()
        yield self._env.timeout(self._times.monitor_idle_us)
        self._turns = None
        if not self._stopped:
            self._last_end_us = self._state.now
            self._replan()

    def _examine_all(self) -> Process:
        while self._turns:
            self._turn, view = heapq.heappop(self._turns)
            yield from self._examine(view)

    def _examine(self, view: View) -> Process:
        """Decide about one node, as the real controller's monitorNodeHealth does."""
        node, observed = view.node, view.at_start
        if node.beating_us is not None:
            view.probe_us, view.stamped_us = self._state.now, node.beating_us
        elif node.lease_us > view.stamped_us:
            view.probe_us, view.stamped_us = self._state.now, node.lease_us
        current = observed
        if observed == "True" and self._state.now > view.probe_us + self._times.grace_us:
            if self._times.lease_read_of_lost:
                yield self._client.read()
            if node.beating_us is None or not self._times.lease_read_of_lost:
                yield self._client.write()
                self._set_unknown(node)
                current = "Unknown"
        elif observed != "True" and self._times.lease_read_of_lost and node.beating_us is None:
            yield self._client.read()
        self._count(view, current)

        decided = current if self._times.taints_in_pass_of_unknown else observed
        if decided == "True":
            yield from self._mark_reachable(view)
        else:
            if self._lock.count:
                with self._lock.request() as held:
                    yield held
            self._queue_no_execute(view)
        if current != "True" and observed == "True":
            self._client.record()
            yield from self._mark_pods_unready(node)

    def _set_unknown(self, node: NodeState) -> None:
        node.ready = "Unknown"
        self._state.event(f"node/{node.node.name}", "Ready=Unknown", "")
        self._state.later(self._times.watch_us, lambda: self._queue_no_schedule(node))
        self._on_unknown(node)

    def _mark_pods_unready(self, node: NodeState) -> Process:
        """Set the Pods of a lost node NotReady, one by one, whatever its zone's state (1.2a)."""
        for pod in list(node.pods.values()):
            if pod.listed_ready and not pod.gone:
                yield self._client.write()
                self._state.set_listed_ready(pod, False, "NodeNotReady")
                self._client.record()

    def _count(self, view: View, current: Condition) -> None:
        if view.counted:
            self._zones.count(view.zone, (current != "True") - (view.seen != "True"))
        view.seen = current
        if current == "True":
            self._lost.pop(view.node.node.name, None)
        else:
            self._lost[view.node.node.name] = view

    # Zones

    def _handle_disruption(self) -> Process:
        """Judge the zones; if no node at all is left, take all NoExecute taints back (1.3)."""
        judgement = self._zones.judge()
        if judgement is None:
            return
        if judgement.entering:
            for view in sorted(self._views.values(), key=lambda view: view.turn):
                yield from self._mark_reachable(view)
        elif judgement.leaving:
            for view in self._views.values():
                view.probe_us = self._state.now
        yield from self._zones.settle(judgement)

    # Taints

    def _queue_no_schedule(self, node: NodeState) -> None:
        if not self._stopped and (node.ready != "True") != node.no_schedule:
            self._workers.add(lambda: self._taint_no_schedule(node))

    def _taint_no_schedule(self, node: NodeState) -> Process:
        wanted = node.ready != "True"
        if wanted == node.no_schedule:
            return
        yield self._client.read()
        yield self._client.write()
        self._set_taints(node, no_schedule=wanted)
        if (node.ready != "True") != wanted:
            self._queue_no_schedule(node)

    def _set_taints(
        self, node: NodeState, *, no_schedule: bool | None = None, no_execute: bool | None = None
    ) -> None:
        """Change the controllers' taints on *node* and tell everybody who watches."""
        for taint, old, new in (
            (NO_SCHEDULE, node.no_schedule, no_schedule),
            (NO_EXECUTE, node.no_execute, no_execute),
        ):
            if new is not None and new != old:
                sign = "+" if new else "-"
                self._state.event(
                    f"node/{node.node.name}", f"{sign}taint unreachable:{taint.effect}", ""
                )
        node.no_schedule = node.no_schedule if no_schedule is None else no_schedule
        if no_execute is not None and no_execute != node.no_execute:
            node.no_execute_us = self._state.now if no_execute else None
        self._state.refresh_taints(node)
        self._state.later(self._times.watch_us, lambda: self._tell_taints(node))

    def _tell_taints(self, node: NodeState) -> None:
        if not self._stopped:
            self._on_taints(node)

    def _tainted_at_start(self, node: NodeState) -> bool:
        """Say whether the list that the running pass works from shows the NoExecute taint."""
        return node.no_execute_us is not None and node.no_execute_us <= self._last_start_us

    def _mark_reachable(self, view: View) -> Process:
        """Take a node out of the queue and its NoExecute taint off, one node at a time."""
        if not self._tainted_at_start(view.node) and not view.queued:
            return
        with self._lock.request() as held:
            yield held
            if self._tainted_at_start(view.node):
                yield self._client.read()
                yield self._client.write()
                self._set_taints(view.node, no_execute=False)
            view.queued = False
            self._zones.unqueue(view.zone, view.node)

    def _queue_no_execute(self, view: View) -> None:
        if not self._tainted_at_start(view.node):
            view.queued = False
            self._zones.unqueue(view.zone, view.node)
        if not view.queued:
            view.queued = True
            self._zones.queue(view.zone, view.node)
