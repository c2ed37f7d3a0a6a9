"""A node's disk: image garbage collection, and the eviction of Pods when it is nearly full.

Held against facts/k3s.md, 2 and 3.5. K3s evicts below 5 % and has no memory threshold; local-path
volumes are not Pods' own use, so evicting Pods does not give their space back.
"""

from collections.abc import Callable
from dataclasses import dataclass

from edgetwin.engine.cluster_state import ClusterState, NodeState
from edgetwin.engine.images import Images
from edgetwin.engine.kubelet import Kubelets
from edgetwin.units import SECOND_US

MONITOR_US = 10 * SECOND_US
"""``evictionMonitoringPeriod``. R: k3s.md 2."""


@dataclass(slots=True)
class Disk:
    """What lies on one disk besides images, and what the kubelet is doing about it."""

    other_bytes: int = 0
    collecting: bool = False
    evicting: bool = False
    tight_us: int = 0
    """Last instant at which the disk was found nearly full."""


class Disks:
    """The disks of all nodes."""

    def __init__(self, state: ClusterState, images: Images, kubelets: Kubelets) -> None:
        self._state = state
        self._images = images
        self._kubelets = kubelets
        self._disks: dict[str, Disk] = {}
        images.on_change = self.look

    def fill(self, node: NodeState, other_bytes: int) -> None:
        """Take note that collections, logs and the like take *other_bytes* of *node*'s disk."""
        self._disks.setdefault(node.node.name, Disk()).other_bytes = other_bytes
        self.look(node)

    def free_bytes(self, node: NodeState) -> int:
        """Return what is free on *node*'s disk; never below 0."""
        disk = self._disks.get(node.node.name)
        other_bytes = disk.other_bytes if disk else 0
        used_bytes = other_bytes + self._images.disk_bytes(node)
        return max(0, node.node.disk_bytes - used_bytes)

    def look(self, node: NodeState) -> None:
        """Have the kubelet act at its next look at the disk, if it is too full."""
        disk = self._disks.get(node.node.name)
        if disk is None:
            return
        times, free_bytes = self._state.times, self.free_bytes(node)
        total_bytes = node.node.disk_bytes
        if free_bytes < (1 - times.image_gc_high_share) * total_bytes and not disk.collecting:
            disk.collecting = True
            self._next(node, "gc", times.image_gc_period_us, lambda: self._collect(node, disk))
        if free_bytes < times.disk_evict_share * total_bytes and not disk.evicting:
            disk.evicting = True
            self._next(node, "disk", MONITOR_US, lambda: self._evict(node, disk))

    def _next(
        self, node: NodeState, purpose: str, period_us: int, action: Callable[[], None]
    ) -> None:
        """Run *action* at the next tick of a loop of *period_us* whose phase is the node's own."""
        phase_us = self._state.draws.at(f"{purpose}/{node.node.name}", 0) % period_us
        wait_us = (phase_us - self._state.now) % period_us
        self._state.later(wait_us, action)

    def _in_use(self, node: NodeState) -> set[str]:
        return {
            container.image
            for pod in node.pods.values()
            if pod.known and not pod.finished
            for container in pod.workload.containers + pod.workload.init_containers
        }

    def _collect(self, node: NodeState, disk: Disk) -> None:
        disk.collecting = False
        if not node.kubelet:
            return
        freed_bytes = self._images.collect(
            node, other_bytes=disk.other_bytes, in_use=self._in_use(node)
        )
        if freed_bytes or self._images.young(node, self._in_use(node)):
            self._state.later(SECOND_US, lambda: self.look(node))

    def _evict(self, node: NodeState, disk: Disk) -> None:
        """Free images, then evict one Pod a tick while the disk is still too full."""
        times, total_bytes = self._state.times, node.node.disk_bytes
        disk.evicting = False
        if not node.kubelet or self.free_bytes(node) >= times.disk_evict_share * total_bytes:
            return
        disk.tight_us = self._state.now
        self._press(node, disk)
        wanted_share = times.disk_evict_share + times.disk_reclaim_share
        self._images.free(
            node, int(wanted_share * total_bytes) - self.free_bytes(node), self._in_use(node)
        )
        if self.free_bytes(node) >= times.disk_evict_share * total_bytes:
            return
        victims = [
            pod
            for pod in node.pods.values()
            if pod.running and pod.known and pod.workload.kind != "StaticPod"
        ]
        if victims:
            victim = min(victims, key=lambda pod: (pod.workload.priority, -pod.number))
            self._kubelets.finish(victim, "Evicted")
            self.look(node)

    def _press(self, node: NodeState, disk: Disk) -> None:
        """Post DiskPressure, which holds for five minutes after the disk has room again."""
        if not node.disk_pressure:
            self._state.event(f"node/{node.node.name}", "DiskPressure=True", "")
            node.disk_pressure = True
            self._changed(node)
        self._state.later(self._state.times.disk_hold_us, lambda: self._relax(node, disk))

    def _relax(self, node: NodeState, disk: Disk) -> None:
        tight = self.free_bytes(node) < self._state.times.disk_evict_share * node.node.disk_bytes
        if tight:
            self._state.later(self._state.times.disk_hold_us, lambda: self._relax(node, disk))
        elif node.disk_pressure and (
            self._state.now - disk.tight_us >= self._state.times.disk_hold_us
        ):
            self._state.event(f"node/{node.node.name}", "DiskPressure=False", "")
            node.disk_pressure = False
            self._changed(node)
            if self._kubelets.in_contact(node):
                self._kubelets.sync(node)

    def _changed(self, node: NodeState) -> None:
        """Have the taint seen, if the kubelet can tell; else its next report carries it."""
        if self._kubelets.in_contact(node):
            self._state.refresh_taints(node)
            self._state.on_taints(node)
