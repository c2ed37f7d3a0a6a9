"""Which nodes a hub reaches, over which links, and what changes when links fail and heal.

`routes` works out everything anew; a `Router` keeps the shortest-path
trees and repairs only what a change touches, so that the cost grows with the nodes affected and not
with the network.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from edgetwin.links import Fault, Network, Way, way

PRIORITY_COST = 10**12
"""What a step of priority costs against a microsecond: more than any path is long (11 days)."""


TIE_BITS = 56
"""Below these bits of a cost stands a number of the link's own, so that of two paths that are equal
in priority and latency always the same is taken, whatever happened before."""


def _tie(name: str) -> int:
    """Return the 48 bits by which *name* breaks ties; 256 of them still fit below a microsecond."""
    return int.from_bytes(blake2b(name.encode(), digest_size=6).digest(), "big")


@dataclass(frozen=True, slots=True)
class Route:
    """A way between a node and the hub, in one direction."""

    links: tuple[str, ...]
    """Names, from its start."""
    latency_us: int
    bandwidth_bps: int | None
    """Of the narrowest link; None: nothing limits."""
    loss_share: float


@dataclass(frozen=True, slots=True)
class Reach:
    """How a node and the hub reach each other; None: not."""

    up: Route | None
    """From the node to the hub."""
    down: Route | None

    @property
    def offline(self) -> bool:
        """Whether there is no path in at least one direction (design.md, 3)."""
        return self.up is None or self.down is None


class Cut(NamedTuple):
    """A fault and when it lasts: from `start_us` up to, not including, `end_us`."""

    start_us: int
    end_us: int
    fault: Fault


class _Arc(NamedTuple):
    node: int
    """Where it leads."""
    link: int


class _Tree:
    """Shortest distances from the hub over arcs in one direction, and the tree that gives them.

    For the way up the arcs are turned round: it is again a tree from the hub.
    """

    def __init__(self, router: Router, upwards: bool) -> None:
        self._router, self._upwards = router, upwards
        count = len(router.nodes)
        self.cost: list[float] = [math.inf] * count
        self._parent: list[_Arc | None] = [None] * count
        self._children: list[set[int]] = [set() for _ in range(count)]
        self.cost[router.hub] = 0
        self._settle([(0, router.hub, None)])
        self.routes: dict[int, Route | None] = {router.hub: Route((), 0, None, 0.0)}
        """What `route` found, for as long as it holds."""

    def weight(self, source: int, target: int, link: int) -> float:
        """Cost of the arc from *source* to *target* of the tree over *link*."""
        # Packets on the way up travel against the tree.
        return self._router.cost(link, source if self._upwards else target)

    def repaired(self, links: Iterable[int]) -> set[int]:
        """Repair the tree after the ways of *links* changed; return the nodes it matters to."""
        touched = self._changed(links) | self._hanging_on(links)
        for node in touched:
            self.routes.pop(node, None)
        return touched

    def _changed(self, links: Iterable[int]) -> set[int]:
        """Move the nodes that lost or gain by the changes of *links*; return them."""
        arcs = [(*arc, link) for link in links for arc in self._router.ends(link)]
        lost: set[int] = set()
        for source, target, link in arcs:
            if self._parent[target] == _Arc(source, link):
                cost = self.cost[source] + self.weight(source, target, link)
                if cost != self.cost[target]:
                    self._lose(target, lost)
        for node in lost:
            self._detach(node)
        # Offers from nodes that kept their place, now that the others have none.
        queue: list[tuple[float, int, _Arc | None]] = []
        for source, target, link in arcs:
            cost = self.cost[source] + self.weight(source, target, link)
            if cost < self.cost[target]:
                queue.append((cost, target, _Arc(source, link)))
        for node in lost:
            for arc in self._router.arcs[node]:
                cost = self.cost[arc.node] + self.weight(arc.node, node, arc.link)
                if cost < math.inf:
                    queue.append((cost, node, arc))
        return self._settle(queue) | lost

    def _hanging_on(self, links: Iterable[int]) -> set[int]:
        """Return the nodes whose paths in the tree lead over one of *links*."""
        found: set[int] = set()
        for link in links:
            for source, target in self._router.ends(link):
                if self._parent[target] == _Arc(source, link):
                    self._lose(target, found)
        return found

    def _lose(self, node: int, lost: set[int]) -> None:
        """Add *node* and all that hangs on it to *lost*."""
        stack = [node]
        while stack:
            top = stack.pop()
            if top not in lost:
                lost.add(top)
                stack.extend(self._children[top])

    def _detach(self, node: int) -> None:
        parent = self._parent[node]
        if parent is not None:
            self._children[parent.node].discard(node)
        self._parent[node] = None
        self.cost[node] = math.inf

    def _settle(self, queue: list[tuple[float, int, _Arc | None]]) -> set[int]:
        """Dijkstra's rule from the offers in *queue*; return the nodes that got nearer."""
        heapq.heapify(queue)
        improved: set[int] = set()
        router = self._router
        while queue:
            cost, node, arc = heapq.heappop(queue)
            if arc is not None:
                if cost >= self.cost[node]:
                    continue
                self._detach(node)
                self.cost[node], self._parent[node] = cost, arc
                self._children[arc.node].add(node)
                improved.add(node)
            for step in router.arcs[node]:
                offer = cost + self.weight(node, step.node, step.link)
                if offer < self.cost[step.node]:
                    heapq.heappush(queue, (offer, step.node, _Arc(node, step.link)))
        return improved

    def route(self, node: int) -> Route | None:
        """Return the route between the hub and *node* in the tree's direction; None: no path."""
        behind = []
        while node not in self.routes:
            parent = self._parent[node]
            if parent is None:
                self.routes[node] = None
                break
            behind.append(node)
            node = parent.node
        route = self.routes[node]
        while behind:
            node = behind.pop()
            parent = self._parent[node]
            assert parent is not None
            route = self._longer(route, parent, node)
            self.routes[node] = route
        return route

    def _longer(self, route: Route | None, last: _Arc, node: int) -> Route | None:
        """Return *route* with the link over which the tree goes on to *node*."""
        found = self._router.way(last.link, last.node if self._upwards else node)
        if route is None or found is None:
            return None
        name = (self._router.network.links[last.link].name,)
        width, narrow = found.bandwidth_bps, route.bandwidth_bps
        if width is not None and narrow is not None:
            narrow = min(width, narrow)
        return Route(
            name + route.links if self._upwards else route.links + name,
            route.latency_us + found.latency_us,
            width if narrow is None else narrow,
            1.0 - (1.0 - route.loss_share) * (1.0 - found.loss_share) if found.loss_share
            else route.loss_share,
        )  # fmt: skip


