"""Which nodes a hub reaches, over which links, and what changes when links fail and heal.

`routes` works out everything anew; a `Router` keeps the shortest-path
trees and repairs only what a change touches, so that the cost grows with the nodes affected and not
with the network.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
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
    """One direction of a link, as it leaves a node."""

    node: int
    """Where it leads."""
    place: int
    """Of its way and cost: twice the link's, and one more towards the link's end b."""


class _Tree:
    """Shortest distances from the hub over arcs in one direction, and the tree that gives them.

    For the way up the arcs are turned round: it is again a tree from the hub. Packets then travel
    against the tree, so that the cost of an arc is that of its opposite, whose place differs in
    the last bit.
    """

    def __init__(self, router: Router, upwards: bool) -> None:
        self._router, self._turn = router, int(upwards)
        count = len(router.nodes)
        self.cost: list[float] = [math.inf] * count
        self._parent: list[int] = [-1] * count
        """The place of the arc by which the tree comes to each node."""
        self._children: list[dict[int, None]] = [{} for _ in range(count)]
        self.cost[router.hub] = 0
        self._settle([(0, router.hub, -1)])
        self.routes: dict[int, Route | None] = {router.hub: Route((), 0, None, 0.0)}
        """What `route` found, for as long as it holds."""

    def repaired(self, links: Iterable[int]) -> set[int]:
        """Repair the tree after the ways of *links* changed; return the nodes it matters to."""
        places = [place for link in links for place in (2 * link, 2 * link + 1)]
        touched = self._changed(places)
        touched.update(self._hanging_on(places))
        for node in touched:
            self.routes.pop(node, None)
        return set(touched)

    def _changed(self, places: Sequence[int]) -> dict[int, None]:
        """Move the nodes that lose or gain by the new costs at *places*; return them."""
        costs, heads, turn = self._router.costs, self._router.heads, self._turn
        lost: dict[int, None] = {}
        for place in places:
            target = heads[place]
            if self._parent[target] == place:
                cost = self.cost[heads[place ^ 1]] + costs[place ^ turn]
                if cost != self.cost[target]:
                    self._lose(target, lost)
        for node in lost:
            self._detach(node)
        # Offers from nodes that kept their place, now that the others have none.
        queue: list[tuple[float, int, int]] = []
        for place in places:
            cost = self.cost[heads[place ^ 1]] + costs[place ^ turn]
            if cost < self.cost[heads[place]]:
                queue.append((cost, heads[place], place))
        for node in lost:
            for other, place in self._router.arcs[node]:
                # The arc that comes from the other node is the opposite of the one to it.
                cost = self.cost[other] + costs[place ^ 1 ^ turn]
                if cost < math.inf:
                    queue.append((cost, node, place ^ 1))
        lost.update(self._settle(queue))
        return lost

    def _hanging_on(self, places: Sequence[int]) -> dict[int, None]:
        """Return the nodes whose paths in the tree lead over an arc at one of *places*."""
        found: dict[int, None] = {}
        for place in places:
            if self._parent[self._router.heads[place]] == place:
                self._lose(self._router.heads[place], found)
        return found

    def _lose(self, node: int, lost: dict[int, None]) -> None:
        """Add *node* and all that hangs on it to *lost*."""
        stack = [node]
        while stack:
            top = stack.pop()
            if top not in lost:
                lost[top] = None
                stack.extend(self._children[top])

    def _detach(self, node: int) -> None:
        parent = self._parent[node]
        if parent >= 0:
            del self._children[self._router.heads[parent ^ 1]][node]
        self._parent[node] = -1
        self.cost[node] = math.inf

    def _settle(self, queue: list[tuple[float, int, int]]) -> dict[int, None]:
        """Dijkstra's rule from the offers (cost, node, place) in *queue*; return who got nearer."""
        heapq.heapify(queue)
        improved: dict[int, None] = {}
        arcs, costs, heads = self._router.arcs, self._router.costs, self._router.heads
        while queue:
            cost, node, parent = heapq.heappop(queue)
            if parent >= 0:
                if cost >= self.cost[node]:
                    continue
                self._detach(node)
                self.cost[node], self._parent[node] = cost, parent
                self._children[heads[parent ^ 1]][node] = None
                improved[node] = None
            for other, place in arcs[node]:
                offer = cost + costs[place ^ self._turn]
                if offer < self.cost[other]:
                    heapq.heappush(queue, (offer, other, place))
        return improved

    def route(self, node: int) -> Route | None:
        """Return the route between the hub and *node* in the tree's direction; None: no path."""
        behind = []
        while node not in self.routes:
            if self._parent[node] < 0:
                self.routes[node] = None
                break
            behind.append(node)
            node = self._router.heads[self._parent[node] ^ 1]
        route = self.routes[node]
        for node in reversed(behind):
            route = self._longer(route, self._parent[node])
            self.routes[node] = route
        return route

    def _longer(self, route: Route | None, place: int) -> Route | None:
        """Return *route* with the arc at *place*, over which the tree goes on."""
        found = self._router.ways[place ^ self._turn]
        if route is None or found is None:
            return None
        name = (self._router.network.links[place // 2].name,)
        width, narrow = found.bandwidth_bps, route.bandwidth_bps
        if width is not None and narrow is not None:
            narrow = min(width, narrow)
        loss = route.loss_share
        if found.loss_share:
            loss = 1.0 - (1.0 - loss) * (1.0 - found.loss_share)
        return Route(
            name + route.links if self._turn else route.links + name,
            route.latency_us + found.latency_us,
            width if narrow is None else narrow,
            loss,
        )


class Router:
    """The routes between a hub and all nodes while faults come and go."""

    def __init__(self, network: Network, hub: str) -> None:
        """Raises KeyError if *hub* is no node."""
        self.network = network
        self.nodes = network.nodes
        self._place = {node: k for k, node in enumerate(self.nodes)}
        self.hub = self._place[hub]
        self._link_place = {link.name: k for k, link in enumerate(network.links)}
        self.heads = [self._place[end] for link in network.links for end in (link.a, link.b)]
        """The node to which the arc at each place leads."""
        self.arcs: list[list[_Arc]] = [[] for _ in self.nodes]
        for place, head in enumerate(self.heads):
            self.arcs[self.heads[place ^ 1]].append(_Arc(head, place))
        self._faults: dict[int, list[Fault]] = {}
        self._ties = [_tie(link.name) for link in network.links]
        self.ways: list[Way | None] = [
            way(link, end, ()) for link in network.links for end in (link.a, link.b)
        ]
        """The arc at each place as it is now."""
        self.costs = [self._cost(place) for place in range(len(self.ways))]
        self._down = _Tree(self, upwards=False)
        self._up: _Tree | None = None

    def _cost(self, place: int) -> float:
        found = self.ways[place]
        if found is None:
            return math.inf
        cost = (found.priority - 1) * PRIORITY_COST + found.latency_us
        return (cost << TIE_BITS) + self._ties[place // 2]

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
        one_way = any(self.ways[2 * link] != self.ways[2 * link + 1] for link in changed)
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
        now = [way(record, record.a, faults), way(record, record.b, faults)]
        places = slice(2 * link, 2 * link + 2)
        before, self.ways[places] = self.ways[places], now
        self.costs[places] = [self._cost(2 * link), self._cost(2 * link + 1)]
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
