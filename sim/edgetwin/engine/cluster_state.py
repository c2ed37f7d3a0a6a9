"""The two states of a cluster: what its control plane believes, and what is true on its nodes.

Everything here is data with its bookkeeping; the rules that change it are in the `controller_*`
and `kubelet*` modules. A field says on which side it lies: *listed* ones are the API server's
copy, *true* ones hold on the machine whether or not anybody can see them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import simpy
from simpy.events import EventPriority

from edgetwin.engine.cluster_draws import Draws
from edgetwin.kubernetes import (
    UNREACHABLE,
    Claim,
    Node,
    RuntimeClass,
    Service,
    Taint,
    Workload,
)
from edgetwin.placement import Room, room
from edgetwin.versions import Kubernetes, defaults

ControlPlane = Literal["cloud", "local", "local-ha"]
Condition = Literal["True", "False", "Unknown"]

LONG_AGO_US = -(10**15)
"""An instant before everything that can matter."""

NO_SCHEDULE = Taint(key=UNREACHABLE, effect="NoSchedule")
NO_EXECUTE = Taint(key=UNREACHABLE, effect="NoExecute")
DISK_PRESSURE = Taint(key="node.kubernetes.io/disk-pressure", effect="NoSchedule")

ENDPOINTS_PRIORITY = EventPriority(5)
"""Told after all other changes of an instant, so that they are netted (design.md, 4)."""


class PodKey(NamedTuple):
    """Names one Pod for ever: a StatefulSet's Pods keep their name, so incarnations are counted."""

    name: str
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """One control plane with its nodes and what is to run there."""

    name: str
    """Used in stream names, so it must be the cluster's own."""
    control_plane: ControlPlane
    """Where the control plane is; every answer depends on it (facts/k3s.md, 0)."""
    nodes: tuple[Node, ...]
    workloads: tuple[Workload, ...] = ()
    services: tuple[Service, ...] = ()
    """For who resolves requests: the cluster itself lists endpoints workload by workload."""
    claims: tuple[Claim, ...] = ()
    runtime_classes: tuple[RuntimeClass, ...] = ()
    kubernetes: Kubernetes = field(default_factory=defaults)
    """Version and overrides: `versions.defaults`."""
    image_bytes: tuple[tuple[str, int], ...] = ()
    """Compressed size of each image, as pulled over the link; unknown ones have the default."""
    image_bytes_default: int = 30_000_000
    """Chosen: a small application image."""
    image_disk_factor: float = 2.5
    """Disk taken by an image over its compressed size. Chosen."""
    image_unpack_bytes_per_s: int = 100_000_000
    """Compressed bytes unpacked a second. Chosen: one core of a small machine."""
    registry_bits_per_s: int = 10_000_000
    """What the registry gives a site until `Cluster.registry` says otherwise."""
    cold: bool = False
    """True: nothing is scheduled and no image present at time 0; else all Pods are Ready."""
    route_without_uplink: bool = True
    """A server finds a default route while its uplink is down; without one K3s does not start
    (facts/k3s.md, 3.2)."""
    clock_survives_power_loss: bool = True
    """The machine has a buffered clock; without one a server waits for the time (3.2)."""
    certificate_age_us: int | None = None
    """Age of the nodes' certificates at time 0, which a start of K3s renews if near their end
    (3.3); None: they do not matter in this run."""
    initial_nodes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Where the first Pods of a workload stand at the beginning, by its name, in order of identity;
    for the others the scheduler decides."""
    monitor_phase_us: int | None = None
    """Instant of the monitor's first pass, 0 .. 5 s; None: drawn."""


