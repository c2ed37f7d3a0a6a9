"""The scheduler in time: Pods queue for a decision, are bound, or wait Pending with a reason.

The decision is `placement.place`; here is when it is made and what it sees. In clusters of many
nodes the candidates of a nodeSelector are looked up by label, so that a Pod pinned to one of a
thousand sites is decided by looking at one node.
"""

from collections.abc import Callable, Sequence

from edgetwin.engine.cluster_state import ClusterState, NodeState, PodKey, PodState
from edgetwin.engine.controller_client import Client, Process, Workers
from edgetwin.kubernetes import LOCAL_PATH, Pairs, RuntimeClass, Workload
from edgetwin.placement import Placed, Volumes, place, refusal, suits, untolerated

MANY_NODES = 64
"""Above this the nodes that a selector excludes are counted, not looked at. Chosen."""

SCHEDULER_CALLS_PER_S = 50
"""``clientConnection.qps`` of kube-scheduler. mem."""
SCHEDULER_CALLS_BURST = 100
"""``clientConnection.burst`` of kube-scheduler. mem."""


class Scheduler:
    """Gives each Pod a node as soon as one fits."""

    def __init__(self, state: ClusterState, *, on_bound: Callable[[PodState], None]) -> None:
        self._state = state
        self._on_bound = on_bound
        self._client: Client | None = None
        self._loop = Workers(state.env, 1)
        self._runtimes = {each.name: each for each in state.spec.runtime_classes}
        self._claims = {each.name: each for each in state.spec.claims}
        self._near: dict[str, list[NodeState]] = {}
        self._by_label: dict[tuple[str, str], list[NodeState]] = {}
        self._pending: dict[PodKey, PodState] = {}
        self._pending_at: dict[str, dict[PodKey, PodState]] = {}
        """Pending Pods with few candidates, by candidate."""
        self._tainted = {name: None for name, node in state.nodes.items() if node.room.taints}
        self._anti = any(
            term.anti and term.weight is None
            for each in state.spec.workloads
            for term in each.pod_affinity
        )
        self._first = 0
        self.bound_node: dict[str, str] = {}
        """Node of each local-path volume, by claim: it can never move (k3s.md, 3.5)."""
        self._stopped = False

    def stop(self) -> None:
        """Die; what was not bound stays Pending."""
        self._stopped = True
        if self._client is not None:
            self._client.stop()

    def take_over(self, former: "Scheduler") -> None:
        """Go on from what the API server holds after a restart."""
        self.bound_node = former.bound_node
        for pod in self._state.pods.values():
            if pod.node is None and pod.live:
                self.add(pod)

    def add(self, pod: PodState) -> None:
        """Have *pod* scheduled when it has been seen and its turn comes."""
        self._state.later(
            self._state.times.watch_us, lambda: self._loop.add(lambda: self._schedule(pod))
        )

    def room_changed(self, node: NodeState) -> None:
        """Try the Pending Pods again that *node* could take."""
        near = self._pending_at.get(node.node.name, {})
        for pod in [*near.values(), *self._pending.values()]:
            if node.room.taints and untolerated(pod.workload, node.room.taints):
                continue
            self._loop.add(lambda pod=pod: self._schedule(pod))  # type: ignore[misc]

    def forget(self, pod: PodState) -> None:
        """Take *pod* out of the queue: it is deleted."""
        self._pending.pop(pod.key, None)
        for node in self._near.get(pod.workload.name, ()):
            self._pending_at.get(node.node.name, {}).pop(pod.key, None)

    def _schedule(self, pod: PodState) -> Process:
        if self._stopped or pod.node is not None or not pod.live:
            return
        node = self.choose(pod)
        if node is None:
            self.wait(pod)
            return
        self.bind(pod, node)
        if self._client is None:
            self._client = Client(
                self._state.env,
                self._state.times,
                self._state.draws.word("controller/scheduler"),
                calls_per_s=SCHEDULER_CALLS_PER_S,
                calls_burst=SCHEDULER_CALLS_BURST,
            )
        self._state.env.process(self._bind(pod, node))
        yield self._state.env.timeout(1_000)

    def wait(self, pod: PodState) -> None:
        """Have *pod* tried again when a node that could take it changes."""
        candidates = self.candidates(pod.workload)
        if len(candidates) <= 16 and len(self._state.nodes) > MANY_NODES:
            for node in candidates:
                self._pending_at.setdefault(node.node.name, {})[pod.key] = pod
        else:
            self._pending[pod.key] = pod

    def _bind(self, pod: PodState, node: NodeState) -> Process:
        """Write the binding; the room is taken from the decision on."""
        assert self._client is not None
        yield self._client.write()
        self._state.event(f"pod/{pod.name}", "bound", node.node.name)
        self._on_bound(pod)

    def bind(self, pod: PodState, node: NodeState) -> None:
        """Take room on *node* for *pod*, and make its volumes there."""
        if pod.pending:
            self.forget(pod)
        pod.node, pod.pending = node, ""
        node.pods[pod.key] = pod
        self._take(pod.workload, node, -1)
        for name in self.claim_names(pod):
            claim = self._claims.get(name)
            if claim is None or claim.storage_class == LOCAL_PATH:
                self.bound_node.setdefault(name, node.node.name)

    def release(self, pod: PodState) -> None:
        """Give back the room of *pod*, which is gone from the API."""
        if pod.node is not None:
            self._take(pod.workload, pod.node, 1)
            if not self._stopped:
                self.room_changed(pod.node)

    def _take(self, workload: Workload, node: NodeState, sign: int) -> None:
        runtime = self._runtimes.get(workload.runtime_class)
        room = node.room
        room.cores_free += sign * workload.cores_request
        room.memory_bytes_free += sign * workload.memory_bytes_request
        if runtime is not None:
            room.cores_free += sign * runtime.cores_overhead
            room.memory_bytes_free += sign * runtime.memory_bytes_overhead
        room.pods_free += sign
        if workload.host_ports:
            ports = frozenset(workload.host_ports)
            room.host_ports = room.host_ports - ports if sign > 0 else room.host_ports | ports

    def claim_names(self, pod: PodState) -> tuple[str, ...]:
        """Return the claims of *pod*: its workload's and those made for it from templates."""
        made = tuple(f"{each.name}-{pod.name}" for each in pod.workload.claim_templates)
        return pod.workload.claim_names + made

    def candidates(self, workload: Workload) -> list[NodeState]:
        """Return the nodes whose name and labels suit *workload*."""
        if workload.name not in self._near:
            runtime = self._runtimes.get(workload.runtime_class)
            demanded = workload.node_selector + (runtime.node_selector if runtime else ())
            self._near[workload.name] = [
                node
                for node in self._narrow(demanded, workload.node_names)
                if suits(workload, node.node, runtime)
            ]
        return self._near[workload.name]

    def _narrow(self, demanded: Pairs, names: tuple[str, ...]) -> Sequence[NodeState]:
        """Return the shortest list of nodes that holds all with the labels *demanded*."""
        if names:
            return [self._state.nodes[each] for each in names if each in self._state.nodes]
        shortest: Sequence[NodeState] = list(self._state.nodes.values())
        for key, value in demanded:
            if (key, "") not in self._by_label:
                self._by_label[key, ""] = []
                for node in self._state.nodes.values():
                    label = node.node.label(key)
                    if label:
                        self._by_label.setdefault((key, label), []).append(node)
            found = self._by_label.get((key, value), [])
            if len(found) < len(shortest):
                shortest = found
        return shortest

    def choose(self, pod: PodState) -> NodeState | None:
        """Return the node for *pod*; if there is none, note the reason and return None."""
        workload = pod.workload
        if len(self._state.nodes) == 1 and self._simple(workload):
            only = next(iter(self._state.nodes.values()))
            if not refusal(workload, only.room, runtime=self.runtime(workload)):
                return only
        elsewhere: dict[str, int] = {}
        if len(self._state.nodes) <= MANY_NODES:
            rooms = [node.room for node in self._state.nodes.values()]
        else:
            near = [node.room for node in self.candidates(workload)]
            tainted = len(self._tainted) - sum(each.node.name in self._tainted for each in near)
            untainted = len(self._state.nodes) - len(near) - tainted
            elsewhere = {
                "node(s) had untolerated taint {node.kubernetes.io/unreachable: }": tainted,
                "node(s) didn't match Pod's node affinity/selector": untainted,
            }
            rooms = near
        names = self.claim_names(pod)
        made = {f"{each.name}-{pod.name}": each for each in workload.claim_templates}
        self._first += 1
        answer = place(
            workload,
            rooms,
            self._placed(workload) if len(rooms) > 1 or self._anti else (),
            volumes=Volumes(
                claims={**self._claims, **made} if names else {},
                bound_node=self.bound_node,
                held=self._held() if names else frozenset(),
            ),
            claim_names=names,
            runtime=self.runtime(workload),
            elsewhere=elsewhere,
            first=self._first % max(1, len(rooms)),
        )
        if answer.room is None:
            if pod.pending != answer.reason:
                pod.pending = answer.reason
                self._state.event(f"pod/{pod.name}", "pending", answer.reason)
            return None
        return self._state.nodes[answer.room.node.name]

    def _simple(self, workload: Workload) -> bool:
        """Say whether neither volumes nor other Pods have a say in where *workload* goes."""
        return not (
            self._anti
            or workload.spread
            or workload.pod_affinity
            or workload.claim_names
            or workload.claim_templates
        )

    def runtime(self, workload: Workload) -> RuntimeClass | None:
        """Return the runtime class that *workload* names, None if it names none."""
        return self._runtimes.get(workload.runtime_class)

    def _placed(self, workload: Workload) -> list[Placed]:
        """Return the Pods that can matter: all if affinities ask, else those of *workload*."""
        if workload.spread or workload.pod_affinity or self._anti:
            pods = list(self._state.pods.values())
        else:
            pods = list(self._state.by_workload.get(workload.name, {}).values())
        return [
            Placed(pod.workload, pod.node.room)
            for pod in pods
            if pod.node is not None and pod.deleted_us is None
        ]

    def _held(self) -> frozenset[str]:
        alone = {name for name, each in self._claims.items() if _alone(each.access_modes)}
        return frozenset(
            name
            for pod in self._state.pods.values()
            if alone and pod.node is not None
            for name in self.claim_names(pod)
            if name in alone
        )

    def taints_changed(self, node: NodeState) -> None:
        """Take note of the taints of *node*, and try the Pods again that wait for it."""
        if node.room.taints:
            self._tainted[node.node.name] = None
        else:
            self._tainted.pop(node.node.name, None)
        self.room_changed(node)


def _alone(access_modes: tuple[str, ...]) -> bool:
    return "ReadWriteOncePod" in access_modes
