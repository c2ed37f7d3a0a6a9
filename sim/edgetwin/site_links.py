"""The network of a topology, and what a record of outages does to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from edgetwin.links import Fault, Link, Network, network
from edgetwin.model import Topology, numbered
from edgetwin.outages import Record
from edgetwin.router import Cut

CLOUD = "cloud"
"""The node that stands for the cloud."""

LAN_US = 200
"""One way between a node and its site's switch. Chosen: a switched gigabit Ethernet with its stacks
answers a ping in well under a millisecond."""

CUTTING = ("network", "cellular", "satellite", "planned")
"""Kinds of outage that cut a site's way out; power, node and scheduler faults leave links alone."""


def of_topology(
    topology: Topology, *, aggregators: Mapping[str, str] | None = None, aggregator_us: int = 1
) -> Network:
    """Return the network of *topology*: the cloud, a switch a site, its nodes, all uplinks.

    A site's switch bears the site's name, its nodes are SITE/NODE, its uplinks SITE/UPLINK. With
    *aggregators* (site to regional aggregator) the uplinks of a site end there, and each
    aggregator has a link AGGREGATOR/cloud of *aggregator_us*: cutting it cuts the region.
    """
    links: list[Link] = []
    regions = aggregators or {}
    for kind, site in topology.sites.items():
        for name in numbered(kind, site.count):
            far_end = regions.get(name, CLOUD)
            for uplink_name, uplink in site.uplinks.items():
                risks = (uplink.risk_group,) if uplink.risk_group else ()
                links.append(
                    Link(
                        f"{name}/{uplink_name}", name, far_end, max(1, uplink.latency_us),
                        uplink.bandwidth_bps, uplink.loss_share, uplink.priority, risks,
                    )
                )  # fmt: skip
            for node_name, node in site.nodes.items():
                for number in range(node.count):
                    node_of = f"{name}/{node_name}" + (f"-{number + 1}" if node.count > 1 else "")
                    links.append(Link(f"{node_of}/lan", name, node_of, LAN_US))
    links += [
        Link(f"{region}/{CLOUD}", region, CLOUD, aggregator_us)
        for region in sorted(set(regions.values()))
    ]
    return network(links, nodes=[CLOUD])


def cuts(record: Record, net: Network, *, degraded: Fault | None = None) -> list[Cut]:
    """Return what the outages of *record* do to *net*, in order of start and link.

    An outage of a kind in `CUTTING` cuts every uplink of its site; one of a `degraded` kind does to
    them what *degraded* says (its link is filled in), or nothing if it is None.
    """
    uplinks = _uplinks(net, record.sites)
    found: list[Cut] = []
    for outage in record.outages:
        if outage.kind in CUTTING:
            pattern = Fault("")
        elif outage.kind == "degraded" and degraded is not None:
            pattern = degraded
        else:
            continue
        end_us = record.end_us(outage)
        found += [
            Cut(outage.start_us, end_us, replace(pattern, link=link))
            for link in uplinks[outage.site]
        ]
    return sorted(found)


def _uplinks(net: Network, sites: Iterable[str]) -> dict[str, list[str]]:
    """Return the links by which each site leaves: not those to its own nodes."""
    found: dict[str, list[str]] = {site: [] for site in sites}
    for link in net.links:
        for site, other in ((link.a, link.b), (link.b, link.a)):
            if site in found and not other.startswith(f"{site}/"):
                found[site].append(link.name)
    return found
