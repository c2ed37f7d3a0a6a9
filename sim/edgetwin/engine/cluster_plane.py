"""The control plane as a whole: its controllers live and die with it, and hear of one another.

Held against facts/k3s.md, 0: one server (``cloud``, ``local``) or three with a quorum of etcd and
a leader (``local-ha``). After a start nothing is known but what the API server holds.
"""

from collections.abc import Callable

from edgetwin.engine.cluster_state import ClusterState, NodeState, PodState
from edgetwin.engine.controller_endpoints import EndpointController
from edgetwin.engine.controller_nodes import NodeController
from edgetwin.engine.controller_scheduler import Scheduler
from edgetwin.engine.controller_taints import TaintEviction
from edgetwin.engine.controller_workloads import WorkloadControllers
from edgetwin.engine.kubelet import Kubelets
from edgetwin.units import SECOND_US


class Spell:
    """The controllers that watch nodes and endpoints, from one start to the next death."""

    def __init__(self, plane: "ControlPlane", *, restarted: bool) -> None:
        self.nodes = NodeController(
            plane.state,
            restarted=restarted,
            on_taints=plane.on_taints,
            on_unknown=plane.on_unknown,
        )
        self.taints = TaintEviction(plane.state, on_deleted=plane.on_deleted)
        self.endpoints = EndpointController(plane.state)

    def stop(self) -> None:
        """Die."""
        self.nodes.stop()
        self.taints.stop()
        self.endpoints.stop()


