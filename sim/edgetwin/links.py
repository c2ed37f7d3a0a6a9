"""Links between nodes, what faults do to them, and how late a fault is noticed.

Pure rules: a link in its faults is again a link, or none in one direction or in both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from edgetwin.units import SECOND_US

EARTH_KM = 6371.0
FIBRE_US_PER_KM = 4.9
"""Light in fibre: refractive index 1.468, so 204,000 km/s. Real cables are longer than the great
circle; `detour` says by how much."""

DETOUR = 1.3
"""Cable length over great-circle distance. Chosen: roads and rails, which cables follow, are 1.2
to 1.4 times as long as the straight line."""


@dataclass(frozen=True, order=True)
class Link:
    """A line between two nodes, alike in both directions."""

    name: str
    a: str
    b: str
    latency_us: int
    """One way."""
    bandwidth_bps: int | None = None
    """None: it never limits."""
    loss_share: float = 0.0
    priority: int = 1
    """A path over links of priority 1 goes before any that needs one of 2: backups carry traffic
    only where nothing better is up."""
    risk_groups: tuple[str, ...] = ()
    """What it shares with others: a duct, a mast, a feed; they fail together."""

    def __post_init__(self) -> None:
        if self.a == self.b:
            raise ValueError(f"link {self.name!r} joins {self.a!r} with itself")
        if self.latency_us < 1:
            raise ValueError(f"link {self.name!r}: latency {self.latency_us} us is under 1 us")
        if not 0 <= self.loss_share < 1:
            raise ValueError(f"link {self.name!r}: loss {self.loss_share} is not in 0..1")
        if self.priority < 1:
            raise ValueError(f"link {self.name!r}: priority {self.priority} is under 1")


@dataclass(frozen=True)
class Network:
    """Nodes and links; where a node stands, if that is known."""

    nodes: tuple[str, ...]
    """Sorted."""
    links: tuple[Link, ...]
    """Sorted by name; two nodes may have several."""
    positions: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Latitude and longitude in degrees."""

    def __post_init__(self) -> None:
        known = set(self.nodes)
        names = [link.name for link in self.links]
        if len(set(names)) < len(names):
            raise ValueError("two links have one name")
        for link in self.links:
            for end in (link.a, link.b):
                if end not in known:
                    raise ValueError(f"link {link.name!r} ends at {end!r}, which is no node")


def network(
    links: Iterable[Link],
    *,
    nodes: Iterable[str] = (),
    positions: Mapping[str, tuple[float, float]] | None = None,
) -> Network:
    """Return the network of *links*; *nodes* may name some that have none."""
    kept = sorted(links)
    ends = {end for link in kept for end in (link.a, link.b)}
    return Network(tuple(sorted(ends | set(nodes))), tuple(kept), dict(positions or {}))


def distance_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return the great-circle distance between two (latitude, longitude) in degrees.

    >>> round(distance_km((52.52, 13.405), (48.137, 11.575)))
    504
    """
    lat_a, lon_a, lat_b, lon_b = map(math.radians, (*a, *b))
    chord = (
        math.sin((lat_b - lat_a) / 2) ** 2
        + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    )
    return 2 * EARTH_KM * math.asin(math.sqrt(min(1.0, chord)))


def fibre_latency_us(km: float, *, detour: float = DETOUR) -> int:
    """Return the one-way delay of a cable between places *km* apart; at least 1 us.

    >>> fibre_latency_us(504)
    3210
    """
    return max(1, round(km * detour * FIBRE_US_PER_KM))


# ---- faults ------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Fault:
    """What happens to one link: a cut, a cut of one direction, or a degradation."""

    link: str
    cut: bool = True
    towards: str = ""
    """The node that packets no longer reach (one-way); empty: both directions."""
    latency_us: int = 0
    """Added while it lasts."""
    bandwidth_share: float = 1.0
    """What is left of the bandwidth."""
    loss_share: float = 0.0
    """Lost on top of the link's own loss."""

    def __post_init__(self) -> None:
        if self.latency_us < 0 or not 0 < self.bandwidth_share <= 1:
            raise ValueError(f"{self}: latency is added, and bandwidth_share lies in 0..1")
        if not 0 <= self.loss_share < 1:
            raise ValueError(f"{self}: loss_share lies in 0..1; a loss of everything is a cut")


