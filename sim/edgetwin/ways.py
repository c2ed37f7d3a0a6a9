"""Which way each site's traffic takes to the cloud while faults come and go.

Pure rules over a topology: what a row of an outage record hits, and, from the faults, what every
site's way is like from each instant on. Routes between aggregators are `router`'s; a site is never
passed through, so it only chooses among its uplinks.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgetwin.links import Fault, Link, network, way
from edgetwin.model import Aggregator, Site, Topology, Uplink
from edgetwin.router import Cut, Route, Router

CLOUD = "/cloud"
"""The node that stands for the cloud; no site or aggregator can be called so."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A site's way to its cloud, as its traffic finds it. Offline: not `up`, or not `down`."""

    up: bool = False
    """What the site sends arrives."""
    down: bool = False
    """What it is sent arrives."""
    uplink: str = ""
    """The site's own uplink that carries what it sends."""
    up_latency_us: int = 0
    down_latency_us: int = 0
    """One way; with the other the round trip."""
    jitter_us: int = 0
    bandwidth_bps: int = 0
    """Upward, of the narrowest link."""
    loss_share: float = 0.0
    """Upward, along the whole way."""
    degraded: bool = False
    """A link of the way is degraded."""


@dataclass(frozen=True, slots=True)
class Hit:
    """What a name in an outage record stands for."""

    site: str = ""
    """The one site that it concerns; empty: a shared link, aggregator or risk group."""
    links: tuple[str, ...] = ()
    """Links that fail, OWNER/UPLINK each."""
    node: str = ""
    """The node of the site that it names, as its cluster calls it."""


@dataclass(frozen=True, slots=True)
class _Path:
    """A way in one direction, its links from the site on."""

    links: tuple[str, ...]
    latency_us: int
    bandwidth_bps: int
    loss_share: float


_HERE = Route((), 0, None, 0.0)
"""From the cloud to itself."""


@dataclass(slots=True)
class _Using:
    """What one direction of a site's traffic is on."""

    path: _Path | None = None
    failed_us: int = -1
    """Since when `path` is no way any more; -1: it is."""


