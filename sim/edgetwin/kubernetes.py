"""What Kubernetes manifests and a node's description say, as frozen data.

Nothing here reads YAML and nothing decides: `inputs` fills these types, `placement` and the
cluster in `engine` read them. Sizes are integer bytes, processors float cores, durations integer
microseconds. Mappings are tuples of pairs sorted by key, so that every type is hashable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from edgetwin.units import SECOND_US

Pairs = tuple[tuple[str, str], ...]
"""A string mapping, sorted by key."""

Kind = Literal["Deployment", "StatefulSet", "DaemonSet", "Pod", "StaticPod"]
"""What makes and remakes the Pods: a bare ``Pod`` nobody, a ``StaticPod`` its node's kubelet."""

Effect = Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]
Operator = Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
PullPolicy = Literal["Always", "IfNotPresent", "Never"]
RestartPolicy = Literal["Always", "OnFailure", "Never"]

HOSTNAME = "kubernetes.io/hostname"
"""The label that every node carries with its own name."""
ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
EXCLUDE_DISRUPTION = "node.kubernetes.io/exclude-disruption"
"""A node with this label is not counted in its zone's state (facts/k3s.md, 1.3)."""
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
LOCAL_PATH = "local-path"
"""The storage class that K3s brings: volumes on the node's own disk (facts/k3s.md, 3.5)."""

DEFAULT_TOLERATION_US = 300 * SECOND_US
"""How long a Pod that says nothing tolerates a lost node (facts/k3s.md, 1.1)."""
DEFAULT_TERMINATION_GRACE_US = 30 * SECOND_US
"""``terminationGracePeriodSeconds`` of a Pod that gives none (facts/k3s.md, 1.1)."""