@dataclass(slots=True)
class NodeState:
    """A node: the API server's copy, the truth, and what its own proxy believes."""

    node: Node
    room: Room
    index: int
    # The truth
    linked: bool = True
    """Packets pass between the node and its control plane."""
    powered: bool = True
    booted: bool = True
    """Its system is up, and K3s has been started (whether or not it got anywhere)."""
    lost_power: bool = False
    """Its power went, and K3s has not run since: an unbuffered clock is wrong."""
    kubelet: bool = True
    """The kubelet runs (for K3s: the process that holds it)."""
    silent: bool = True
    """The last cut swallowed packets (else it refused connections)."""
    contact: int = 0
    """Counts losses and regains of contact, so that what an older one planned is void."""
    boot: int = 0
    """Counts power cycles and kubelet starts, likewise."""
    started_alone: bool = False
    """Its kubelet was started without contact, and has not had any since."""
    heals: int = 0
    """Counts heals; one that is cut again in its instant does not count."""
    found_us: int = LONG_AGO_US
    """Instant of the last heal."""
    synced: bool = True
    """The kubelet has listed its Pods since it started or came back."""
    beating_us: int | None = LONG_AGO_US
    """First lease renewal of the present spell of contact; None while there is none."""
    check_us: int | None = None
    """One instant at which the kubelet compares its status with the API server's; None: any."""
    pods: dict[PodKey, "PodState"] = field(default_factory=dict)
    """Pods bound to the node in the API, and those that only the kubelet still knows."""
    # The API server's copy
    ready: Condition = "True"
    lease_us: int = LONG_AGO_US
    """Last lease renewal that reached the API server, when the node does not beat."""
    no_schedule: bool = False
    """It carries the taint unreachable:NoSchedule."""
    no_execute_us: int | None = None
    """Since when it carries the taint unreachable:NoExecute; None: it does not."""
    disk_pressure: bool = False
    """Its kubelet has posted DiskPressure, and it carries that taint."""
    # What the proxy of a node without contact still lists, of its own site; None: what the API has
    view: frozenset[PodKey] | None = None

    @property
    def no_execute(self) -> bool:
        """It carries the taint unreachable:NoExecute."""
        return self.no_execute_us is not None

    @property
    def contacted(self) -> bool:
        """The kubelet can speak to an API server, if one is up."""
        return self.linked and self.powered and self.kubelet


@dataclass(slots=True, eq=False)
class PodState:
    """A Pod: the API server's copy of it, and what truly runs."""

    key: PodKey
    workload: Workload
    number: int
    """Order of creation in the cluster."""
    ordinal: int
    """Identity in a StatefulSet; else the order among the workload's Pods."""
    node: NodeState | None = None
    """Where it is bound; None while Pending."""
    # The API server's copy
    listed_ready: bool = False
    """Its Ready condition."""
    endpoint: bool = False
    """It is in the endpoint slices of its Services."""
    deleted_us: int | None = None
    """Its deletionTimestamp."""
    gone: bool = False
    """No longer in the API."""
    pending: str = ""
    """Why the scheduler found no node, or why its containers wait."""
    # The truth
    known: bool = False
    """The kubelet has admitted it."""
    running: bool = False
    ready: bool = False
    """It answers requests (its readiness probe, if it has one, has succeeded)."""
    stopping: bool = False
    """The kubelet carries out its deletion."""
    finished: bool = False
    """Its containers ended for good: restart policy Never, or evicted by the kubelet."""
    attempt: int = 0
    """Counts changes of what runs, so that what an older one planned is void."""
    starts: int = 0
    """Container starts so far."""
    started_us: int = LONG_AGO_US
    exited_us: int = LONG_AGO_US
    backoff_us: int = 0
    """Crash back-off that the next restart will wait for; 0: none."""
    backoff_set_us: int = LONG_AGO_US
    """Last restart, from which the reset of the back-off is counted."""
    pull_backoff_us: int = 0
    pull_again_us: int = LONG_AGO_US
    """No pull is tried before."""

    @property
    def name(self) -> str:
        return self.key.name

    @property
    def live(self) -> bool:
        """It counts for its controller: in the API, not terminating, not finished."""
        return not self.gone and self.deleted_us is None and not self.finished


