"""Replays a recording of real Kubernetes controllers in the model: script rows in, instants out.

What the script did is taken from the file: nodes with their zones, Pods with their nodes, cuts
with each node's last lease renewal, heals with the kubelets' instants after them, the server's
death. What the controllers did is what the model has to find by itself; the one number that no
row tells, the phase of the monitor's pass, is fitted.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

import simpy

from edgetwin.engine.cluster import Cluster, ClusterSpec, Heal
from edgetwin.kubernetes import (
    HOSTNAME,
    UNREACHABLE,
    ZONE,
    Container,
    Node,
    Toleration,
    Workload,
    pairs,
)
from edgetwin.units import SECOND_US
from edgetwin.versions import defaults

SHIFT_S = 20.0
"""The replay begins this much before the recording, so that no lease is older than its start."""

REPLICA_SET = re.compile(r"(.+)-[a-z0-9]{6,10}-[a-z0-9]{5}")
STATEFUL_SET = re.compile(r"(.+)-(\d+)")
DAEMON_SET = re.compile(r"(.+)-[a-z0-9]{5}")


@dataclass(frozen=True)
class Row:
    """One row of a recording."""

    t_s: float
    actor: str
    object: str
    what: str
    detail: str

    @property
    def name(self) -> str:
        return self.object.partition("/")[2]


Events = list[tuple[float, str, str, str]]
"""Instant in seconds of the recording, entity, kind, detail."""

Instants = dict[str, list[float]]
"""Instants in seconds of the recording, sorted, by kind of event."""


@dataclass
class Recording:
    """One file."""

    path: Path
    rows: list[Row] = field(default_factory=list)

    @property
    def version(self) -> str:
        found = re.search(r"-v(\d+\.\d+)", self.path.stem)
        return found[1] if found else "1.30"

    @property
    def scenario(self) -> str:
        return re.split(r"-v\d", self.path.stem)[0]

    def instants(self) -> Instants:
        """Return what the real components did, by kind."""
        found: Instants = defaultdict(list)
        for row in self.rows:
            kind = kind_of(row.object, row.what)
            if row.actor != "start" and kind:
                found[kind].append(row.t_s)
        return {kind: sorted(times) for kind, times in found.items()}


KINDS = {
    "Ready=Unknown": "node Unknown",
    "Ready=True": "node Ready",
    "+taint unreachable:NoSchedule": "+NoSchedule",
    "+taint unreachable:NoExecute": "+NoExecute",
    "-taint unreachable:NoSchedule": "-NoSchedule",
    "-taint unreachable:NoExecute": "-NoExecute",
}
POD_KINDS = {
    "Ready=False": "Pod NotReady",
    "Ready=True": "Pod Ready",
    "deletion": "Pod deletion",
    "created": "Pod created",
    "bound": "Pod bound",
    "gone": "Pod gone",
}


def kind_of(entity: str, what: str) -> str:
    """Return the kind under which an event is compared, empty for others."""
    if entity.startswith("node/"):
        return KINDS.get(what, "")
    return POD_KINDS.get(what, "") if entity.startswith("pod/") else ""


def read(path: Path) -> Recording:
    """Return the recording in *path*."""
    with path.open(newline="") as file:
        rows = [
            Row(float(r["t_s"]), r["actor"], r["object"], r["what"], r["detail"])
            for r in csv.DictReader(file)
        ]
    return Recording(path, rows)


def owner(pod: str) -> tuple[str, str]:
    """Return kind and name of what owns *pod*, by the form of its name."""
    if match := REPLICA_SET.fullmatch(pod):
        return "Deployment", match[1]
    if match := STATEFUL_SET.fullmatch(pod):
        return "StatefulSet", match[1]
    if match := DAEMON_SET.fullmatch(pod):
        return "DaemonSet", match[1]
    return "Pod", pod


def spec_of(recording: Recording, phase_us: int) -> ClusterSpec:
    """Return the cluster as it stood at the start of *recording*."""
    nodes, homes = [], defaultdict(list)
    for row in recording.rows:
        if row.actor != "start":
            continue
        if row.object.startswith("node/"):
            labels = pairs({ZONE: row.detail}) if row.detail else ()
            nodes.append(Node(name=row.name, site=row.name, labels=labels))
        else:
            homes[owner(row.name)].append(row.detail)
    bound = {
        row.name: row.detail
        for row in recording.rows
        if row.actor == "controller" and row.what == "bound"
    }
    elsewhere = {owner(pod) for pod, node in bound.items() if node not in homes[owner(pod)]}
    created = {owner(row.name) for row in recording.rows if row.what == "created"}
    workloads = []
    for (kind, name), at in sorted(homes.items()):
        pinned = (kind, name) in created and (kind, name) not in elsewhere
        workloads.append(
            Workload(
                kind=kind,  # type: ignore[arg-type]
                name=name,
                replicas=len(at),
                containers=(Container(name="app", image="app:1"),),
                tolerations=tolerations_of(name),
                node_selector=pairs({HOSTNAME: at[0]}) if pinned else (),
            )
        )
    times = replace(
        defaults(recording.version),
        # The emulated kubelets: a bound Pod starts after 1 s, a deleted one goes after 1 s.
        pod_stop_us=SECOND_US,
        pod_cleanup_us=0,
        pod_start_delay_us=0,
        server_start_us=3 * SECOND_US,
    )
    return ClusterSpec(
        name=recording.scenario,
        control_plane="cloud",
        nodes=tuple(nodes),
        workloads=tuple(workloads),
        kubernetes=times,
        initial_nodes=tuple((name, tuple(at)) for (_, name), at in sorted(homes.items())),
        image_bytes_default=1,
        monitor_phase_us=phase_us,
    )


def tolerations_of(workload: str) -> tuple[Toleration, ...]:
    """Return what the workload's name says of its toleration: ``-0s``, ``-30s``, ``-forever``."""
    last = workload.rsplit("-", 1)[-1]
    if last == "forever":
        limit = None
    elif re.fullmatch(r"\d+s", last):
        limit = int(last[:-1]) * SECOND_US
    else:
        return ()
    return tuple(
        Toleration(key=key, operator="Exists", effect="NoExecute", toleration_us=limit)
        for key in (UNREACHABLE, "node.kubernetes.io/not-ready")
    )


