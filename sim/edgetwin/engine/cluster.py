"""One control plane with its nodes in simulated time: the surface that the engine builds on.

The rules are next door, one room each: `controller_nodes`, `controller_taints`,
`controller_workloads`, `controller_scheduler` and `controller_endpoints` are the control plane;
`kubelet`, `kubelet_contact`, `kubelet_heal` and `images` are the nodes. Here they are put
together, and faults come in.
"""

from collections.abc import Callable

import simpy

from edgetwin.engine.cluster_state import ClusterSpec, ClusterState, NodeState, PodKey, PodState
from edgetwin.engine.controller_endpoints import EndpointController, apply_endpoint
from edgetwin.engine.controller_nodes import NodeController
from edgetwin.engine.controller_scheduler import Scheduler
from edgetwin.engine.controller_taints import TaintEviction
from edgetwin.engine.controller_workloads import WorkloadControllers
from edgetwin.engine.images import Images
from edgetwin.engine.kubelet import Kubelets
from edgetwin.engine.kubelet_contact import FIRST_CONTACT, Contact
from edgetwin.engine.kubelet_heal import Heal
from edgetwin.kubernetes import Node, Workload
from edgetwin.units import SECOND_US

__all__ = ["Cluster", "ClusterSpec", "Heal", "PodKey"]


class ControlPlane:
    """The controllers of one spell of a running API server; they die with it."""

    def __init__(self, cluster: "Cluster", *, restarted: bool) -> None:
        state = cluster.state
        self.nodes = NodeController(
            state,
            restarted=restarted,
            on_taints=cluster.on_taints,
            on_unknown=cluster.contact.called_unknown,
        )
        self.taints = TaintEviction(state, on_deleted=cluster.on_deleted)
        self.endpoints = EndpointController(state)

    def stop(self) -> None:
        """Die."""
        self.nodes.stop()
        self.taints.stop()
        self.endpoints.stop()


