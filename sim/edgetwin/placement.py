"""Where a Pod goes, as kube-scheduler decides it: filters, then scores, then the reason if none.

Pure functions over the rooms that nodes have left. Filters run in the scheduler's order and the
first that refuses a node gives its reason; scores carry the default weights (facts/k3s.md, 4).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edgetwin.kubernetes import (
    Claim,
    Node,
    Pairs,
    PodAffinity,
    Requirement,
    RuntimeClass,
    Selector,
    Taint,
    Workload,
)

SCORED_CORES_MIN = 0.1
"""A Pod that requests no CPU is scored as if it asked for 100m. mem: scheduler/util."""
SCORED_MEMORY_BYTES_MIN = 200 * 2**20
"""A Pod that requests no memory is scored as if it asked for 200 MiB. mem: scheduler/util."""


@dataclass(slots=True)
class Room:
    """What a node still has to give, as the control plane reckons it from requests."""

    node: Node
    taints: tuple[Taint, ...] = ()
    """Taints that hold now: the node's own and those that controllers set."""
    cores_free: float = 0.0
    memory_bytes_free: int = 0
    pods_free: int = 0
    host_ports: frozenset[int] = frozenset()
    """Ports on the node itself that Pods already hold."""
    images: frozenset[str] = frozenset()
    """Images present, which are preferred."""
    unschedulable: bool = False
    """Cordoned."""


def room(node: Node) -> Room:
    """Return the room of an empty *node*: what is allocatable."""
    return Room(
        node,
        node.taints,
        node.cores - node.cores_reserved,
        node.memory_bytes - node.memory_bytes_reserved,
        node.pods_max,
    )


@dataclass(frozen=True, slots=True)
class Placed:
    """A Pod that has its node."""

    workload: Workload
    room: Room


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    """What is known of claims: which exist, where their volumes are, who holds them alone."""

    claims: Mapping[str, Claim] = field(default_factory=dict)
    """Claims by name."""
    bound_node: Mapping[str, str] = field(default_factory=dict)
    """Node of each local-path volume that has been made (k3s.md, 3.5)."""
    held: frozenset[str] = frozenset()
    """ReadWriteOncePod claims in use."""


NO_VOLUMES = Volumes()


def matches(requirement: Requirement, value: str | None) -> bool:
    """Say whether a label of *value*, None if absent, meets *requirement*."""
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    if value is None or not value.lstrip("-").isdecimal():
        return False
    bound = int(requirement.values[0])
    return int(value) > bound if requirement.operator == "Gt" else int(value) < bound


def selects(selector: Selector, labels: Pairs) -> bool:
    """Say whether *selector* selects a Pod of *labels*."""
    found = dict(labels)
    return all(found.get(key) == value for key, value in selector.labels) and all(
        matches(each, found.get(each.key)) for each in selector.requirements
    )


def suits(workload: Workload, node: Node, runtime: RuntimeClass | None = None) -> bool:
    """Say whether *node*'s name and labels are among those that *workload* asks for.

    This is the part of the decision that never changes while the node's labels do not.
    """
    demanded = workload.node_selector + (runtime.node_selector if runtime else ())
    if any(node.label(key) != value for key, value in demanded):
        return False
    return not workload.node_affinity or any(
        term and all(matches(each, node.label(each.key)) for each in term)
        for term in workload.node_affinity
    )


def untolerated(workload: Workload, taints: Iterable[Taint]) -> Taint | None:
    """Return the first of *taints* that keeps *workload* away, None if none does."""
    for taint in taints:
        if taint.effect == "PreferNoSchedule":
            continue
        if not any(each.tolerates(taint) for each in workload.all_tolerations):
            return taint
    return None


def refusal(
    workload: Workload,
    room: Room,
    *,
    volumes: Volumes = NO_VOLUMES,
    claim_names: Sequence[str] = (),
    runtime: RuntimeClass | None = None,
) -> tuple[str, ...]:
    """Return why *room*'s node cannot take one more Pod of *workload*; empty if it can.

    The words are kube-scheduler's. Pods elsewhere are not looked at: see `place`.
    """
    if room.unschedulable and workload.kind != "DaemonSet":
        return ("node(s) were unschedulable",)
    if workload.node_names and room.node.name not in workload.node_names:
        return ("node(s) didn't match the requested node name",)
    if room.taints and (taint := untolerated(workload, room.taints)):
        return (f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}",)
    if not suits(workload, room.node, runtime):
        return ("node(s) didn't match Pod's node affinity/selector",)
    if workload.host_ports and not room.host_ports.isdisjoint(workload.host_ports):
        return ("node(s) didn't have free ports for the requested pod ports",)
    short = []
    if room.pods_free < 1:
        short.append("Too many pods")
    if workload.cores_request + (runtime.cores_overhead if runtime else 0) > (
        room.cores_free + 1e-9
    ):
        short.append("Insufficient cpu")
    if workload.memory_bytes_request + (runtime.memory_bytes_overhead if runtime else 0) > (
        room.memory_bytes_free
    ):
        short.append("Insufficient memory")
    if short:
        return tuple(short)
    for name in claim_names:
        if name in volumes.held:
            return (
                "node has pod using PersistentVolumeClaim with the same name and "
                "ReadWriteOncePod access mode",
            )
        if volumes.bound_node.get(name, room.node.name) != room.node.name:
            return ("node(s) had volume node affinity conflict",)
    return ()