class Ways:
    """The links of a topology, for *sites* of (name, kind)."""

    def __init__(self, topology: Topology, sites: Sequence[tuple[str, str]]) -> None:
        self.topology = topology
        self.sites = dict(sites)
        self._order = {name: place for place, (name, _) in enumerate(sites)}
        self._links: dict[str, Link] = {}
        self._uplinks: dict[str, Uplink] = {}
        self._of_group: dict[str, list[str]] = {}
        self._at: dict[str, list[str]] = {}
        """Names of the links that end at an aggregator."""
        self._sites_at: dict[str, list[str]] = {}
        """Sites with an uplink to an aggregator, or to the cloud."""
        for name, aggregator in topology.aggregators.items():
            self._add(name, aggregator)
        self._hops = network(list(self._links.values()), nodes=[CLOUD])
        for name, kind in sites:
            self._add(name, topology.sites[kind])
            for end in dict.fromkeys(
                uplink.via or CLOUD for uplink in topology.sites[kind].uplinks.values()
            ):
                self._sites_at.setdefault(end, []).append(name)
        self._own = {
            name: [
                (f"{name}/{key}", uplink) for key, uplink in topology.sites[kind].uplinks.items()
            ]
            for name, kind in sites
        }
        self._direct = {
            name: self._joined(
                name,
                self._links[name].latency_us,
                uplink.bandwidth_bps,
                uplink.loss_share,
                _HERE,
                upwards=True,
            )
            for own in self._own.values()
            for name, uplink in own
            if uplink.via is None
        }
        """Paths over uplinks that end at the cloud, while all is well."""
        router = Router(self._hops, CLOUD)
        self._behind: dict[str, list[str]] = {}
        for name in self.sites:
            usual = self._best(name, router, {}, upwards=True)
            for link in usual.links if usual else ():
                self._behind.setdefault(link, []).append(name)

    def _add(self, name: str, owner: Site | Aggregator) -> None:
        for key, uplink in owner.uplinks.items():
            link = f"{name}/{key}"
            groups = (uplink.risk_group,) if uplink.risk_group else ()
            end = uplink.via or CLOUD
            # The rules know no link without latency: it is taken off again in `_best`.
            self._links[link] = Link(
                link, name, end, max(1, uplink.latency_us), uplink.bandwidth_bps,
                uplink.loss_share, uplink.priority, groups,
            )  # fmt: skip
            self._uplinks[link] = uplink
            for group in groups:
                self._of_group.setdefault(group, []).append(link)
            self._at.setdefault(end, []).append(link)

    # -- what a record's rows hit ----------------------------------------------------------

    def hit(self, name: str) -> Hit | None:
        """Return what *name* stands for: a site, an aggregator, OWNER/UPLINK, SITE/NODE or a risk
        group, the first that there is; None if there is none."""
        if name in self.sites:
            return Hit(name, self._first(name))
        if name in self.topology.aggregators:
            own = [f"{name}/{key}" for key in self.topology.aggregators[name].uplinks]
            return Hit(links=(*own, *self._at.get(name, ())))
        owner, _, part = name.partition("/")
        if name in self._uplinks:
            return Hit(owner if owner in self.sites else "", (name,))
        if owner in self.sites and part:
            for key, node in self.topology.sites[self.sites[owner]].nodes.items():
                numbered = [f"{key}-{copy}" for copy in range(1, node.count + 1)]
                if part in (numbered if node.count > 1 else [key]):
                    return Hit(owner, node=f"{owner}-{part}")
        group = self._of_group.get(name)
        return Hit(links=tuple(group)) if group else None

    def _first(self, site: str) -> tuple[str, ...]:
        """Return what a cut of *site* takes: its first uplink, and those that share its risk."""
        uplinks = self.topology.sites[self.sites[site]].uplinks
        first = min(uplinks, key=lambda key: uplinks[key].priority)
        group = uplinks[first].risk_group
        return tuple(
            f"{site}/{key}"
            for key, uplink in uplinks.items()
            if key == first or (group is not None and uplink.risk_group == group)
        )

    def stranded(self) -> list[str]:
        """Return the aggregators that have no way to the cloud even while all is well."""
        router = Router(self._hops, CLOUD)
        return [name for name in self.topology.aggregators if router.reach(name).up is None]

    def names(self) -> list[str]:
        """Return what rows may name beside sites and their parts, sorted."""
        return sorted({*self.topology.aggregators, *self._of_group})

    def behind(self, hit: Hit) -> list[str]:
        """Return the sites whose usual way leads over what is *hit*, in order."""
        if hit.site:
            return [hit.site]
        found = {site for link in hit.links for site in self._behind.get(link, ())}
        return sorted(found, key=self._order.__getitem__)

    def cuts(self, hit: Hit, start_us: int, end_us: int, what: str) -> list[Cut]:
        """Return a fault of kind *what* at all links that are *hit*: cut, cut-up (towards the
        cloud), cut-down or degraded."""
        found = []
        settings = self.topology.outages.degraded
        for name in hit.links:
            link = self._links[name]
            fault = Fault(name)
            if what == "cut-up":
                fault = Fault(name, towards=link.b)
            elif what == "cut-down":
                fault = Fault(name, towards=link.a)
            elif what == "degraded":
                fault = Fault(
                    name, cut=False, latency_us=settings.latency_us,
                    bandwidth_share=settings.bandwidth_share, loss_share=settings.loss_share,
                )  # fmt: skip
            found.append(Cut(start_us, end_us, fault))
        return found

    # -- what they do to every site's way --------------------------------------------------

    def passages(self, cuts: Iterable[Cut]) -> dict[str, tuple[tuple[int, Passage], ...]]:
        """Return each site's way from time 0 and from every instant at which it changes.

        Faults of one instant are netted, and those of time 0 were there before. When the path in
        use fails and there is another, traffic is lost for the failover time of the node at which
        the two part; it goes back to a better path without a gap.
        """
        return _Clock(self, cuts).run()

    def _best(
        self, site: str, router: Router, faults: dict[str, list[Fault]], *, upwards: bool
    ) -> _Path | None:
        """Return the path that rules choose now: by priority, then latency, then as written."""
        best: tuple[int, int] | None = None
        found: _Path | None = None
        for name, uplink in self._own[site]:
            held = faults.get(name)
            path = self._direct.get(name)
            if held or path is None:
                link = self._links[name]
                own = way(link, link.b if upwards else site, held or ())
                if own is None:
                    continue
                rest: Route | None = _HERE
                if uplink.via is not None:
                    reach = router.reach(link.b)
                    rest = reach.up if upwards else reach.down
                if rest is None:
                    continue
                path = self._joined(
                    name, own.latency_us, own.bandwidth_bps, own.loss_share, rest, upwards=upwards
                )
            rank = uplink.priority, path.latency_us
            if best is None or rank < best:
                best, found = rank, path
        return found

    def _joined(
        self, name: str, latency_us: int, bandwidth_bps: int | None, loss_share: float,
        rest: Route, *, upwards: bool,
    ) -> _Path:  # fmt: skip
        links = (name, *(rest.links if upwards else reversed(rest.links)))
        free = sum(self._uplinks[link].latency_us == 0 for link in links)
        widths = [width for width in (bandwidth_bps, rest.bandwidth_bps) if width is not None]
        loss = loss_share
        if rest.loss_share:
            loss = 1 - (1 - loss) * (1 - rest.loss_share)
        return _Path(links, latency_us + rest.latency_us - free, min(widths), loss)

    def _nodes(self, site: str, links: Sequence[str]) -> list[str]:
        """Return the nodes along *links* from *site* on, one more than links."""
        nodes = [site]
        for name in links:
            link = self._links[name]
            nodes.append(link.b if nodes[-1] == link.a else link.a)
        return nodes

    def _alive(
        self, site: str, path: _Path, faults: dict[str, list[Fault]], *, upwards: bool
    ) -> bool:
        nodes = self._nodes(site, path.links)
        return all(
            way(self._links[name], nodes[k + 1] if upwards else nodes[k], faults.get(name, ()))
            is not None
            for k, name in enumerate(path.links)
        )

    def _degraded(
        self, site: str, path: _Path, faults: dict[str, list[Fault]], *, upwards: bool
    ) -> bool:
        nodes = self._nodes(site, path.links)
        return any(
            not fault.cut and fault.towards in ("", nodes[k + 1] if upwards else nodes[k])
            for k, name in enumerate(path.links)
            for fault in faults.get(name, ())
        )

    def _failover_us(self, site: str, old: _Path, new: _Path) -> int:
        """Return the time of the node at which the two paths part."""
        shared = 0
        while old.links[shared] == new.links[shared]:
            shared += 1
        node = self._nodes(site, old.links)[shared]
        if node == site:
            return self.topology.sites[self.sites[site]].failover_us
        return self.topology.aggregators[node].failover_us