class Cluster:
    """One control plane with its nodes, in simulated time."""

    def __init__(
        self,
        env: simpy.Environment,
        spec: ClusterSpec,
        draw: Callable[[str, int], int],
        *,
        start_us: Callable[[Workload, Node, int], int],
        on_endpoints: Callable[[str, str], None],
        on_event: Callable[[str, str, str], None],
    ) -> None:
        """Make the cluster as it stands at the present instant: settled, unless the spec is cold.

        *draw* gives the 64-bit word of a purpose and a counter. *start_us* gives how long a Pod
        takes from its runtime's start to Ready, pulls excluded; `cold` may be asked within it.
        *on_endpoints(site, workload)* is called when the answer of `ready` has changed, once an
        instant; *on_event(entity, kind, detail)* for everything a history should have.
        """
        self.state = ClusterState(env, spec, draw, on_endpoints, on_event)
        self.images = Images(self.state)
        self.kubelets = Kubelets(
            self.state,
            self.images,
            start_us=start_us,
            on_finished=self._on_finished,
            on_gone=self.on_gone,
        )
        self.contact = Contact(self.state, self.kubelets, self._node_controller)
        self.state.on_listed = self._on_listed
        self.scheduler = Scheduler(self.state, on_bound=self._on_bound)
        self.workloads = WorkloadControllers(self.state, on_created=self._on_created)
        self._plane: ControlPlane | None = None
        self._servers = [node for node in self.state.nodes.values() if node.node.server]
        self._daemons = [each for each in spec.workloads if each.kind == "DaemonSet"]
        self._leader = 0
        """Place among the servers of the one whose controllers act."""
        self._leaderless = False
        self._server_up = True
        self._restarts = 0
        self._deploy()
        self.state.remember()

    # What can be asked

    def ready(self, workload: str, site: str) -> tuple[PodKey, ...]:
        """Return the Pods of *workload* that answer at *site*, in order of creation.

        They truly run and are ready, and the proxy of a powered node of that site lists them: a
        node without contact keeps the list from before, one that has just come back follows the
        control plane's, which may not have them yet (facts/k3s.md, 1.5).
        """
        return self.state.ready(workload, site)

    def believed(self, workload: str, site: str | None = None) -> tuple[PodKey, ...]:
        """Return the Pods of *workload* that the control plane lists as endpoints.

        With *site* only those bound to its nodes. Whether they run is another matter: see `ready`.
        """
        return tuple(
            pod.key
            for pod in self.state.by_workload.get(workload, {}).values()
            if pod.endpoint and pod.node is not None and site in (None, pod.node.node.site)
        )

    def running(self, workload: str) -> tuple[tuple[PodKey, str], ...]:
        """Return every copy of *workload* that truly runs, with its node: more than the replicas
        if a lost one lives on beside its replacement (facts/k3s.md, 1.4)."""
        found = [
            pod
            for node in self.state.nodes.values()
            for pod in node.pods.values()
            if pod.running and pod.workload.name == workload
        ]
        found.sort(key=lambda pod: pod.number)
        return tuple((pod.key, pod.node.node.name) for pod in found if pod.node is not None)

    def pending(self) -> tuple[tuple[PodKey, str], ...]:
        """Return the Pods that wait, with the reason that kubectl would show."""
        return tuple(
            (pod.key, pod.pending) for pod in self.state.pods.values() if pod.pending and pod.live
        )

    def node_ready(self, node: str) -> str:
        """Return the Ready condition that the control plane has of *node*."""
        return self.state.nodes[node].ready

    def cold(self, node: str, image: str) -> bool:
        """Say whether *image* has not run on *node* since it booted: its pages are on disk."""
        return self.images.cold(self.state.nodes[node], image)

    # What can happen

    def link(
        self,
        node: str,
        up: bool,
        *,
        silent: bool = True,
        last_lease_us: int | None = None,
        heal: Heal | None = None,
    ) -> None:
        """Cut or heal the way between *node*'s kubelet and its control plane.

        *silent*: packets vanish; else connections are refused. A server of a ``cloud`` or
        ``local`` control plane speaks to itself, so for it this changes nothing. *last_lease_us*
        and *heal* replace draws, for replays of recordings.
        """
        state = self.state.nodes[node]
        if state.node.server and self.state.spec.control_plane != "local-ha":
            return
        if state.linked == up:
            return
        was = self._has_contact(state)
        state.linked = up
        if not up:
            state.silent = silent
        self.contact.check(state, was=was, last_lease_us=last_lease_us, heal=heal)
        self._check_api()
        if up:
            self._try_start(state)

    def registry(
        self, site: str, up: bool, bits_per_s: int | None = None, *, silent: bool = True
    ) -> None:
        """Change whether *site* reaches the image registry, and how fast it is."""
        if bits_per_s is None:
            bits_per_s = self.state.spec.registry_bits_per_s
        self.images.set_registry(site, up=up, bits_per_s=bits_per_s, silent=silent)

    def power(self, node: str, up: bool) -> None:
        """Take *node*'s power away, or give it back: it then boots."""
        state = self.state.nodes[node]
        if state.powered == up:
            return
        was = self._has_contact(state)
        state.powered = up
        state.boot += 1
        if up:
            boot = state.boot
            self.state.event(f"node/{node}", "boot", "")
            self.state.later(self.state.times.boot_us, lambda: self._booted(state, boot))
            return
        state.booted = state.kubelet = False
        self.state.event(f"node/{node}", "power lost", "")
        self.kubelets.kill_all(state)
        self.contact.check(state, was=was)
        self.state.node_may_have_changed(state)
        self._check_api()

    def server(self, up: bool) -> None:
        """Crash the control plane's processes, or start them: no partition, nobody evicts.

        The kubelet of a server is part of the same process and dies with it; its containers run
        on, as do all the agents'.
        """
        if self._server_up == up:
            return
        self._restarts += 1
        restarts = self._restarts
        what = "server started" if up else "server killed"
        self.state.event(f"cluster/{self.state.spec.name}", what, "")
        if not up:
            self._server_up = False
            for node in self._servers:
                self._kill_kubelet(node)
            self._check_api()
        elif self._servers:
            self._server_up = True
            for node in self._servers:
                self._try_start(node)
        else:

            def served() -> None:
                if self._restarts == restarts:
                    self._server_up = True
                    self._check_api()

            self.state.later(self.state.times.server_start_us, served)

    def process(self, node: str, up: bool) -> None:
        """Stop or start the K3s process of *node*; its containers run on, unmanaged (3.1)."""
        state = self.state.nodes[node]
        if not up:
            self._kill_kubelet(state)
            state.booted = False
            self._check_api()
        elif state.powered and not state.booted:
            self._booted(state, state.boot)

    def kill(self, pod: PodKey, reason: str, *, liveness: bool = False) -> None:
        """End a container of *pod*: out of memory, crash, or by its liveness probe."""
        for node in self.state.nodes.values():
            if pod in node.pods:
                self.kubelets.exit(node.pods[pod], reason, liveness=liveness)
                return

    # Booting

    def _has_contact(self, node: NodeState) -> bool:
        return node.contacted and self.state.api_up

    def _booted(self, node: NodeState, boot: int) -> None:
        if node.boot == boot and node.powered:
            node.booted = True
            self._check_api()
            self._try_start(node)

    def _try_start(self, node: NodeState) -> None:
        """Start a kubelet whose machine is up, when what it needs is there.

        A server needs itself, or with etcd a quorum; a K3s agent needs its server's answer.
        """
        if node.kubelet or not node.booted or not node.powered:
            return
        times = self.state.times
        if node.node.server:
            if not self._server_up or not self._quorum():
                return
            wait_us = times.server_start_us
        elif times.agent_waits_for_server:
            if not (node.linked and self.state.api_up):
                return
            retry_us = self.state.draws.between(f"agent/{node.node.name}", 0, times.agent_retry_us)
            wait_us = retry_us + times.agent_start_us
        else:
            wait_us = times.agent_start_us
        boot = node.boot
        self.state.later(wait_us, lambda: self._start_kubelet(node, boot))

    def _start_kubelet(self, node: NodeState, boot: int) -> None:
        if node.boot != boot or node.kubelet or not node.booted:
            return
        reaches = node.node.server or (node.linked and self.state.api_up)
        if self.state.times.agent_waits_for_server and not reaches:
            return
        self.contact.start_kubelet(node, after_boot=True)
        self._check_api()

    def _kill_kubelet(self, node: NodeState) -> None:
        was = self._has_contact(node)
        node.kubelet = False
        node.boot += 1
        self.kubelets.forget(node)
        self.contact.check(node, was=was)

    # The control plane

    @property
    def plane(self) -> ControlPlane | None:
        """The controllers, made when something first needs them; None while there are none."""
        if self._plane is None and self.state.api_up and not self._leaderless:
            self._plane = ControlPlane(self, restarted=False)
        return self._plane

    def _node_controller(self) -> NodeController | None:
        return None if self.plane is None else self.plane.nodes

    def _quorum(self) -> bool:
        """Say whether enough etcd members are up and see one another: more than half."""
        servers = self._servers
        if self.state.spec.control_plane != "local-ha":
            return True
        up = sum(node.booted and node.powered and node.linked for node in servers)
        return 2 * up > len(servers)

    def _serves(self, node: NodeState) -> bool:
        """Say whether the server *node* takes part in the control plane."""
        return node.powered and node.kubelet and node.linked

    def _check_api(self) -> None:
        """Start or stop the control plane by what its servers are doing."""
        up = self._server_up and self._quorum()
        if self._servers:
            up = up and any(self._serves(node) for node in self._servers)
        if up and not self.state.api_up:
            self._api_starts()
        elif self.state.api_up and not up:
            self._api_stops()
        elif up and self.state.spec.control_plane == "local-ha":
            self._check_leader()

    def _api_stops(self) -> None:
        contacts = [(node, self._has_contact(node)) for node in self.state.nodes.values()]
        self.state.api_up = False
        self._stop_controllers()
        for node, was in contacts:
            if was:
                node.silent = False
            self.contact.check(node, was=was)

    def _api_starts(self) -> None:
        self.state.api_up = True
        self._start_controllers()
        for node in self.state.nodes.values():
            # A server speaks to itself; the others were refused and try again in their own time.
            self.contact.check(node, was=False, heal=FIRST_CONTACT if node.node.server else None)
            self._try_start(node)

    def _check_leader(self) -> None:
        """With three servers: have another one's controllers take over if the leader is lost."""
        if self._serves(self._servers[self._leader]):
            return
        self._leader = next(place for place, node in enumerate(self._servers) if self._serves(node))
        self._stop_controllers()
        self._leaderless = True
        restarts = self._restarts = self._restarts + 1

        def take_over() -> None:
            if self._restarts == restarts and self.state.api_up:
                self._start_controllers()

        self.state.later(self.state.times.leader_lease_us, take_over)

    def _stop_controllers(self) -> None:
        if self._plane is not None:
            self._plane.stop()
            self._plane = None
        self.scheduler.stop()
        self.workloads.stop()

    def _start_controllers(self) -> None:
        """Begin anew from what the API server holds: no timer and no count has survived (0)."""
        self._leaderless = False
        self._restarts += 1
        former = self.scheduler
        self.scheduler = Scheduler(self.state, on_bound=self._on_bound)
        self.workloads = self.workloads.successor()
        self._plane = ControlPlane(self, restarted=True)
        for node in self.state.nodes.values():
            if node.no_execute:
                self._plane.taints.node_changed(node)
        for pod in self.state.pods.values():
            self._plane.endpoints.changed(pod)
        self.scheduler.take_over(former)
        for workload in self.state.spec.workloads:
            self.workloads.changed(workload)

    # What one part has to tell the others

    def on_taints(self, node: NodeState) -> None:
        """Tell those who watch the taints of *node* that they changed."""
        if self._plane is not None:
            self._plane.taints.node_changed(node)
        self.scheduler.taints_changed(node)
        for workload in self._daemons:
            self.workloads.changed(workload)

    def on_deleted(self, pod: PodState) -> None:
        """Tell everybody that *pod* is marked for deletion."""
        if self.plane is not None:
            self.plane.endpoints.changed(pod)
        self.workloads.changed(pod.workload)
        if pod.node is None:
            self.scheduler.forget(pod)
            self.on_gone(pod)
        else:
            self.kubelets.look(pod)

    def delete(self, pod: PodKey, reason: str) -> None:
        """Delete *pod* in the API, as a user or a controller does."""
        state = self.state.pods[pod]
        if state.deleted_us is None:
            state.deleted_us = self.state.now
            self.state.event(f"pod/{state.name}", "deletion", reason)
            self.on_deleted(state)

    def force_delete(self, pod: PodKey) -> None:
        """Take *pod* out of the API without waiting for its kubelet: its name is free at once,
        while the old copy may run on until its node is back (facts/k3s.md, 1.4)."""
        state = self.state.pods[pod]
        self.state.event(f"pod/{state.name}", "force deleted", "")
        state.deleted_us = self.state.now
        self.on_gone(state)
        self.kubelets.look(state)

    def on_gone(self, pod: PodState) -> None:
        """Take *pod* out of the API: its kubelet has told that it ended, or nobody waits."""
        if pod.gone:
            return
        self.state.event(f"pod/{pod.name}", "gone", pod.node.node.name if pod.node else "")
        self.state.remove_pod(pod)
        self.scheduler.release(pod)
        if self.plane is not None:
            self.plane.endpoints.changed(pod)
        self.workloads.changed(pod.workload)

    def _on_finished(self, pod: PodState) -> None:
        self.state.set_listed_ready(pod, False)
        self.workloads.changed(pod.workload)

    def _on_created(self, pod: PodState) -> None:
        if pod.workload.kind == "DaemonSet":
            node = self.state.nodes[pod.name.removeprefix(f"{pod.workload.name}-")]
            self.scheduler.bind(pod, node)
            self._on_bound(pod)
        else:
            self.scheduler.add(pod)

    def _on_bound(self, pod: PodState) -> None:
        if self.plane is not None:
            self.plane.taints.pod_bound(pod)
        self.state.later(self.state.times.watch_us, lambda: self.kubelets.look(pod))

    def _on_listed(self, pod: PodState) -> None:
        if self.plane is not None:
            self.plane.endpoints.changed(pod)
        if pod.workload.kind == "StatefulSet":
            self.workloads.changed(pod.workload)
        if pod.ready and not pod.listed_ready:
            # A kubelet with contact sees that its Pod was set NotReady and says otherwise.
            wait_us = self.state.draws.between(f"status/{pod.name}", 0, SECOND_US)
            self.state.later(wait_us, lambda: self.kubelets.report(pod))

    # The beginning

    def _deploy(self) -> None:
        """Create and place all Pods; unless the spec is cold they have been Ready for long."""
        given = dict(self.state.spec.initial_nodes)
        for workload in sorted(self.state.spec.workloads, key=lambda each: -each.priority):
            names = given.get(workload.name, ())
            for place, pod in enumerate(self._first_pods(workload)):
                node = pod.node
                if node is None:
                    known = place < len(names)
                    node = self.state.nodes[names[place]] if known else self.scheduler.choose(pod)
                    if node is None:
                        self.scheduler.wait(pod)
                        continue
                    self.scheduler.bind(pod, node)
                if self.state.spec.cold:
                    self._on_bound(pod)
                else:
                    self._settle(pod, node)

    def _first_pods(self, workload: Workload) -> list[PodState]:
        match workload.kind:
            case "DaemonSet" | "StaticPod":
                pods = []
                for node in self.state.nodes.values():
                    if workload.kind == "StaticPod":
                        if node.node.name not in workload.node_names:
                            continue
                    elif not self.workloads.daemon_runs_on(workload, node):
                        continue
                    pod = self.workloads.create(workload, node.index, node)
                    self.scheduler.bind(pod, node)
                    pods.append(pod)
                return pods
            case "Pod":
                return [self.workloads.create(workload, 0)]
        return [self.workloads.create(workload, each) for each in range(workload.replicas)]

    def _settle(self, pod: PodState, node: NodeState) -> None:
        for container in pod.workload.init_containers + pod.workload.containers:
            if not self.images.present(node, container.image):
                self.images.preload(node, container.image)
            self.images.warm(node, container.image)
        pod.known = pod.running = pod.ready = pod.listed_ready = True
        pod.starts = 1
        apply_endpoint(self.state, pod)
