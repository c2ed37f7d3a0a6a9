"""One control plane with its nodes in simulated time: the surface that the engine builds on.

The rules are next door, one room each: `controller_nodes`, `controller_taints`,
`controller_workloads`, `controller_scheduler` and `controller_endpoints` are the control plane
that `cluster_plane` keeps together; `kubelet`, `kubelet_contact`, `kubelet_heal`,
`kubelet_probes`, `kubelet_disk` and `images` are the nodes, which `cluster_boot` starts and stops.
"""

from collections.abc import Callable

import simpy

from edgetwin.engine.cluster_boot import Boots
from edgetwin.engine.cluster_plane import ControlPlane
from edgetwin.engine.cluster_state import ClusterSpec, ClusterState, PodKey, PodState
from edgetwin.engine.images import Images
from edgetwin.engine.kubelet import Kubelets
from edgetwin.engine.kubelet_contact import Contact
from edgetwin.engine.kubelet_disk import Disks
from edgetwin.engine.kubelet_heal import Heal
from edgetwin.engine.kubelet_probes import ProbeKind, Probes
from edgetwin.kubernetes import Node, Workload

__all__ = ["Cluster", "ClusterSpec", "Heal", "PodKey"]


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
        self._plane = plane = ControlPlane(self.state)
        self._images = Images(self.state)
        self._kubelets = Kubelets(
            self.state,
            self._images,
            start_us=start_us,
            on_finished=plane.on_finished,
            on_gone=plane.on_gone,
        )
        self._contact = Contact(self.state, self._kubelets, plane.nodes)
        plane.kubelets = self._kubelets
        plane.on_unknown = self._contact.called_unknown
        self._boots = Boots(self.state, plane, self._contact, self._kubelets)
        self._probes = Probes(self.state, self._kubelets)
        self._disks = Disks(self.state, self._images, self._kubelets)
        for pod in plane.first_pods():
            if spec.cold:
                plane.on_bound(pod)
            else:
                self._settle(pod)
        self.state.remember()

    def _settle(self, pod: PodState) -> None:
        """Have *pod* as one that has been Ready for long, its images on disk and in memory."""
        node = pod.node
        assert node is not None
        for container in pod.workload.init_containers + pod.workload.containers:
            if not self._images.present(node, container.image):
                self._images.preload(node, container.image)
            self._images.warm(node, container.image)
        pod.known = pod.running = pod.ready = pod.listed_ready = pod.endpoint = True
        pod.starts = 1

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
        return self._images.cold(self.state.nodes[node], image)

    def free_bytes(self, node: str) -> int:
        """Return what is free on *node*'s disk, by its images and what `disk` was told."""
        return self._disks.free_bytes(self.state.nodes[node])

    # What can happen

    def link(
        self,
        node: str,
        up: bool,
        *,
        silent: bool = True,
        lan: bool = False,
        last_lease_us: int | None = None,
        heal: Heal | None = None,
    ) -> None:
        """Cut or heal the way of *node*'s site to the others, and so to its control plane.

        Nothing changes for a node whose control plane is not that way off: a server of a
        ``cloud`` or ``local`` one, and all nodes of a ``local`` or ``local-ha`` one that stands
        on their site; *lan* cuts the site's own network instead. *silent*: packets vanish; else
        connections are refused. *last_lease_us* and *heal* replace draws, for replays.
        """
        state = self.state.nodes[node]
        if not lan and not self._boots.is_apart(state):
            return
        self._boots.link(state, up, silent=silent, last_lease_us=last_lease_us, heal=heal)

    def uplink(self, site: str, up: bool) -> None:
        """Cut or heal *site*'s way out: without it a server may lack a route or the time (3.2)."""
        self._boots.uplink(site, up)

    def registry(
        self, site: str, up: bool, bits_per_s: int | None = None, *, silent: bool = True
    ) -> None:
        """Change whether *site* reaches the image registry, and how fast it is."""
        if bits_per_s is None:
            bits_per_s = self.state.spec.registry_bits_per_s
        self._images.set_registry(site, up=up, bits_per_s=bits_per_s, silent=silent)

    def power(self, node: str, up: bool) -> None:
        """Take *node*'s power away, or give it back: it then boots."""
        self._boots.power(self.state.nodes[node], up)

    def server(self, up: bool) -> None:
        """Crash the control plane's processes, or start them: no partition, nobody evicts.

        The kubelet of a server is part of the same process and dies with it; its containers run
        on, as do all the agents'.
        """
        self._boots.server(up)

    def process(self, node: str, up: bool) -> None:
        """Stop or start the K3s process of *node*; its containers run on, unmanaged (3.1)."""
        self._boots.process(self.state.nodes[node], up)

    def kill(self, pod: PodKey, reason: str, *, liveness: bool = False) -> None:
        """End a container of *pod*: out of memory, crash, or by its liveness probe.

        It is started again by its kubelet with the back-off of kubelet.md, 3.
        """
        found = self._find(pod)
        if found is not None:
            self._kubelets.exit(found, reason, liveness=liveness)

    def probe(self, pod: PodKey, kind: ProbeKind, *, failing: bool) -> None:
        """Have *pod*'s application fail its probe of *kind* from now on, or answer it again."""
        found = self._find(pod)
        if found is not None:
            self._probes.set(found, kind, failing=failing)

    def disk(self, node: str, other_bytes: int) -> None:
        """Say what collections, logs and the like take of *node*'s disk, images apart."""
        self._disks.fill(self.state.nodes[node], other_bytes)

    def delete(self, pod: PodKey, reason: str = "deleted by a user") -> None:
        """Delete *pod* in the API; its kubelet carries it out when it sees it."""
        self._plane.delete(self.state.pods[pod], reason)

    def force_delete(self, pod: PodKey) -> None:
        """Take *pod* out of the API without waiting for its kubelet: its name is free at once,
        while the old copy may run on until its node is back (facts/k3s.md, 1.4)."""
        self._plane.force_delete(self.state.pods[pod])

    def _find(self, key: PodKey) -> PodState | None:
        for node in self.state.nodes.values():
            if key in node.pods:
                return node.pods[key]
        return None
