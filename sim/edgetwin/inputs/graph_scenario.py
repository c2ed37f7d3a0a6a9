"""A graph of a real network becomes a scenario folder: a site at every node, the graph between.

Every node but the cloud's is an aggregator, its links are the graph's, and the site that stands
there hangs on it; so a record can name a site, a node of the graph or one of its links.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml

from edgetwin import routes
from edgetwin.errors import UsageError, did_you_mean
from edgetwin.inputs import graphs
from edgetwin.inputs.folder import TOPOLOGIES, TOPOLOGY_FILE
from edgetwin.inputs.shipped import FORMAT_FILE, SCHEMA_FILE, share
from edgetwin.links import Network

HOP = "-hop"
"""What an aggregator's name has after its site's."""

MANIFESTS = """\
# A service to begin with; put your own manifests in its place.
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: 1
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
        - name: api
          image: registry.example/api:1
          resources:
            requests: {cpu: 100m, memory: 64Mi}
            limits: {memory: 128Mi}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec:
  selector: {app: api}
  ports: [{port: 80}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: api-data}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: local-path
  resources: {requests: {storage: 1Gi}}
"""

DEVICES: dict[str, Any] = {
    "client": {
        "count": 4,
        "requests": {
            "ask": {"service": "api", "every": "10s"},
            "tell": {"service": "api", "every": "60s", "kind": "write", "collection": "records"},
        },
    }
}
"""Chosen: a little of everything, so that the folder runs as it is."""


def topology(net: Network, *, name: str, hub: str | None = None) -> dict[str, Any]:
    """Return the content of a ``topology.yaml`` of *net*, with the cloud at the node *hub*.

    By default that is the most central node. Nodes that do not reach it are left out. Raises
    UsageError if *hub* is no node, or reaches nothing.
    """
    cloud = hub if hub is not None else routes.central_node(net)
    if cloud not in net.nodes:
        raise UsageError(f"--hub: no node {cloud!r}; {did_you_mean(cloud, net.nodes)}")
    ways = routes.routes(net, cloud)
    distance = {node: way.up.latency_us for node, way in ways.items() if way.up is not None}
    own = _names([node for node in distance if node != cloud])
    if not own:
        raise UsageError(f"--hub: {cloud!r} reaches no other node; name another")
    uplinks: dict[str, dict[str, Any]] = {node: {} for node in own}
    for link in net.links:
        if link.a not in distance:
            continue
        # Each link belongs to its farther end, so that every node has one towards the cloud.
        near, far = sorted((link.a, link.b), key=lambda node: (distance[node], node))
        written: dict[str, Any] = {
            "latency": f"{link.latency_us}us",
            "bandwidth": _bandwidth(link.bandwidth_bps or graphs.BANDWIDTH_BPS),
        }
        if near != cloud:
            written["via"] = own[near] + HOP
        uplinks[far][f"link-{len(uplinks[far]) + 1}"] = written
    placed = {node: list(net.positions[node]) for node in distance if node in net.positions}
    return {
        "name": graphs.site_name(name),
        "description": f"One site a node of {name}; the cloud is at {cloud}.",
        "cloud": {"coordinates": placed.get(cloud)},
        "aggregators": {
            own[node] + HOP: {"coordinates": placed.get(node), "uplinks": links}
            for node, links in uplinks.items()
        },
        "sites": {
            site: {
                "control_plane": "local",
                "coordinates": placed.get(node),
                "nodes": {"edge": {"cpu": "4", "memory": "4Gi", "disk": "32Gi"}},
                "uplinks": {
                    "access": {"latency": "1ms", "bandwidth": "100Mbit/s", "via": site + HOP}
                },
                "devices": DEVICES,
            }
            for node, site in own.items()
        },
        "collections": {"records": {}},
        "outages": {"generate": {}, "duration": "30d"},
        "targets": {"offline_availability": "99%", "lost_acked_writes": 0},
    }


def _bandwidth(bits_per_s: int) -> str:
    whole, rest = divmod(bits_per_s, 10**6)
    return f"{bits_per_s}bit/s" if rest else f"{whole}Mbit/s"


def _names(nodes: list[str]) -> dict[str, str]:
    """Return a site's name for each node, none twice and none a hop's."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for node in nodes:
        first = name = graphs.site_name(node)
        number = 2
        while {name, name + HOP} & taken:
            name, number = f"{first[:50]}-{number}", number + 1
        taken |= {name, name + HOP}
        found[node] = name
    return found


def write(graph: Path, target: Path, *, hub: str | None = None) -> dict[str, Any]:
    """Make *target* a scenario folder of the network in the file *graph*; return its topology.

    Nothing is overwritten. Raises ScenarioError if *graph* is no network, UsageError if *target*
    exists or *hub* is no node.
    """
    content = topology(graphs.read(graph), name=graph.stem, hub=hub)
    if target.is_symlink() or target.exists():
        raise UsageError(f"{target} exists already; give the name of a new folder")
    plain = yaml.safe_dump(_given(content), sort_keys=False, allow_unicode=True, width=100)
    head = f"# yaml-language-server: $schema=./{SCHEMA_FILE}\n# What the keys mean: {FORMAT_FILE}\n"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".edgetwin-", dir=target.parent) as room:
            made = Path(room) / "scenario"
            made.mkdir()
            (made / TOPOLOGY_FILE).write_text(head + plain, encoding="utf-8")
            (made / "manifests.yaml").write_text(MANIFESTS, encoding="utf-8")
            shutil.copyfile(share() / TOPOLOGIES / SCHEMA_FILE, made / SCHEMA_FILE)
            shutil.copyfile(share() / TOPOLOGIES / "README.md", made / FORMAT_FILE)
            os.replace(made, target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror or error}") from error
    return content


def _given(content: Any) -> Any:
    """Return *content* without what is None, and with nothing in it twice: no YAML aliases."""
    if isinstance(content, dict):
        return {key: _given(value) for key, value in content.items() if value is not None}
    return [_given(value) for value in content] if isinstance(content, list) else content