@dataclass(frozen=True, slots=True)
class Placement:
    """The node chosen, or None with the reason that ``kubectl describe pod`` would show."""

    room: Room | None
    reason: str = ""


def place(
    workload: Workload,
    rooms: Sequence[Room],
    placed: Sequence[Placed] = (),
    *,
    volumes: Volumes = NO_VOLUMES,
    claim_names: Sequence[str] = (),
    runtime: RuntimeClass | None = None,
    elsewhere: Mapping[str, int] | None = None,
    first: int = 0,
) -> Placement:
    """Return the node for one Pod of *workload*.

    *rooms* are the candidates, *placed* the Pods that have a node, *claim_names* the claims of
    this very Pod. *elsewhere* counts, by reason, nodes known to refuse that are left out of
    *rooms*. Among equal scores the one met first, from position *first* on, is taken; the real
    scheduler draws.
    """
    total = len(rooms) + sum((elsewhere or {}).values())
    for name in claim_names:
        if name not in volumes.claims and name not in volumes.bound_node:
            return Placement(
                None, f'0/{total} nodes are available: persistentvolumeclaim "{name}" not found.'
            )
    refused: Counter[str] = Counter(elsewhere or {})
    fitting = []
    for position in range(len(rooms)):
        candidate = rooms[(first + position) % len(rooms)]
        why = refusal(
            workload, candidate, volumes=volumes, claim_names=claim_names, runtime=runtime
        )
        if not why and (workload.spread or workload.pod_affinity or placed):
            why = _refused_by_pods(workload, candidate, rooms, placed)
        if why:
            refused.update(why)
        else:
            fitting.append(candidate)
    if not fitting:
        return Placement(None, unavailable(total, refused))
    if len(fitting) == 1:
        return Placement(fitting[0])
    scores = _scores(workload, fitting, placed)
    return Placement(fitting[scores.index(max(scores))])


def unavailable(total: int, refused: Mapping[str, int]) -> str:
    """Return the scheduler's sentence for a Pod that none of *total* nodes can take.

    >>> unavailable(4, {"Insufficient cpu": 3, "node(s) were unschedulable": 1})
    '0/4 nodes are available: 1 node(s) were unschedulable, 3 Insufficient cpu.'
    """
    if not total:
        return "no nodes available to schedule pods"
    parts = ", ".join(sorted(f"{count} {reason}" for reason, count in refused.items() if count))
    return f"0/{total} nodes are available: {parts}."


def _refused_by_pods(
    workload: Workload, candidate: Room, rooms: Sequence[Room], placed: Sequence[Placed]
) -> tuple[str, ...]:
    """Return the reason that spread constraints or affinities give against *candidate*."""
    for spread in workload.spread:
        if not spread.required:
            continue
        place_of = candidate.node.label(spread.topology_key)
        if place_of is None:
            return (
                "node(s) didn't match pod topology spread constraints (missing required label)",
            )
        counts = {
            value: 0
            for each in rooms
            if suits(workload, each.node)
            and (value := each.node.label(spread.topology_key)) is not None
        }
        for pod in placed:
            value = pod.room.node.label(spread.topology_key)
            if value in counts and selects(spread.selector, pod.workload.labels):
                counts[value] += 1
        least = 0 if len(counts) < spread.min_domains else min(counts.values())
        itself = 1 if selects(spread.selector, workload.labels) else 0
        if counts.get(place_of, 0) + itself - least > spread.max_skew:
            return ("node(s) didn't match pod topology spread constraints",)
    for term in workload.pod_affinity:
        if term.weight is None and not _affinity_met(term, workload, candidate, placed):
            kind = "anti-affinity" if term.anti else "affinity"
            return (f"node(s) didn't match pod {kind} rules",)
    for pod in placed:
        for term in pod.workload.pod_affinity:
            if (
                term.anti
                and term.weight is None
                and selects(term.selector, workload.labels)
                and _together(term.topology_key, pod.room.node, candidate.node)
            ):
                return ("node(s) didn't satisfy existing pods anti-affinity rules",)
    return ()


