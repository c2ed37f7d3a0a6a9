"""A small cluster in simulated time, with its story written down: for tests of the rules."""

from collections.abc import Callable
from functools import partial
from hashlib import blake2b

import simpy

from edgetwin.engine.cluster import Cluster, ClusterSpec
from edgetwin.kubernetes import (
    HOSTNAME,
    UNREACHABLE,
    ZONE,
    Container,
    Kind,
    Node,
    Toleration,
    Workload,
    pairs,
)
from edgetwin.units import SECOND_US

START_US = 500_000
"""What a Pod's start takes in these tests."""


class Lab:
    """A cluster, what happened in it, and faults at given seconds."""

    def __init__(self, spec: ClusterSpec, seed: int = 1) -> None:
        self.env = simpy.Environment()
        self.story: list[tuple[float, str, str, str]] = []
        self.told: list[tuple[float, str, str]] = []

        def draw(purpose: str, counter: int) -> int:
            text = f"{seed}/{purpose}/{counter}".encode()
            return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")

        self.cluster = Cluster(
            self.env,
            spec,
            draw,
            start_us=lambda workload, node, counter: START_US,
            on_endpoints=lambda site, workload: self.told.append((self.now_s, site, workload)),
            on_event=lambda entity, kind, detail: self.story.append(
                (self.now_s, entity, kind, detail)
            ),
        )

    @property
    def now_s(self) -> float:
        return self.env.now / SECOND_US

    def at(self, t_s: float, action: Callable[[], object]) -> "Lab":
        """Do *action* at *t_s* seconds."""
        event = self.env.timeout(round(t_s * SECOND_US) - int(self.env.now))
        event.callbacks.append(lambda _: action())
        return self

    def cut(
        self,
        t_s: float,
        *nodes: str,
        until_s: float | None = None,
        silent: bool = True,
        lan: bool = False,
    ) -> "Lab":
        """Cut *nodes* at *t_s*, and heal them at *until_s*."""
        link = self.cluster.link
        for node in nodes:
            self.at(t_s, partial(link, node, False, silent=silent, lan=lan))
            if until_s is not None:
                self.at(until_s, partial(link, node, True, lan=lan))
        return self

    def run(self, until_s: float) -> "Lab":
        """Let time pass up to *until_s* seconds."""
        self.env.run(until=round(until_s * SECOND_US))
        return self

    def times(self, what: str, entity: str = "") -> list[float]:
        """Return when *what* happened to entities whose name begins with *entity*."""
        return [t for t, name, kind, _ in self.story if kind == what and name.startswith(entity)]

    def first(self, what: str, entity: str = "") -> float:
        """Return when *what* first happened to *entity*; it must have."""
        found = self.times(what, entity)
        assert found, f"{what} never happened to {entity!r}: {self.story}"
        return found[0]

    def names(self, what: str) -> list[str]:
        """Return to whom *what* happened, in order."""
        return [name for _, name, kind, _ in self.story if kind == what]

    def ready(self, workload: str, site: str) -> list[str]:
        """Return the names of the Pods that answer at *site*."""
        return [pod.name for pod in self.cluster.ready(workload, site)]


def node(
    name: str, *, site: str = "", zone: str = "", server: bool = False, **more: object
) -> Node:
    """Return a node that is its own site, unless *site* says otherwise."""
    labels = pairs({ZONE: zone}) if zone else ()
    return Node(name=name, site=site or name, labels=labels, server=server, **more)  # type: ignore[arg-type]


def workload(
    kind: Kind, name: str, *, on: str = "", image: str = "app:1", **more: object
) -> Workload:
    """Return a workload of one container, pinned to the node *on* if given."""
    selector = pairs({HOSTNAME: on}) if on else ()
    more.setdefault("containers", (Container(name="app", image=image),))
    return Workload(kind=kind, name=name, node_selector=selector, **more)  # type: ignore[arg-type]


def tolerating(seconds: int | None) -> tuple[Toleration, ...]:
    """Return a toleration of lost nodes for *seconds*, None for ever."""
    limit_us = None if seconds is None else seconds * SECOND_US
    return (
        Toleration(key=UNREACHABLE, operator="Exists", effect="NoExecute", toleration_us=limit_us),
    )


def cloud(
    nodes: tuple[Node, ...],
    *workloads: Workload,
    at: dict[str, tuple[str, ...]] | None = None,
    **more: object,
) -> ClusterSpec:
    """Return a cluster of agents of a cloud server; *at* says where Pods stand at first."""
    return ClusterSpec(
        name="lab",
        control_plane="cloud",
        nodes=nodes,
        workloads=workloads,
        initial_nodes=tuple((at or {}).items()),
        **more,  # type: ignore[arg-type]
    )


def one_pod_each(nodes: tuple[Node, ...], names: tuple[str, ...], **more: object) -> ClusterSpec:
    """Return a cluster with a Deployment of one Pod, free to move, on each node of *names*."""
    workloads = tuple(workload("Deployment", f"d-{name}") for name in names)
    return cloud(nodes, *workloads, at={f"d-{name}": (name,) for name in names}, **more)