@dataclass(frozen=True)
class Way:
    """One direction of a link as it is now."""

    latency_us: int
    bandwidth_bps: int | None
    loss_share: float
    priority: int


def way(link: Link, towards: str, faults: Iterable[Fault]) -> Way | None:
    """Return *link* in the direction to its end *towards* under all *faults* of it; None: cut.

    Faults add up: delays are summed, what they leave of bandwidth and delivery is multiplied.
    """
    latency, left, delivered = link.latency_us, 1.0, 1.0 - link.loss_share
    for fault in sorted(faults):
        assert fault.link == link.name, (fault, link)
        if fault.towards not in ("", towards):
            continue
        if fault.cut:
            return None
        latency += fault.latency_us
        left *= fault.bandwidth_share
        delivered *= 1.0 - fault.loss_share
    bandwidth = None if link.bandwidth_bps is None else max(1, int(link.bandwidth_bps * left))
    return Way(latency, bandwidth, 1.0 - delivered, link.priority)


def hit(net: Network, target: str) -> tuple[str, ...]:
    """Return the names of the links that go down with *target*: a link, a node or a risk group.

    Raises KeyError, naming *target*, if it is none of them.
    """
    found = sorted(
        link.name
        for link in net.links
        if target in (link.name, link.a, link.b) or target in link.risk_groups
    )
    if not found:
        raise KeyError(f"{target!r} is no link, no node with links and no risk group")
    return tuple(found)


def partition(net: Network, groups: Sequence[Iterable[str]]) -> tuple[Fault, ...]:
    """Return the cuts that part the *groups* of nodes from one another, inside a site or between.

    Nodes in no group keep all their links.
    """
    side = {node: k for k, group in enumerate(groups) for node in group}
    return tuple(
        Fault(link.name)
        for link in net.links
        if link.a in side and link.b in side and side[link.a] != side[link.b]
    )


# ---- when a fault is noticed -------------------------------------------------------------------

Silence = Literal["dropped", "refused", "link-down"]

_GIVEN_UP_S = {"dropped": (37.0, 41.1, 44.9), "refused": (0.0, 0.0, 0.0),
               "link-down": (38.0, 42.7, 44.8)}  # fmt: skip
"""A node's connection to its control plane is given up this long after the cut: minimum, median,
maximum of 46 measured cuts (facts/k3s.md, 1.5)."""

_ANSWERED_S = {"dropped": (0.0, 0.3, 2.0), "refused": (0.4, 2.2, 5.6), "link-down": (0.0, 0.3, 0.9)}
"""Heal to the first answer of the API server, after a cut that was noticed (facts/k3s.md, 1.5)."""

_ANSWERED_UNNOTICED_S = (4.0, 7.7, 9.5)
"""The same after a silent cut that was over before it was noticed: the old connection has to
retransmit first (facts/k3s.md, 1.5; three cuts of 20 to 35 s)."""


def noticed_after_us(silence: Silence, draw: float) -> int:
    """Return how long after a cut the node gives its connection up; *draw* lies in 0..1."""
    return _between(_GIVEN_UP_S[silence], draw)


def answered_after_us(
    silence: Silence, cut_us: int, *, notice_draw: float, answer_draw: float
) -> int:
    """Return how long after the heal of a cut of *cut_us* the first answer comes.

    A silent cut that ends before it is noticed costs more at its heal than a longer one.
    """
    if silence != "refused" and cut_us < noticed_after_us(silence, notice_draw):
        return _between(_ANSWERED_UNNOTICED_S, answer_draw)
    return _between(_ANSWERED_S[silence], answer_draw)


def _between(points_s: tuple[float, float, float], draw: float) -> int:
    """Return the value at quantile *draw* of the law with this minimum, median and maximum."""
    low, middle, high = points_s
    if draw < 0.5:
        value = low + (middle - low) * 2 * draw
    else:
        value = middle + (high - middle) * (2 * draw - 1)
    return round(value * SECOND_US)
