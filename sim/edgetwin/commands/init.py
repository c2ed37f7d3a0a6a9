"""Write a complete scenario folder to start from."""

import argparse
from typing import TYPE_CHECKING

from edgetwin.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

HELP = "write a complete scenario folder to start from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to *parser*."""
    parser.add_argument(
        "scenario",
        metavar="SCENARIO",
        nargs="?",
        help="which to copy, such as smart-retail; none with --from-graph",
    )
    parser.add_argument("folder", metavar="DIR", help="the folder to make; it must not exist yet")
    parser.add_argument(
        "--from-graph",
        metavar="FILE",
        help="a network in GML or GraphML, as in the Topology Zoo: one site a node of it",
    )
    parser.add_argument(
        "--hub", metavar="NODE", help="the graph's node at which the cloud is (default: the middle)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Copy the scenario, or make one of a graph, and say what to do with it; return 0."""
    from pathlib import Path

    target = Path(arguments.folder)
    if arguments.from_graph is not None:
        if arguments.scenario is not None:
            raise UsageError("init: name a scenario or give --from-graph, not both")
        return _from_graph(Path(arguments.from_graph), target, arguments.hub)
    if arguments.scenario is None:
        from edgetwin.inputs import shipped

        raise UsageError(f"init: name a scenario: {', '.join(shipped.names())}")
    if arguments.hub is not None:
        raise UsageError("init: --hub is a node of the graph of --from-graph")
    return _copied(arguments.scenario, target)


def _from_graph(graph: "Path", target: "Path", hub: str | None) -> int:
    from edgetwin.inputs import graph_scenario

    content = graph_scenario.write(graph, target, hub=hub)
    links = sum(len(each["uplinks"]) for each in content["aggregators"].values())
    print(f"{target}: {content['description']}")
    print(f"  {len(content['sites'])} sites, {links} links, a storm drawn by seed")
    print("  put your services in manifests.yaml, your devices and outages in topology.yaml")
    print(f"now change {target / 'topology.yaml'} and run: edgetwin check {target}")
    return 0


def _copied(scenario: str, target: "Path") -> int:
    from edgetwin.inputs import shipped

    files = shipped.copy(scenario, target)
    print(f"{target}: {scenario}, {len(files)} files")
    for file in files:
        if file.parent == target:
            print(f"  {file.name}")
    print(f"  policies: {sum(file.parent != target for file in files)} files")
    print(f"now change {target / 'topology.yaml'} and run: edgetwin check {target}")
    return 0
