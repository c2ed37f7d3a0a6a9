"""The controllers of the workload kinds: who is replaced, when, and under which name.

Held against facts/k3s.md, 1.4. A Deployment counts a terminating Pod as gone; a StatefulSet waits
for it and recreates in order; a DaemonSet keeps one Pod a node; a bare Pod is nobody's.
"""

from collections.abc import Callable

from edgetwin.engine.cluster_state import ClusterState, NodeState, PodState
from edgetwin.engine.controller_client import Client, Process, Workers
from edgetwin.kubernetes import RuntimeClass, Workload
from edgetwin.placement import suits, untolerated


class WorkloadControllers:
    """ReplicaSet, StatefulSet and DaemonSet controllers, with one client each."""

    def __init__(self, state: ClusterState, *, on_created: Callable[[PodState], None]) -> None:
        self._state = state
        self._on_created = on_created
        self._clients: dict[str, Client] = {}
        self._workers: dict[str, Workers] = {}
        self._queued: dict[str, None] = {}
        self._busy: dict[str, bool] = {}
        self._workloads = {each.name: each for each in state.spec.workloads}
        self._runtimes = {each.name: each for each in state.spec.runtime_classes}
        self._made: dict[str, int] = {}
        self._stopped = False

    def stop(self) -> None:
        """Die; what was not created stays so."""
        self._stopped = True
        for client in self._clients.values():
            client.stop()

    def successor(self) -> "WorkloadControllers":
        """Return the controllers that go on after these have died."""
        other = WorkloadControllers(self._state, on_created=self._on_created)
        other._made = self._made
        return other

    def pods_of(self, workload: Workload) -> list[PodState]:
        """Return the Pods of *workload* that are in the API, in order of creation."""
        return list(self._state.by_workload.get(workload.name, {}).values())

    def changed(self, workload: Workload) -> None:
        """Have the controller of *workload* look at its Pods, once it has seen the change."""
        if workload.kind in ("Pod", "StaticPod") or workload.name in self._queued:
            return
        self._queued[workload.name] = None
        self._state.later(self._state.times.watch_us, lambda: self._enqueue(workload))

    def _enqueue(self, workload: Workload) -> None:
        if self._stopped:
            return
        kind = workload.kind
        if kind not in self._clients:
            self._clients[kind] = Client(
                self._state.env, self._state.times, self._state.draws.word(f"controller/{kind}")
            )
            self._workers[kind] = Workers(self._state.env, self._state.times.replica_workers)
        self._workers[kind].add(lambda: self._reconcile(workload))

    def _reconcile(self, workload: Workload) -> Process:
        self._queued.pop(workload.name, None)
        if workload.name in self._busy:
            # One worker at a time holds a workload; it looks again when it is done.
            self._busy[workload.name] = True
            return
        self._busy[workload.name] = False
        client = self._clients[workload.kind]
        made = False
        while missing := self.missing(workload):
            ordinal, node = missing[0]
            yield client.write()
            if not any(each[0] == ordinal for each in self.missing(workload)):
                continue
            self._create(workload, ordinal, node)
            client.record()
            made = True
        if made:
            yield client.write()
        if self._busy.pop(workload.name):
            self.changed(workload)

    def missing(self, workload: Workload) -> list[tuple[int, NodeState | None]]:
        """Return the Pods to create now: identity, and the node of a DaemonSet's Pod."""
        pods = self.pods_of(workload)
        match workload.kind:
            case "Deployment":
                live = sum(pod.live for pod in pods)
                made = self._made.get(workload.name, 0)
                return [(made + each, None) for each in range(max(0, workload.replicas - live))]
            case "StatefulSet":
                return [(each, None) for each in self._missing_identities(workload, pods)]
            case "DaemonSet":
                held = {pod.ordinal for pod in pods if not pod.finished}
                return [
                    (node.index, node)
                    for node in self._state.nodes.values()
                    if node.index not in held and self.daemon_runs_on(workload, node)
                ]
        return []

    def _missing_identities(self, workload: Workload, pods: list[PodState]) -> list[int]:
        """Return identities to create: a Terminating one is taken; in order, each after the one
        before is Ready, unless the management policy is Parallel."""
        held = {pod.ordinal: pod for pod in pods if not pod.finished}
        if workload.pod_management == "Parallel":
            return [each for each in range(workload.replicas) if each not in held]
        for each in range(workload.replicas):
            if each not in held:
                return [each]
            if held[each].deleted_us is not None or not held[each].listed_ready:
                return []
        return []

    def daemon_runs_on(self, workload: Workload, node: NodeState) -> bool:
        """Say whether *workload*, a DaemonSet, has a Pod on *node*."""
        runtime: RuntimeClass | None = self._runtimes.get(workload.runtime_class)
        return suits(workload, node.node, runtime) and not untolerated(workload, node.room.taints)

    def first_pods(self, workload: Workload) -> list[PodState]:
        """Create the Pods that *workload* has at the beginning; they have no node yet."""
        nodes = self._state.nodes.values()
        match workload.kind:
            case "DaemonSet":
                runs_on = [node for node in nodes if self.daemon_runs_on(workload, node)]
                return [self.create(workload, node.index, node) for node in runs_on]
            case "StaticPod":
                named = [node for node in nodes if node.node.name in workload.node_names]
                return [self.create(workload, node.index, node) for node in named]
            case "Pod":
                return [self.create(workload, 0)]
        return [self.create(workload, each) for each in range(workload.replicas)]

    def _create(self, workload: Workload, ordinal: int, node: NodeState | None) -> None:
        pod = self.create(workload, ordinal, node)
        self._state.event(f"pod/{pod.name}", "created", workload.kind)
        self._on_created(pod)

    def create(self, workload: Workload, ordinal: int, node: NodeState | None = None) -> PodState:
        """Add the Pod *ordinal* of *workload* to the API; it has no node yet.

        Names follow from the workload: ``web-0`` and on for a Deployment, the identity for a
        StatefulSet, the node for DaemonSets and static Pods, the workload's own for a bare Pod.
        """
        name = f"{workload.name}-{ordinal}"
        if node is not None:
            name = f"{workload.name}-{node.node.name}"
        elif workload.kind == "Pod":
            name = workload.name
        self._made[workload.name] = max(self._made.get(workload.name, 0), ordinal + 1)
        return self._state.new_pod(workload, name, ordinal)