class ClusterState:
    """What all parts of one cluster share: time, draws, nodes, Pods and the two callbacks."""

    def __init__(
        self,
        env: simpy.Environment,
        spec: ClusterSpec,
        draw: Callable[[str, int], int],
        on_endpoints: Callable[[str, str], None],
        on_event: Callable[[str, str, str], None],
    ) -> None:
        self.env = env
        self.spec = spec
        self.times = spec.kubernetes
        self.draws = Draws(draw, spec.name)
        self.on_endpoints = on_endpoints
        self.event = on_event
        self.nodes = {
            node.name: NodeState(node, room(node), index) for index, node in enumerate(spec.nodes)
        }
        self.nodes_by_index = list(self.nodes.values())
        self.sites: dict[str, list[NodeState]] = {}
        for state in self.nodes.values():
            self.sites.setdefault(state.node.site, []).append(state)
        self.pods: dict[PodKey, PodState] = {}
        """Pods in the API, in order of creation."""
        self.by_workload: dict[str, dict[PodKey, PodState]] = {}
        """The same by the name of their workload."""
        self.api_up = True
        """An API server answers: its processes run and, with etcd, it has a quorum."""
        self.on_listed: Callable[[PodState], None] = lambda pod: None
        """Called when the API server's copy of a Pod became more or less ready."""
        self.on_taints: Callable[[NodeState], None] = lambda node: None
        """Called when the taints that the API shows on a node have changed."""
        self._numbers = 0
        self._incarnations: dict[str, int] = {}
        self._told: dict[tuple[str, str], tuple[PodKey, ...]] = {}
        self._changed: dict[tuple[str, str], None] = {}

    @property
    def now(self) -> int:
        """The present instant in microseconds."""
        return int(self.env.now)

    def refresh_taints(self, node: NodeState) -> None:
        """Compose the taints that the API shows on *node*: its own and the controllers'."""
        added = []
        if node.no_schedule:
            added.append(NO_SCHEDULE)
        if node.no_execute:
            added.append(NO_EXECUTE)
        if node.disk_pressure:
            added.append(DISK_PRESSURE)
        node.room.taints = (*node.node.taints, *added)

    def new_pod(self, workload: Workload, name: str, ordinal: int) -> PodState:
        """Add a Pod to the API, without a node."""
        incarnation = self._incarnations.get(name, 0)
        self._incarnations[name] = incarnation + 1
        pod = PodState(PodKey(name, incarnation), workload, self._numbers, ordinal)
        self._numbers += 1
        self.pods[pod.key] = pod
        self.by_workload.setdefault(workload.name, {})[pod.key] = pod
        return pod

    def remove_pod(self, pod: PodState) -> None:
        """Take *pod* out of the API."""
        pod.gone = True
        del self.pods[pod.key]
        del self.by_workload[pod.workload.name][pod.key]

    def later(self, delay_us: int, action: Callable[[], None]) -> None:
        """Run *action* after *delay_us*."""
        event = self.env.timeout(delay_us)
        event.callbacks.append(lambda _: action())

    def ready(self, workload: str, site: str) -> tuple[PodKey, ...]:
        """Return the Pods that answer at *site*: ready in truth and listed by a proxy there."""
        states = self.sites.get(site, ())
        found = [
            pod
            for state in states
            for pod in state.pods.values()
            if pod.ready and pod.workload.name == workload and self._listed(pod, states)
        ]
        found.sort(key=lambda pod: pod.number)
        return tuple(pod.key for pod in found)

    def _listed(self, pod: PodState, states: "list[NodeState] | tuple[()]") -> bool:
        return any(
            state.powered and (pod.endpoint if state.view is None else pod.key in state.view)
            for state in states
        )

    def set_listed_ready(self, pod: PodState, ready: bool, why: str = "") -> None:
        """Change the Ready condition in the API server's copy of *pod*."""
        if pod.listed_ready != ready and not pod.gone:
            pod.listed_ready = ready
            self.event(f"pod/{pod.name}", f"Ready={ready}", why)
            self.on_listed(pod)

    def endpoints_may_have_changed(self, pod: PodState) -> None:
        """Have the caller told of *pod*'s workload and site, if the answer differs by then."""
        if pod.node is None:
            return
        self._look_again((pod.node.node.site, pod.workload.name))

    def node_may_have_changed(self, state: NodeState) -> None:
        """Likewise for every workload with a Pod at the site of *state*."""
        for each in self.sites[state.node.site]:
            for pod in each.pods.values():
                self._look_again((state.node.site, pod.workload.name))

    def _look_again(self, place: tuple[str, str]) -> None:
        if not self._changed:
            event = self.env.event()
            event._ok, event._value = True, None
            event.callbacks.append(lambda _: self._tell())
            self.env.schedule(event, priority=ENDPOINTS_PRIORITY)
        self._changed[place] = None

    def _tell(self) -> None:
        changed, self._changed = sorted(self._changed), {}
        for site, workload in changed:
            answer = self.ready(workload, site)
            if self._told.get((site, workload), ()) != answer:
                self._told[site, workload] = answer
                self.on_endpoints(site, workload)

    def remember(self) -> None:
        """Take the present answers as told already: the caller asks for them at the start."""
        for site, states in self.sites.items():
            for name in {pod.workload.name: None for s in states for pod in s.pods.values()}:
                self._told[site, name] = self.ready(name, site)

    def freeze(self, state: NodeState) -> None:
        """Have *state*'s proxy keep what the API lists now for its own site."""
        if state.view is None:
            state.view = frozenset(
                pod.key
                for each in self.sites[state.node.site]
                for pod in each.pods.values()
                if pod.endpoint
            )