class ControlPlane:
    """Controllers and scheduler, and what each has to tell the others."""

    kubelets: Kubelets
    """Set by the cluster: who hears of deletions and bindings."""
    on_unknown: Callable[[NodeState], None]
    """Set by the cluster: who hears that a node is called Unknown."""

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.servers = [node for node in state.nodes.values() if node.node.server]
        self.scheduler = Scheduler(state, on_bound=self.on_bound)
        self.workloads = WorkloadControllers(state, on_created=self._on_created)
        self._daemons = [each for each in state.spec.workloads if each.kind == "DaemonSet"]
        self._spell: Spell | None = None
        self._leader = 0
        """Place among the servers of the one whose controllers act."""
        self._leaderless = False
        self._spells = 0
        state.on_listed = self._on_listed
        state.on_taints = self.on_taints

    # Living and dying

    @property
    def spell(self) -> Spell | None:
        """The watching controllers, made when something first needs them; None: none live."""
        if self._spell is None and self.state.api_up and not self._leaderless:
            self._spell = Spell(self, restarted=False)
        return self._spell

    def nodes(self) -> NodeController | None:
        """Return the node controller, None while there is none."""
        return None if self.spell is None else self.spell.nodes

    def quorum(self) -> bool:
        """Say whether more than half of the etcd members are up and see one another."""
        if self.state.spec.control_plane != "local-ha":
            return True
        up = sum(node.booted and node.powered and node.linked for node in self.servers)
        return 2 * up > len(self.servers)

    def serves(self, node: NodeState) -> bool:
        """Say whether the server *node* takes part in the control plane."""
        return node.powered and node.kubelet and node.linked

    def stop(self) -> None:
        """Die, with all timers and counts."""
        self._spells += 1
        if self._spell is not None:
            self._spell.stop()
            self._spell = None
        self.scheduler.stop()
        self.workloads.stop()

    def start(self) -> None:
        """Begin anew from what the API server holds: no timer and no count has survived (0)."""
        self._leaderless = False
        self._spells += 1
        former = self.scheduler
        self.scheduler = Scheduler(self.state, on_bound=self.on_bound)
        self.workloads = self.workloads.successor()
        spell = self._spell = Spell(self, restarted=True)
        for node in self.state.nodes.values():
            if node.no_execute:
                spell.taints.node_changed(node)
        for pod in self.state.pods.values():
            spell.endpoints.changed(pod)
        self.scheduler.take_over(former)
        for workload in self.state.spec.workloads:
            self.workloads.changed(workload)

    def check_leader(self) -> None:
        """With three servers: have another one's controllers take over if the leader is lost."""
        if self.serves(self.servers[self._leader]):
            return
        places = [place for place, node in enumerate(self.servers) if self.serves(node)]
        if not places:
            return
        self._leader = places[0]
        self.stop()
        self._leaderless = True
        spells = self._spells

        def take_over() -> None:
            if self._spells == spells and self.state.api_up:
                self.start()

        self.state.later(self.state.times.leader_lease_us, take_over)

    # What one has to tell the others

    def on_taints(self, node: NodeState) -> None:
        """Tell those who watch the taints of *node* that they changed."""
        if self._spell is not None:
            self._spell.taints.node_changed(node)
        self.scheduler.taints_changed(node)
        for workload in self._daemons:
            self.workloads.changed(workload)

    def delete(self, pod: PodState, reason: str) -> None:
        """Mark *pod* for deletion, as a user or a controller does.

        Of a static Pod only the mirror would go, which its kubelet makes anew: nothing happens.
        """
        if pod.deleted_us is None and not pod.gone and pod.workload.kind != "StaticPod":
            pod.deleted_us = self.state.now
            self.state.event(f"pod/{pod.name}", "deletion", reason)
            self.on_deleted(pod)

    def force_delete(self, pod: PodState) -> None:
        """Take *pod* out of the API without waiting for its kubelet."""
        if not pod.gone and pod.workload.kind != "StaticPod":
            self.state.event(f"pod/{pod.name}", "force deleted", "")
            pod.deleted_us = self.state.now
            self.on_gone(pod)
            self.kubelets.look(pod)

    def on_deleted(self, pod: PodState) -> None:
        """Tell everybody that *pod* is marked for deletion."""
        if self.spell is not None:
            self.spell.endpoints.changed(pod)
        self.workloads.changed(pod.workload)
        if pod.node is None:
            self.scheduler.forget(pod)
            self.on_gone(pod)
        else:
            self.kubelets.look(pod)

    def on_gone(self, pod: PodState) -> None:
        """Take *pod* out of the API: its kubelet has told that it ended, or nobody waits."""
        if pod.gone:
            return
        self.state.event(f"pod/{pod.name}", "gone", pod.node.node.name if pod.node else "")
        self.state.remove_pod(pod)
        self.scheduler.release(pod)
        if self.spell is not None:
            self.spell.endpoints.changed(pod)
        self.workloads.changed(pod.workload)

    def on_finished(self, pod: PodState) -> None:
        """Take note that *pod* has ended for good; it takes no room any more."""
        self.state.set_listed_ready(pod, False)
        if pod.node is not None and pod.key in pod.node.pods:
            del pod.node.pods[pod.key]
            self.scheduler.release(pod)
        self.workloads.changed(pod.workload)

    def _on_created(self, pod: PodState) -> None:
        if pod.workload.kind == "DaemonSet":
            node = self.state.nodes[pod.name.removeprefix(f"{pod.workload.name}-")]
            self.scheduler.bind(pod, node)
            self.on_bound(pod)
        else:
            self.scheduler.add(pod)

    def on_bound(self, pod: PodState) -> None:
        """Tell everybody that *pod* has a node."""
        if self.spell is not None:
            self.spell.taints.pod_bound(pod)
        self.state.later(self.state.times.watch_us, lambda: self.kubelets.look(pod))

    def _on_listed(self, pod: PodState) -> None:
        if self.spell is not None:
            self.spell.endpoints.changed(pod)
        if pod.workload.kind == "StatefulSet":
            self.workloads.changed(pod.workload)
        if pod.ready and not pod.listed_ready:
            # A kubelet with contact sees that its Pod was set NotReady and says otherwise.
            wait_us = self.state.draws.between(f"status/{pod.name}", 0, SECOND_US)
            self.state.later(wait_us, lambda: self.kubelets.report(pod))

    # The beginning

    def first_pods(self) -> list[PodState]:
        """Create all Pods of the cluster and place those that find a node, in order of priority."""
        given = dict(self.state.spec.initial_nodes)
        placed = []
        for workload in sorted(self.state.spec.workloads, key=lambda each: -each.priority):
            names = given.get(workload.name, ())
            for place, pod in enumerate(self.workloads.first_pods(workload)):
                if workload.kind in ("DaemonSet", "StaticPod"):
                    node: NodeState | None = self.state.nodes_by_index[pod.ordinal]
                elif place < len(names):
                    node = self.state.nodes[names[place]]
                else:
                    node = self.scheduler.choose(pod)
                if node is None:
                    self.scheduler.wait(pod)
                else:
                    self.scheduler.bind(pod, node)
                    placed.append(pod)
        return placed