def pairs(mapping: Mapping[str, str]) -> Pairs:
    """Return *mapping* as pairs sorted by key.

    >>> pairs({"b": "2", "a": "1"})
    (('a', '1'), ('b', '2'))
    """
    return tuple(sorted(mapping.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One test of a label: ``matchExpressions`` of a selector or of a node-affinity term."""

    key: str
    """The label; ``metadata.name`` stands for ``matchFields`` on a node's name."""
    operator: Operator
    values: tuple[str, ...] = ()
    """Compared values: any number for In and NotIn, one integer for Gt and Lt, else none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which labels are meant; all parts must hold, and one without parts selects everything."""

    labels: Pairs = ()
    """``matchLabels``, or the plain mapping of a Service."""
    requirements: tuple[Requirement, ...] = ()
    """``matchExpressions``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferredNodes:
    """One term of ``preferredDuringSchedulingIgnoredDuringExecution`` of a node affinity."""

    weight: int
    """1..100, added to the score of a node that meets every requirement."""
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodAffinity:
    """One term of a Pod affinity or anti-affinity."""

    selector: Selector
    """The Pods to be near, or away from; Pods of the same namespace are looked at."""
    topology_key: str
    """The node label whose equal values make one place, such as ``kubernetes.io/hostname``."""
    anti: bool = False
    """Stay away from the selected Pods instead of going to them."""
    weight: int | None = None
    """1..100 for a preferred term; None for a required one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologySpread:
    """One of ``topologySpreadConstraints``."""

    selector: Selector
    topology_key: str
    max_skew: int = 1
    """How many more selected Pods a place may hold than the emptiest place."""
    required: bool = True
    """``whenUnsatisfiable: DoNotSchedule`` (the default) as against ``ScheduleAnyway``."""
    min_domains: int = 1
    """Fewer places than this count as if one of them were empty (``minDomains``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """A mark on a node that keeps away or drives out Pods that do not tolerate it."""

    key: str
    effect: Effect
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toleration:
    """A Pod's consent to stay on nodes with the taints it matches."""

    key: str = ""
    """The taint's key; empty with ``Exists`` matches every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: Effect | None = None
    """None matches every effect."""
    toleration_us: int | None = None
    """``tolerationSeconds``: how long a NoExecute taint is borne; None: for ever."""

    def tolerates(self, taint: Taint) -> bool:
        """Say whether this toleration matches *taint*, whatever its time."""
        if self.effect is not None and self.effect != taint.effect:
            return False
        if self.operator == "Exists":
            return self.key in ("", taint.key)
        return self.key == taint.key and self.value == taint.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A liveness, readiness or startup probe; defaults are Kubernetes's own."""

    handler: Literal["httpGet", "tcpSocket", "exec", "grpc"] = "httpGet"
    initial_delay_us: int = 0
    """From the container's start to the first try (``initialDelaySeconds``)."""
    period_us: int = 10 * SECOND_US
    timeout_us: int = 1 * SECOND_US
    failure_threshold: int = 3
    """Failures in a row that count as failed."""
    success_threshold: int = 1
    """Successes in a row that count as recovered; 1 for liveness and startup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of a Pod."""

    name: str
    image: str
    """The image reference as written, such as ``registry/app:1.2``; without a tag ``:latest``."""
    pull_policy: PullPolicy | None = None
    """As written; None where the manifest is silent. What holds is `effective_pull_policy`."""
    cores_request: float = 0.0
    """CPU request; the reader puts the limit here where only a limit is given, as the API does."""
    cores_limit: float | None = None
    """CPU limit, which throttles; None: none."""
    memory_bytes_request: int = 0
    """Memory request; the limit where only a limit is given."""
    memory_bytes_limit: int | None = None
    """Memory limit, over which the kernel kills the container; None: the node's memory."""
    env: Pairs = ()
    """Environment variables that have a plain value."""
    config_maps: tuple[str, ...] = ()
    """Names of ConfigMaps read into the environment (``envFrom``, ``valueFrom``)."""
    liveness: Probe | None = None
    readiness: Probe | None = None
    startup: Probe | None = None

    @property
    def effective_pull_policy(self) -> PullPolicy:
        """The pull policy that holds: as written, else by the tag (facts/k3s.md, 2).

        >>> Container(name="a", image="app").effective_pull_policy
        'Always'
        >>> Container(name="a", image="host:5000/app:1.2").effective_pull_policy
        'IfNotPresent'
        """
        if self.pull_policy is not None:
            return self.pull_policy
        return "Always" if image_tag(self.image) == "latest" else "IfNotPresent"


def image_tag(image: str) -> str:
    """Return the tag of an *image* reference; ``latest`` without one, empty with a digest only.

    >>> image_tag("app"), image_tag("host:5000/app"), image_tag("app:1.2"), image_tag("a@sha256:0")
    ('latest', 'latest', '1.2', '')
    """
    name, digest, _ = image.partition("@")
    _, colon, tag = name.rsplit("/", 1)[-1].partition(":")
    if colon:
        return tag
    return "" if digest else "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A PersistentVolumeClaim, or the template of one in a StatefulSet."""

    name: str
    """Name of the claim; of a template its name, to which the Pod's name is added."""
    namespace: str = "default"
    access_modes: tuple[str, ...] = ("ReadWriteOnce",)
    """Among ``ReadWriteOnce``, ``ReadWriteOncePod``, ``ReadOnlyMany``, ``ReadWriteMany``."""
    storage_class: str = LOCAL_PATH
    """The class that makes the volume; K3s's default where the manifest is silent."""
    size_bytes: int = 0
    """What is asked for; a local-path volume does not enforce it (facts/k3s.md, 3.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A Deployment, StatefulSet, DaemonSet, bare Pod or static Pod: its Pod and how many of it."""

    kind: Kind
    name: str
    """Unique among the workloads of a cluster; the reader sees to it."""
    namespace: str = "default"
    replicas: int = 1
    """Copies wanted; a DaemonSet has one a node that takes it, a static Pod one a named node."""
    labels: Pairs = ()
    """Labels of the Pods (of the template, not of the workload)."""
    node_selector: Pairs = ()
    """Labels that a node must carry (``nodeSelector``)."""
    node_affinity: tuple[tuple[Requirement, ...], ...] = ()
    """Required node affinity: one term must hold, in it every requirement; empty: no demand."""
    node_preferences: tuple[PreferredNodes, ...] = ()
    """Preferred node affinity."""
    pod_affinity: tuple[PodAffinity, ...] = ()
    """Pod affinity and anti-affinity, required and preferred."""
    tolerations: tuple[Toleration, ...] = ()
    """As written; what the API server and the DaemonSet controller add is `all_tolerations`."""
    spread: tuple[TopologySpread, ...] = ()
    """Topology spread constraints."""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    """Run one after the other before the containers; their images are pulled as well."""
    restart_policy: RestartPolicy = "Always"
    termination_grace_us: int = DEFAULT_TERMINATION_GRACE_US
    """From the kubelet's SIGTERM to SIGKILL (``terminationGracePeriodSeconds``)."""
    runtime_class: str = ""
    """``runtimeClassName``; empty: the node's default runtime."""
    claim_names: tuple[str, ...] = ()
    """PersistentVolumeClaims that the Pods mount, by claim name."""
    claim_templates: tuple[Claim, ...] = ()
    """``volumeClaimTemplates`` of a StatefulSet: one claim for each Pod and template."""
    config_maps: tuple[str, ...] = ()
    """Names of ConfigMaps mounted as volumes."""
    host_paths: bool = False
    """Mounts a hostPath volume; matters to a static Pod after a restart (facts/kubelet.md, 4)."""
    host_ports: tuple[int, ...] = ()
    """Ports taken on the node itself (``hostPort`` or ``hostNetwork``): one such Pod a node."""
    node_names: tuple[str, ...] = ()
    """A static Pod's nodes; for others at most one, ``nodeName``, which skips the scheduler."""
    priority: int = 0
    """Value of the priority class; a higher one is placed first."""
    pod_management: Literal["OrderedReady", "Parallel"] = "OrderedReady"
    """``podManagementPolicy`` of a StatefulSet."""

    @property
    def all_tolerations(self) -> tuple[Toleration, ...]:
        """The tolerations that the Pods carry: as written, with what Kubernetes adds.

        The API server adds not-ready and unreachable for 300 s where none is given for that key
        (facts/k3s.md, 1.1); the DaemonSet controller adds both without limit (1.4), and
        NoSchedule ones for pressure and cordon; a static Pod tolerates every NoExecute taint (1.4).
        """
        return _all_tolerations(self.kind, self.tolerations)

    @property
    def cores_request(self) -> float:
        """CPU that a Pod asks for: the sum of its containers, or its largest init container."""
        cores = 0.0
        for each in self.containers:
            cores += each.cores_request
        for each in self.init_containers:
            cores = max(cores, each.cores_request)
        return cores

    @property
    def memory_bytes_request(self) -> int:
        """Memory that a Pod asks for: the sum of its containers, or its largest init container."""
        memory_bytes = 0
        for each in self.containers:
            memory_bytes += each.memory_bytes_request
        for each in self.init_containers:
            memory_bytes = max(memory_bytes, each.memory_bytes_request)
        return memory_bytes


@cache
def _all_tolerations(kind: Kind, written: tuple[Toleration, ...]) -> tuple[Toleration, ...]:
    if kind == "DaemonSet":
        return written + _DAEMON_TOLERATIONS
    if kind == "StaticPod":
        return (*written, Toleration(operator="Exists", effect="NoExecute"))
    added = []
    for key in (NOT_READY, UNREACHABLE):
        taint = Taint(key=key, effect="NoExecute")
        if not any(each.tolerates(taint) for each in written):
            added.append(
                Toleration(
                    key=key,
                    operator="Exists",
                    effect="NoExecute",
                    toleration_us=DEFAULT_TOLERATION_US,
                )
            )
    return (*written, *added)


_DAEMON_TOLERATIONS = (
    Toleration(key=NOT_READY, operator="Exists", effect="NoExecute"),
    Toleration(key=UNREACHABLE, operator="Exists", effect="NoExecute"),
    Toleration(key="node.kubernetes.io/disk-pressure", operator="Exists", effect="NoSchedule"),
    Toleration(key="node.kubernetes.io/memory-pressure", operator="Exists", effect="NoSchedule"),
    Toleration(key="node.kubernetes.io/pid-pressure", operator="Exists", effect="NoSchedule"),
    Toleration(key="node.kubernetes.io/unschedulable", operator="Exists", effect="NoSchedule"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A Kubernetes Service: the name under which ready Pods are reached."""

    name: str
    namespace: str = "default"
    selector: Pairs = ()
    """Labels of its Pods; empty selects none."""
    internal_traffic_policy: Literal["Cluster", "Local"] = "Cluster"
    """``Local``: only Pods on the client's own node are used."""
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigMap:
    """A ConfigMap: plain data, to which Kubernetes gives no meaning."""

    name: str
    namespace: str = "default"
    data: Pairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeClass:
    """A RuntimeClass; K3s makes those it knows, with a handler of the same name."""

    name: str
    handler: str
    node_selector: Pairs = ()
    """Labels added to the demands of each Pod of this class (``scheduling.nodeSelector``)."""
    tolerations: tuple[Toleration, ...] = ()
    """Tolerations added to each Pod of this class."""
    cores_overhead: float = 0.0
    """CPU added to each Pod's request (``overhead.podFixed``)."""
    memory_bytes_overhead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine that runs a kubelet. A K3s server with ``--disable-agent`` is none."""

    name: str
    site: str
    """The site it stands in; its cut is the node's cut."""
    cores: float = 4.0
    memory_bytes: int = 8 * 2**30
    disk_bytes: int = 64 * 2**30
    """The one disk that images, logs and local-path volumes share."""
    labels: Pairs = ()
    """As given; ``kubernetes.io/hostname`` is understood."""
    taints: tuple[Taint, ...] = ()
    """Taints from the start, not those that controllers set."""
    server: bool = False
    """It runs the K3s server, that is the control plane, too."""
    cores_reserved: float = 0.0
    """Taken from what Pods may request (``--kube-reserved``, ``--system-reserved``)."""
    memory_bytes_reserved: int = 0
    pods_max: int = 110
    """``maxPods`` (facts/k3s.md, 2)."""
    handlers: tuple[str, ...] = ()
    """Runtime handlers found when K3s started, besides runc; checked if `handlers_known`."""
    handlers_known: bool = False
    """False: every RuntimeClass is taken to have its handler on this node."""

    @property
    def zone(self) -> str:
        """Region and zone label together; nodes without either fall into one zone, ``""``."""
        labels = dict(self.labels)
        region, zone = labels.get(REGION, ""), labels.get(ZONE, "")
        return f"{region}:{zone}" if region or zone else ""

    def label(self, key: str) -> str | None:
        """Return the value of label *key*, None if the node has none of that name."""
        if key in (HOSTNAME, "metadata.name"):
            return self.name
        return next((value for name, value in self.labels if name == key), None)


@dataclass(frozen=True, slots=True)
class Manifests:
    """All objects of a scenario's manifests that the model knows, in the order of the files."""

    workloads: tuple[Workload, ...] = ()
    services: tuple[Service, ...] = ()
    claims: tuple[Claim, ...] = ()
    config_maps: tuple[ConfigMap, ...] = ()
    runtime_classes: tuple[RuntimeClass, ...] = ()