def _affinity_met(
    term: PodAffinity, workload: Workload, candidate: Room, placed: Sequence[Placed]
) -> bool:
    """Say whether *candidate* meets the required *term* of *workload*.

    The first Pod of a group that asks for its own company is let through, as the scheduler does.
    """
    chosen = [
        pod
        for pod in placed
        if pod.workload.namespace == workload.namespace
        and selects(term.selector, pod.workload.labels)
    ]
    near = any(_together(term.topology_key, pod.room.node, candidate.node) for pod in chosen)
    if term.anti:
        return not near
    if candidate.node.label(term.topology_key) is None:
        return False
    return near or (not chosen and selects(term.selector, workload.labels))


def _together(key: str, one: Node, other: Node) -> bool:
    value = one.label(key)
    return value is not None and value == other.label(key)


def _scores(workload: Workload, fitting: Sequence[Room], placed: Sequence[Placed]) -> list[float]:
    """Return a score for each of *fitting*: the default plugins' with their weights (k3s.md, 4)."""
    total = [_least_allocated(workload, each) + _balanced(workload, each) for each in fitting]
    avoided = [float(_avoided_taints(workload, each)) for each in fitting]
    wanted = [_node_preference(workload, each) for each in fitting]
    crowd = [_crowd(workload, each, placed) for each in fitting]
    company = [_company(workload, each, placed) for each in fitting]
    for weight, values in (
        (3, _scaled(avoided, reverse=True)),
        (2, _scaled(wanted)),
        (2, _scaled(crowd, reverse=True)),
        (2, _scaled(company)),
    ):
        total = [one + weight * value for one, value in zip(total, values, strict=True)]
    return total


def _scaled(values: list[float], *, reverse: bool = False) -> list[float]:
    """Return *values* stretched to 0..100 between least and most; all 0 if they are equal."""
    low, high = min(values), max(values)
    if low == high:
        return [0.0] * len(values)
    share = [(value - low) / (high - low) for value in values]
    return [100 * (1 - each if reverse else each) for each in share]


def _fractions(workload: Workload, room: Room) -> tuple[float, float]:
    """Return the shares of CPU and memory that would be requested with the Pod on *room*."""
    cores = max(workload.cores_request, SCORED_CORES_MIN)
    memory_bytes = max(workload.memory_bytes_request, SCORED_MEMORY_BYTES_MIN)
    return (
        min(1.0, max(0.0, 1 - (room.cores_free - cores) / room.node.cores)),
        min(1.0, max(0.0, 1 - (room.memory_bytes_free - memory_bytes) / room.node.memory_bytes)),
    )


def _least_allocated(workload: Workload, room: Room) -> float:
    cores, memory = _fractions(workload, room)
    return 100 * (1 - (cores + memory) / 2)


def _balanced(workload: Workload, room: Room) -> float:
    cores, memory = _fractions(workload, room)
    return 100 * (1 - abs(cores - memory) / 2)


def _avoided_taints(workload: Workload, room: Room) -> int:
    return sum(
        taint.effect == "PreferNoSchedule"
        and not any(each.tolerates(taint) for each in workload.tolerations)
        for taint in room.taints
    )


def _node_preference(workload: Workload, room: Room) -> float:
    return float(
        sum(
            preference.weight
            for preference in workload.node_preferences
            if all(matches(each, room.node.label(each.key)) for each in preference.requirements)
        )
    )


def _crowd(workload: Workload, room: Room, placed: Sequence[Placed]) -> float:
    """Return how many like Pods stand where *room* is: soft constraints, or the default by node."""
    soft = [each for each in workload.spread if not each.required]
    if not soft and not workload.spread:
        return float(
            sum(p.workload.name == workload.name and p.room.node is room.node for p in placed)
        )
    return float(
        sum(
            selects(spread.selector, pod.workload.labels)
            and _together(spread.topology_key, pod.room.node, room.node)
            for spread in soft
            for pod in placed
        )
    )


def _company(workload: Workload, room: Room, placed: Sequence[Placed]) -> float:
    """Return the weight of preferred affinities that *room* meets, less that of the opposite."""
    score = 0.0
    for term in workload.pod_affinity:
        if term.weight is None:
            continue
        near = sum(
            selects(term.selector, pod.workload.labels)
            and _together(term.topology_key, pod.room.node, room.node)
            for pod in placed
        )
        score += -term.weight * near if term.anti else term.weight * near
    return score
