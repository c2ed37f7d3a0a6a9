"""Graphs of networks: read from text, and asked for their middle, bridges and second paths.

The only user of networkx. Routes themselves are reckoned in `router`, which this hands on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgetwin.links import Fault, Link, Network
from edgetwin.router import PRIORITY_COST, Cut, Reach, Route, Router, routes, timeline

if TYPE_CHECKING:
    import networkx

__all__ = [
    "PRIORITY_COST",
    "Cut",
    "Reach",
    "Route",
    "Router",
    "as_graph",
    "bridges",
    "central_node",
    "disjoint_route",
    "read_gml",
    "read_graphml",
    "routes",
    "timeline",
]


def read_gml(text: str) -> networkx.Graph[Any]:
    """Return the graph of a GML text, its nodes by number.

    Labels repeat and parallel edges stand in graphs that do not say `multigraph 1`, in a third of
    the Topology Zoo (facts/traces.md, 3); both are mended. Raises ValueError if it is no GML.
    """
    import networkx

    if "multigraph" not in text:
        text = text.replace("graph [", "graph [\n  multigraph 1", 1)
    try:
        return networkx.parse_gml(text, label="id")
    except (networkx.NetworkXError, ValueError, KeyError, RecursionError) as fault:
        raise ValueError(f"not GML: {fault}") from None


def read_graphml(text: str) -> networkx.Graph[Any]:
    """Return the graph of a GraphML text. Raises ValueError if it is none."""
    from xml.etree.ElementTree import ParseError

    import networkx

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("GraphML with a document type is refused: it may name other files")
    try:
        return networkx.parse_graphml(text, force_multigraph=True)
    except (networkx.NetworkXError, ParseError, ValueError, KeyError, TypeError) as fault:
        raise ValueError(f"not GraphML: {fault}") from None


def central_node(network: Network) -> str:
    """Return the node from which the farthest reachable one is nearest: a place for the cloud.

    Among those of the largest connected part; ties go to the first by name.
    """
    graph = as_graph(network)
    import networkx

    part = max(networkx.connected_components(graph), key=lambda nodes: (len(nodes), min(nodes)))
    reach = {
        node: max(networkx.single_source_dijkstra_path_length(graph, node, weight="cost").values())
        for node in sorted(part)
    }
    return str(min(sorted(reach), key=lambda node: reach[node]))


def as_graph(network: Network) -> networkx.MultiGraph[Any]:
    """Return *network* as networkx knows it; links are keyed by name and carry `cost`."""
    import networkx

    graph: networkx.MultiGraph[Any] = networkx.MultiGraph()
    graph.add_nodes_from(network.nodes)
    for link in network.links:
        cost = (link.priority - 1) * PRIORITY_COST + link.latency_us
        graph.add_edge(link.a, link.b, key=link.name, cost=cost)
    return graph


def bridges(network: Network) -> tuple[Link, ...]:
    """Return the links without which the network falls apart, sorted by name."""
    import networkx

    graph = as_graph(network)
    single: networkx.Graph[Any] = networkx.Graph(graph)
    found = {frozenset(edge) for edge in networkx.bridges(single)}
    return tuple(
        link
        for link in network.links
        if frozenset((link.a, link.b)) in found and graph.number_of_edges(link.a, link.b) == 1
    )


def disjoint_route(network: Network, hub: str, node: str) -> Route | None:
    """Return the best route from *node* up to the *hub* that shares no link and no risk group with
    its usual one; None if there is none."""
    usual = Router(network, hub).reach(node).up
    if usual is None:
        return None
    by_name: Mapping[str, Link] = {link.name: link for link in network.links}
    risks = {group for name in usual.links for group in by_name[name].risk_groups}
    gone = [
        Fault(link.name)
        for link in network.links
        if link.name in usual.links or risks & set(link.risk_groups)
    ]
    router = Router(network, hub)
    router.change(begun=gone)
    return router.reach(node).up