def heals_of(recording: Recording) -> dict[tuple[str, float], Heal]:
    """Return what each kubelet did after each heal, from the rows up to the next cut."""
    heals = {}
    of_node: dict[str, list[Row]] = defaultdict(list)
    for row in recording.rows:
        if row.actor == "start":
            continue
        if row.object.startswith("node/"):
            of_node[row.name].append(row)
        elif row.object.startswith("pod/") and row.actor == "seen":
            of_node[row.detail].append(row)
    for node, rows in of_node.items():
        for place, row in enumerate(rows):
            if row.what != "healed":
                continue
            first: dict[str, float] = {}
            for each in rows[place + 1 :]:
                if each.what == "cut":
                    break
                first.setdefault(
                    each.what if each.object.startswith("node/") else f"Pod {each.what}",
                    each.t_s - row.t_s,
                )
            status = first.get("status posted", first.get("Ready=True", 10.0))
            heals[node, row.t_s] = Heal(
                lease_us=us(first.get("lease renewed", 10.0)),
                status_us=us(status),
                list_us=us(max(0.0, first.get("Pod gone", 1.05) - 1.0)),
                pods_us=us(first.get("Pod Ready=True", status + 0.2)),
                proxy_us=us(status),
            )
    return heals


def us(seconds: float) -> int:
    """Return *seconds* in microseconds."""
    return round(seconds * SECOND_US)


def replay(recording: Recording, phase_us: int, seed: int = 1) -> Instants:
    """Return what the model's components did under the script of *recording*, by kind."""
    return to_instants(replay_events(recording, phase_us, seed))


def to_instants(events: Events) -> Instants:
    """Return the instants of *events*, sorted, by kind."""
    found: Instants = defaultdict(list)
    for t_s, entity, what, _ in events:
        kind = kind_of(entity, what)
        if kind:
            found[kind].append(t_s)
    return {kind: sorted(times) for kind, times in found.items()}


def replay_events(recording: Recording, phase_us: int, seed: int = 1) -> Events:
    """Return the model's events: instant in seconds of the recording, entity, kind, detail."""
    env = simpy.Environment()
    events: Events = []

    def draw(purpose: str, counter: int) -> int:
        text = f"{seed}/{purpose}/{counter}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")

    cluster = Cluster(
        env,
        spec_of(recording, phase_us),
        draw,
        start_us=lambda workload, node, counter: SECOND_US,
        on_endpoints=lambda site, workload: None,
        on_event=lambda entity, kind, detail: events.append(
            (env.now / SECOND_US - SHIFT_S, entity, kind, detail)
        ),
    )
    heals = heals_of(recording)
    for row in recording.rows:
        if row.actor == "script":
            action = _action(cluster, row, heals)
            event = env.timeout(us(row.t_s + SHIFT_S))
            event.callbacks.append(lambda _, action=action: action())
    env.run(until=us(recording.rows[-1].t_s + SHIFT_S + 1))
    return events


