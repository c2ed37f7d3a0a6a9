"""The K3s clusters of a world: one for all sites of a cloud control plane, else one a site."""

from functools import partial
from typing import TYPE_CHECKING

from edgetwin import versions
from edgetwin.engine.cluster import Cluster, ClusterSpec
from edgetwin.kubernetes import ZONE, Node, RuntimeClass, Taint, pairs
from edgetwin.streams import named

if TYPE_CHECKING:
    from edgetwin.engine.world import World

K3S_RUNTIME_CLASSES = tuple(
    RuntimeClass(name=name, handler=name)
    for name in ("crun", "lunatic", "slight", "spin", "wasmedge", "wasmer", "wasmtime", "wws")
)
"""RuntimeClass objects that K3s makes by itself, shim or not; there is no `wasm` among them
(facts/k3s.md, 3.6)."""


def make_clusters(world: "World") -> None:
    """Make every component's cluster, settled and running, and tell its sites of their nodes."""
    # A node's own boot law is applied by its site, before the cluster hears of the power.
    kubernetes = versions.defaults(world.topology.kubernetes, boot_us=0)
    for component in world.components:
        kinds = {world.kinds[number] for number in component.sites}
        mode = world.plane_of(next(iter(kinds)))
        nodes = [node for number in component.sites for node in _nodes(world, number)]
        name = "cloud" if mode == "cloud" else world.names[component.sites[0]]
        manifests = world.scenario.manifests
        spec = ClusterSpec(
            name=name,
            control_plane=mode,
            nodes=tuple(nodes),
            workloads=manifests.workloads,
            services=manifests.services,
            claims=manifests.claims,
            runtime_classes=(*manifests.runtime_classes, *K3S_RUNTIME_CLASSES),
            kubernetes=kubernetes,
            image_bytes=tuple(
                (container.image, world.profile_of[workload.name].image_gzip_bytes)
                for workload in manifests.workloads
                for container in workload.containers[:1]
            ),
        )
        cluster = Cluster(
            component.env, spec, named(world.draws, f"cluster/{name}"),
            start_us=partial(world.start_us, component.env),
            on_endpoints=world.on_endpoints,
            on_event=partial(world.on_event, component.env, name),
        )  # fmt: skip
        for number in component.sites:
            world.controls[number].cluster = cluster
            world.controls[number].nodes = [
                node.name for node in nodes if node.site == world.names[number]
            ]


def _nodes(world: "World", number: int) -> list[Node]:
    """Return the machines of one site, named SITE-NODE, as Kubernetes sees them."""
    name, spec = world.names[number], world.topology.sites[world.kinds[number]]
    made: list[Node] = []
    servers = {"cloud": 0, "local": 1, "local-ha": 3}[spec.control_plane]
    for key, node in spec.nodes.items():
        for copy in range(1, node.count + 1):
            own = f"{name}-{key}" if node.count == 1 else f"{name}-{key}-{copy}"
            world.node_kind[own] = key
            labels = dict(node.labels)
            if spec.zone_label:
                labels[ZONE] = name
            made.append(
                Node(
                    name=own,
                    site=name,
                    cores=node.cpu_cores,
                    memory_bytes=node.memory_bytes,
                    disk_bytes=node.disk_bytes,
                    labels=pairs(labels),
                    taints=tuple(_taint(text) for text in node.taints),
                    server=len(made) < servers if node.server is None else node.server,
                )
            )
    return made


def _taint(text: str) -> Taint:
    """Return the taint that *text* writes as kubectl does: ``key=value:NoSchedule``."""
    left, _, effect = text.rpartition(":")
    key, _, value = left.partition("=")
    return Taint(key=key, effect=effect, value=value)  # type: ignore[arg-type]