class Router:
    """The routes between a hub and all nodes while faults come and go."""

    def __init__(self, network: Network, hub: str) -> None:
        """Raises KeyError if *hub* is no node."""
        self.network = network
        self.nodes = network.nodes
        self._place = {node: k for k, node in enumerate(self.nodes)}
        self.hub = self._place[hub]
        self._link_place = {link.name: k for k, link in enumerate(network.links)}
        self._ends = [(self._place[link.a], self._place[link.b]) for link in network.links]
        self.arcs: list[list[_Arc]] = [[] for _ in self.nodes]
        for k, (a, b) in enumerate(self._ends):
            self.arcs[a].append(_Arc(b, k))
            self.arcs[b].append(_Arc(a, k))
        self._faults: dict[int, list[Fault]] = {}
        self._ties = [_tie(link.name) for link in network.links]
        self._ways: list[tuple[Way | None, Way | None]] = [
            (way(link, link.a, ()), way(link, link.b, ())) for link in network.links
        ]
        self._costs = [self._cost(k) for k in range(len(network.links))]
        self._down = _Tree(self, upwards=False)
        self._up: _Tree | None = None

    def ends(self, link: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the two arcs of *link*."""
        a, b = self._ends[link]
        return (a, b), (b, a)

    def way(self, link: int, towards: int) -> Way | None:
        """Return *link* in the direction to the node *towards*, as it is now."""
        to_a, to_b = self._ways[link]
        return to_a if towards == self._ends[link][0] else to_b

    def cost(self, link: int, towards: int) -> float:
        """Return the cost of *link* in the direction to the node *towards*; infinite if cut."""
        to_a, to_b = self._costs[link]
        return to_a if towards == self._ends[link][0] else to_b

    def _cost(self, link: int) -> tuple[float, float]:
        to_a, to_b = (
            math.inf
            if found is None
            else (((found.priority - 1) * PRIORITY_COST + found.latency_us) << TIE_BITS)
            + self._ties[link]
            for found in self._ways[link]
        )
        return to_a, to_b

    def change(self, begun: Iterable[Fault] = (), ended: Iterable[Fault] = ()) -> tuple[str, ...]:
        """Let faults begin and end at one instant; return the nodes whose routes may have changed.

        Faults are counted: one that begins twice has to end twice. Raises KeyError if a fault names
        no link, ValueError if it ends without having begun.
        """
        links: dict[int, None] = {}
        for fault in begun:
            link = self._link_place[fault.link]
            self._faults.setdefault(link, []).append(fault)
            links.setdefault(link)
        for fault in ended:
            link = self._link_place[fault.link]
            self._faults.get(link, []).remove(fault)
            links.setdefault(link)
        changed = [link for link in sorted(links) if self._update(link)]
        if not changed:
            return ()
        one_way = any(self._ways[link][0] != self._ways[link][1] for link in changed)
        touched = self._down.repaired(changed)
        if self._up is not None:
            touched |= self._up.repaired(changed)
        elif one_way:
            # Both directions were alike until now: one tree stood for both.
            self._up = _Tree(self, upwards=True)
            touched = set(range(len(self.nodes)))
        return tuple(self.nodes[node] for node in sorted(touched))

    def _update(self, link: int) -> bool:
        record, faults = self.network.links[link], self._faults.get(link, ())
        now = way(record, record.a, faults), way(record, record.b, faults)
        before, self._ways[link] = self._ways[link], now
        self._costs[link] = self._cost(link)
        return now != before

    def reach(self, node: str) -> Reach:
        """Return how *node* and the hub reach each other now."""
        place = self._place[node]
        down = self._down.route(place)
        if self._up is None:
            return Reach(None if down is None else _reversed(down), down)
        return Reach(self._up.route(place), down)

    def offline(self, node: str) -> bool:
        """Tell whether *node* lacks a path to the hub, or from it; faster than `reach`."""
        place = self._place[node]
        lost = self._down.cost[place] == math.inf
        return lost or (self._up is not None and self._up.cost[place] == math.inf)


def _reversed(route: Route) -> Route:
    return Route(route.links[::-1], route.latency_us, route.bandwidth_bps, route.loss_share)


def routes(network: Network, hub: str, faults: Iterable[Fault] = ()) -> dict[str, Reach]:
    """Return how every node and the *hub* reach each other under *faults*."""
    router = Router(network, hub)
    router.change(begun=faults)
    return {node: router.reach(node) for node in network.nodes}


def timeline(
    network: Network, hub: str, cuts: Iterable[Cut], *, watch: Iterable[str] | None = None
) -> dict[str, list[tuple[int, Reach]]]:
    """Return each watched node's reach from every instant at which it changes.

    Cuts that touch at one instant are netted first. A node that no cut touches has an empty list.
    """
    router = Router(network, hub)
    begins: dict[int, list[Fault]] = {}
    ends: dict[int, list[Fault]] = {}
    for cut in sorted(cuts):
        if cut.end_us > cut.start_us:
            begins.setdefault(cut.start_us, []).append(cut.fault)
            ends.setdefault(cut.end_us, []).append(cut.fault)
    wanted = set(network.nodes if watch is None else watch)
    found: dict[str, list[tuple[int, Reach]]] = {node: [] for node in sorted(wanted)}
    last: dict[str, Reach] = {}
    first = {node: router.reach(node) for node in found} if len(begins) else {}
    for at_us in sorted({*begins, *ends}):
        for node in router.change(begins.get(at_us, ()), ends.get(at_us, ())):
            if node in wanted:
                reach = router.reach(node)
                if reach != last.get(node, first[node]):
                    last[node] = reach
                    found[node].append((at_us, reach))
    return found
