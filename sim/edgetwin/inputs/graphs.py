"""Graphs of real networks, such as those of the Topology Zoo, become networks and sites."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetwin import routes
from edgetwin.errors import UsageError, did_you_mean
from edgetwin.inputs.records.source import open_source
from edgetwin.links import Link, Network, distance_km, fibre_latency_us, network

LATENCY_US = 2_000
"""Of a link whose ends have no coordinates. Chosen: 300 km of cable, a hop between two cities."""

BANDWIDTH_BPS = 1_000_000_000
"""Of a link that states none; only 115 of 276 networks of the zoo state any (facts/traces.md, 3).
Chosen: a provider's slowest backbone port of the time."""

NODES_MAX = 100_000
"""Largest graph that is read. Chosen: a hundred times the largest of the zoo."""


def read(path: str | Path) -> Network:
    """Return the network in the GML or GraphML file *path*.

    Nodes are called by their labels, made unique by their numbers where labels repeat. Latency is
    that of cable along the great circle where both ends have coordinates, else `LATENCY_US`.
    Raises ScenarioError if the file is neither, or holds no link.
    """
    source = open_source(Path(path))
    text = source.text
    is_xml = text.lstrip().startswith("<")
    try:
        graph = routes.read_graphml(text) if is_xml else routes.read_gml(text)
    except ValueError as fault:
        raise source.wrong(0, str(fault), "give GML or GraphML") from None
    if graph.number_of_nodes() > NODES_MAX:
        raise source.wrong(0, f"more than {NODES_MAX} nodes", "cut the graph to what you need")
    names = _names(graph)
    positions = {
        names[node]: place for node, data in graph.nodes(data=True) if (place := _place(data))
    }
    links = []
    seen: Counter[tuple[str, str]] = Counter()
    for a, b, data in sorted(
        graph.edges(data=True), key=lambda edge: (names[edge[0]], names[edge[1]], str(edge[2]))
    ):
        if a == b:
            continue
        ends = min(names[a], names[b]), max(names[a], names[b])
        seen[ends] += 1
        name = "--".join(ends) + (f" #{seen[ends]}" if seen[ends] > 1 else "")
        latency = LATENCY_US
        if ends[0] in positions and ends[1] in positions:
            latency = fibre_latency_us(distance_km(positions[ends[0]], positions[ends[1]]))
        links.append(Link(name, *ends, latency, _bandwidth_bps(data)))
    if not links:
        raise source.wrong(0, "a graph without links", "give a network")
    return network(links, nodes=names.values(), positions=positions)


def _names(graph: Any) -> dict[Any, str]:
    """Return the name of every node: its label, with its number where others bear it too."""
    labels = {}
    for node, data in graph.nodes(data=True):
        label = str(data.get("label") or "").strip()
        # The zoo calls a node whose place nobody knows "None" or "?".
        labels[node] = label if label not in ("", "None", "?") else f"node {node}"
    counts = Counter(labels.values())
    names = {
        node: label if counts[label] == 1 else f"{label} {node}" for node, label in labels.items()
    }
    if len(set(names.values())) < len(names):
        return {node: str(node) for node in names}
    return names


def _place(data: Mapping[str, Any]) -> tuple[float, float] | None:
    try:
        latitude, longitude = float(data["Latitude"]), float(data["Longitude"])
    except (KeyError, TypeError, ValueError):
        return None
    sound = -90 <= latitude <= 90 and -180 <= longitude <= 180
    return (latitude, longitude) if sound else None


def _bandwidth_bps(data: Mapping[str, Any]) -> int | None:
    try:
        speed = float(data["LinkSpeedRaw"])
    except (KeyError, TypeError, ValueError):
        return None
    return int(speed) if 0 < speed < 1e16 else None


# ---- a topology to begin with ------------------------------------------------------------------


def topology(net: Network, *, name: str, hub: str | None = None) -> dict[str, Any]:
    """Return the content of a ``topology.yaml`` with a site for every node that the *hub* reaches.

    The hub is the cloud, by default the most central node. A site's primary uplink has the latency
    and the narrowest bandwidth of its path there; where a second path shares no link with it, that
    is its backup. Sites behind the same neighbour of the hub share a failure domain.

    Raises UsageError if *hub* is no node, or reaches nothing.
    """
    cloud = hub if hub is not None else routes.central_node(net)
    if cloud not in net.nodes:
        raise UsageError(f"no node {cloud!r}; {did_you_mean(cloud, net.nodes)}")
    reaches = routes.routes(net, cloud)
    by_name = {link.name: link for link in net.links}
    sites: dict[str, Any] = {}
    for node in net.nodes:
        route = reaches[node].up
        if node == cloud or route is None:
            continue
        uplinks = {"primary": _uplink(route)}
        backup = routes.disjoint_route(net, cloud, node)
        if backup is not None:
            uplinks["backup"] = {**_uplink(backup), "priority": 2}
        first_hop = by_name[route.links[-1]]
        neighbour = first_hop.b if first_hop.a == cloud else first_hop.a
        sites[_unique(site_name(node), sites)] = {
            "control_plane": "local",
            "failure_domain": f"behind {neighbour}",
            "nodes": {"edge": {"count": 1}},
            "uplinks": uplinks,
        }
    if not sites:
        raise UsageError(f"{cloud!r} reaches no other node; name another hub")
    return {
        "name": site_name(name),
        "description": f"One site a node of {name}; the cloud is at {cloud}.",
        "sites": sites,
    }


def _uplink(route: routes.Route) -> dict[str, Any]:
    return {
        "latency": f"{route.latency_us}us",
        "bandwidth": _bandwidth_text(route.bandwidth_bps or BANDWIDTH_BPS),
    }


def _bandwidth_text(bps: int) -> str:
    for unit, size in (("Gbit/s", 10**9), ("Mbit/s", 10**6), ("kbit/s", 10**3)):
        if bps % size == 0:
            return f"{bps // size}{unit}"
    return f"{bps}bit/s"


def site_name(label: str) -> str:
    """Return *label* as a site may be called: letters, digits, dots and dashes, at most 56.

    >>> site_name("São Paulo (SP)"), site_name("?")
    ('S-o-Paulo-SP', 'site')
    """
    name = re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-.")[:56].strip("-.")
    return name or "site"


def _unique(name: str, taken: Mapping[str, Any]) -> str:
    number = 2
    candidate = name
    while candidate in taken:
        candidate, number = f"{name}-{number}", number + 1
    return candidate