class _Clock:
    """Faults in the order of time, and what they make of every site's way."""

    def __init__(self, ways: Ways, cuts: Iterable[Cut]) -> None:
        self._ways = ways
        self._router = Router(ways._hops, CLOUD)
        self._faults: dict[str, list[Fault]] = {}
        self._begins: dict[int, list[Fault]] = {}
        self._ends: dict[int, list[Fault]] = {}
        self._one_way = False
        """Whether the two directions may ever differ."""
        for cut in sorted(cuts):
            self._one_way = self._one_way or bool(cut.fault.towards)
            if cut.end_us > cut.start_us:
                self._begins.setdefault(cut.start_us, []).append(cut.fault)
                self._ends.setdefault(cut.end_us, []).append(cut.fault)
        self._using = {site: (_Using(), _Using()) for site in ways.sites}
        self._waiting: dict[str, None] = {}
        """Sites of which a direction is on no path although there is one."""
        self._timers: dict[int, dict[str, None]] = {}
        """Sites whose failover time is over, by instant."""
        self._instants = list({0, *self._begins, *self._ends})
        heapq.heapify(self._instants)

    def run(self) -> dict[str, tuple[tuple[int, Passage], ...]]:
        """Return each site's passages and when each begins."""
        found: dict[str, list[tuple[int, Passage]]] = {site: [] for site in self._ways.sites}
        last_us = -1
        while self._instants:
            now_us = heapq.heappop(self._instants)
            if now_us == last_us:
                continue
            last_us = now_us
            touched = self._change(now_us)
            for site in found if now_us == 0 else sorted(touched):
                passage = self._passage(site, now_us)
                if not found[site] or found[site][-1][1] != passage:
                    found[site].append((now_us, passage))
        return {site: tuple(passages) for site, passages in found.items()}

    def _change(self, now_us: int) -> set[str]:
        """Let the faults of an instant end and begin; return the sites that may feel it."""
        ways, touched = self._ways, set(self._timers.pop(now_us, ()))
        hops: tuple[list[Fault], list[Fault]] = [], []
        for place, faults in enumerate((self._begins.get(now_us, ()), self._ends.get(now_us, ()))):
            for fault in faults:
                held = self._faults.setdefault(fault.link, [])
                held.remove(fault) if place else held.append(fault)
                owner = ways._links[fault.link].a
                if owner in ways.sites:
                    touched.add(owner)
                else:
                    hops[place].append(fault)
        if any(hops):
            # A site that waits may find the way it lost again, whatever the best one is.
            touched.update(self._waiting)
            for node in self._router.change(*hops):
                touched.update(ways._sites_at.get(node, ()))
        return touched

    def _passage(self, site: str, now_us: int) -> Passage:
        ways, faults = self._ways, self._faults
        self._waiting.pop(site, None)
        using = self._using[site]
        up = down = self._path(site, using[0], now_us, upwards=True)
        if self._one_way:
            down = self._path(site, using[1], now_us, upwards=False)
        if up is None:
            return Passage(down=down is not None)
        jitter = sum(ways._uplinks[link].jitter_us for link in up.links)
        degraded = ways._degraded(site, up, faults, upwards=True)
        if down is not None and self._one_way:
            degraded = degraded or ways._degraded(site, down, faults, upwards=False)
        return Passage(
            True, down is not None, up.links[0].removeprefix(f"{site}/"), up.latency_us,
            down.latency_us if down else 0, jitter, up.bandwidth_bps, up.loss_share, degraded,
        )  # fmt: skip

    def _path(self, site: str, using: _Using, now_us: int, *, upwards: bool) -> _Path | None:
        """Return the path that one direction of a site's traffic is on now; None: it is lost."""
        ways = self._ways
        best = ways._best(site, self._router, self._faults, upwards=upwards)
        old = using.path
        if old is None or now_us == 0:
            using.path = best
            return best
        if best is not None and (
            best.links == old.links or ways._alive(site, old, self._faults, upwards=upwards)
        ):
            using.path, using.failed_us = best, -1
            return best
        if using.failed_us < 0:
            using.failed_us = now_us
        if best is None:
            return None
        ready_us = using.failed_us + ways._failover_us(site, old, best)
        if now_us >= ready_us:
            using.path, using.failed_us = best, -1
            return best
        self._waiting[site] = None
        if ready_us not in self._timers:
            heapq.heappush(self._instants, ready_us)
        self._timers.setdefault(ready_us, {})[site] = None
        return None