def _action(cluster: Cluster, row: Row, heals: dict[tuple[str, float], Heal]) -> Callable[[], None]:
    if row.object == "server":
        return lambda: cluster.server(row.what == "started")
    if row.what == "cut":
        last_s = float(row.detail.removeprefix("last lease "))
        return lambda: cluster.link(row.name, False, last_lease_us=us(last_s + SHIFT_S))
    return lambda: cluster.link(row.name, True, heal=heals[row.name, row.t_s])


def fit(recording: Recording, coarse: int = 25) -> int:
    """Return the phase of the pass, in microseconds, that meets the recorded Unknowns best."""
    wanted = recording.instants().get("node Unknown", [])
    period_us = defaults(recording.version).pass_us
    if not wanted:
        return 0

    def miss(phase_us: int) -> float:
        got = replay(recording, phase_us % period_us).get("node Unknown", [])
        far = sum(abs(a - b) > 0.3 for a, b in zip(wanted, got, strict=False))
        return distance(wanted, got) + far / len(wanted)

    step_us = period_us // coarse
    best = min(range(0, period_us, step_us), key=miss)
    while step_us > 5_000:
        step_us //= 2
        best = min((best, best - step_us, best + step_us), key=miss)
    return best % period_us


def distance(one: list[float], other: list[float]) -> float:
    """Return the mean difference of two sorted lists, 100 s for each that has no partner."""
    if not one and not other:
        return 0.0
    gaps = [abs(a - b) for a, b in zip(one, other, strict=False)]
    return (sum(gaps) + 100 * abs(len(one) - len(other))) / max(len(one), len(other))


def nearest(recording: Recording, replays: list[Events]) -> Events:
    """Return the replay nearest to the recording: in its Unknowns, and in how many were tainted.

    The order of nodes within a pass and the race before a stop are random, in the model as in the
    real controller, so of several draws one is compared; all of them say how likely a race is.
    """
    real = recording.instants()

    def miss(events: Events) -> float:
        ours = to_instants(events)
        unlike = sum(abs(len(real.get(kind, [])) - len(ours.get(kind, []))) for kind in RACED)
        apart = distance(real.get("node Unknown", []), ours.get("node Unknown", []))
        return apart + UNLIKE_S * unlike

    return min(replays, key=miss)


RACED = ("+NoExecute", "Pod deletion")

UNLIKE_S = 0.1
"""What a node tainted or not weighs beside seconds of difference. Chosen."""


def at_share(times: list[float], share: float) -> float:
    """Return the quantile *share* of sorted *times*, interpolated."""
    low = int(share * (len(times) - 1) + 1e-9)
    part = share * (len(times) - 1) - low
    return times[low] * (1 - part) + times[min(low + 1, len(times) - 1)] * part


def quantiles(times: list[float]) -> list[float]:
    """Return the 0, 25, 50, 75 and 100 % quantiles of sorted *times*."""
    return [at_share(times, share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]


def table(real: Instants, modelled: Instants, many: int = 12) -> str:
    """Return the comparison, a kind of event a line: instants or quantiles, and the worst gap."""
    lines = []
    for kind in [*KINDS.values(), *POD_KINDS.values()]:
        one, other = real.get(kind, []), modelled.get(kind, [])
        if not one and not other:
            continue
        line = f"{kind:14s} {len(one):3d} real, {len(other):3d} modelled"
        if one and other:
            in_full = len(one) == len(other) <= many
            shown = (one, other) if in_full else (quantiles(one), quantiles(other))
            worst = max(abs(a - b) for a, b in zip(*shown, strict=True))
            line += f", worst difference {worst:.2f} s"
            line += "" if in_full else " (0, 25, 50, 75, 100 %)"
            for title, times in zip(("real", "modelled"), shown, strict=True):
                line += f"\n    {title:9s}" + " ".join(f"{each:8.2f}" for each in times)
        lines.append(line)
    return "\n".join(lines)


def worst_gap(one: list[float], other: list[float]) -> float:
    """Return the largest difference, pair by pair in order."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def most_in_one_pass(times: list[float]) -> int:
    """Return how many of sorted *times* fall in the fullest spell without a gap of 2 s."""
    most = run = 0
    for place, time in enumerate(times):
        run = run + 1 if place and time - times[place - 1] < 2 else 1
        most = max(most, run)
    return most
