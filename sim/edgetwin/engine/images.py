"""Images: what a node has on disk, and how the registry's bandwidth reaches a site.

Held against facts/k3s.md, 2 (pull policy, back-off, image GC, parallel pulls). The bandwidth of a
site is shared evenly among its pulls, a piecewise constant fluid by definition (design.md, 4).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import simpy

from edgetwin.engine.cluster_state import LONG_AGO_US, ClusterState, NodeState
from edgetwin.engine.controller_client import Process
from edgetwin.units import SECOND_US

VERIFY_US = 200_000
"""A registry's answer that a present image is the newest (policy Always). Chosen: two round trips
over a mobile uplink."""


@dataclass(slots=True, eq=False)
class Pull:
    """One image on its way to one node."""

    image: str
    node: NodeState
    left_bits: float
    done: simpy.Event
    """Succeeds with True when the image is there, with False when the pull has failed."""


@dataclass(slots=True)
class Registry:
    """The way from the registry to one site."""

    up: bool = True
    silent: bool = True
    """While down, packets vanish (else connections are refused)."""
    bits_per_s: int = 0
    pulls: dict[tuple[str, str], Pull] = field(default_factory=dict)
    """Pulls under way by node and image."""
    reckoned_us: int = 0
    """Instant up to which the bits of the pulls are reckoned."""
    plan: int = 0


@dataclass(slots=True)
class Stored:
    """An image on a node's disk."""

    disk_bytes: int
    since_us: int
    used_us: int


class Images:
    """All nodes' image stores, and the pulls of all sites."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._sizes: dict[str, int] | None = None
        self._registries: dict[str, Registry] = {}
        self._stores: dict[str, dict[str, Stored]] = {}
        self._warm: dict[str, dict[str, None]] = {}
        self.on_change: Callable[[NodeState], None] = lambda node: None
        """Called when images take more of a node's disk."""

    def _registry(self, site: str) -> Registry:
        if site not in self._registries:
            self._registries[site] = Registry(bits_per_s=self._state.spec.registry_bits_per_s)
        return self._registries[site]

    def size_bytes(self, image: str) -> int:
        """Return the compressed size of *image*."""
        if self._sizes is None:
            self._sizes = dict(self._state.spec.image_bytes)
        return self._sizes.get(image, self._state.spec.image_bytes_default)

    def store(self, node: NodeState) -> dict[str, Stored]:
        """Return the images on *node*'s disk; at first those of the Pods it started with."""
        return self._stores.setdefault(node.node.name, {})

    def present(self, node: NodeState, image: str) -> bool:
        """Say whether *image* is on *node*'s disk."""
        return image in self.store(node)

    def add(self, node: NodeState, image: str) -> None:
        """Put *image* on *node*'s disk."""
        disk_bytes = round(self.size_bytes(image) * self._state.spec.image_disk_factor)
        now_us = self._state.now
        self.store(node)[image] = Stored(disk_bytes, now_us, now_us)
        node.room.images = node.room.images | {image}
        self.on_change(node)

    def remove(self, node: NodeState, image: str) -> None:
        """Take *image* off *node*'s disk: collected, or lost with it."""
        self.store(node).pop(image, None)
        node.room.images = node.room.images - {image}

    def disk_bytes(self, node: NodeState) -> int:
        """Return what the images take of *node*'s disk."""
        return sum(each.disk_bytes for each in self.store(node).values())

    # Page cache

    def cold(self, node: NodeState, image: str) -> bool:
        """Say whether *image* has not run on *node* since it booted or got the image."""
        return image not in self._warm.get(node.node.name, {})

    def warm(self, node: NodeState, image: str) -> None:
        """Take note that *image* runs on *node*."""
        self._warm.setdefault(node.node.name, {})[image] = None
        stored = self.store(node).get(image)
        if stored is not None:
            stored.used_us = self._state.now

    def chill(self, node: NodeState) -> None:
        """Empty *node*'s page cache and forget its pulls: it has lost its power."""
        self._warm.pop(node.node.name, None)
        registry = self._registries.get(node.node.site)
        if registry is not None and registry.pulls:
            self._reckon(registry)
            for key in [key for key in registry.pulls if key[0] == node.node.name]:
                del registry.pulls[key]
            self._plan(registry)

    # The registry

    def set_registry(self, site: str, *, up: bool, bits_per_s: int, silent: bool = True) -> None:
        """Change whether and how fast *site* reaches the registry; running pulls feel it at once.

        A pull that is under way when the registry is lost fails after the pull time-out.
        """
        registry = self._registry(site)
        self._reckon(registry)
        registry.up, registry.silent = up, silent
        registry.bits_per_s = bits_per_s
        self._plan(registry)
        if not up:
            for key, pull in list(registry.pulls.items()):
                self._fail_later(registry, key, pull)

    def _fail_later(self, registry: Registry, key: tuple[str, str], pull: Pull) -> None:
        def fail() -> None:
            if not registry.up and registry.pulls.get(key) is pull:
                del registry.pulls[key]
                pull.done.succeed(False)

        self._state.later(self._state.times.pull_timeout_us if registry.silent else 0, fail)

    def fetch(self, node: NodeState, image: str) -> simpy.Event:
        """Return the end of a pull of *image* to *node*: its value is True if the image is there.

        An image that is present is only verified; a pull of the same image is joined.
        """
        registry = self._registry(node.node.site)
        end = self._state.env.event()
        if not registry.up or registry.bits_per_s <= 0:
            wait_us = self._state.times.pull_timeout_us if registry.silent else 0
            self._state.later(wait_us, lambda: _finish(end, False))
            return end
        if self.present(node, image):
            self._state.later(VERIFY_US, lambda: _finish(end, True))
            return end
        key = (node.node.name, image)
        if key not in registry.pulls:
            self._reckon(registry)
            registry.pulls[key] = Pull(image, node, self.size_bytes(image) * 8.0, end)
            self._plan(registry)
        return registry.pulls[key].done

    def _reckon(self, registry: Registry) -> None:
        """Give each pull its even share of what came since the last reckoning."""
        passed_us = self._state.now - registry.reckoned_us
        registry.reckoned_us = self._state.now
        if registry.pulls and registry.up:
            share = registry.bits_per_s * passed_us / SECOND_US / len(registry.pulls)
            for pull in registry.pulls.values():
                pull.left_bits -= share

    def _plan(self, registry: Registry) -> None:
        """Schedule the end of the pull that ends first, if the registry stays as it is."""
        registry.plan += 1
        if not registry.pulls or not registry.up or registry.bits_per_s <= 0:
            return
        left = min(pull.left_bits for pull in registry.pulls.values())
        wait_us = left * len(registry.pulls) * SECOND_US / registry.bits_per_s
        plan = registry.plan
        self._state.later(max(0, -int(-wait_us // 1)), lambda: self._arrive(registry, plan))

    def _arrive(self, registry: Registry, plan: int) -> None:
        if plan != registry.plan:
            return
        self._reckon(registry)
        for key, pull in list(registry.pulls.items()):
            if pull.left_bits < 1:
                del registry.pulls[key]
                self._state.env.process(self._unpack(pull))
        self._plan(registry)

    def _unpack(self, pull: Pull) -> Process:
        rate = self._state.spec.image_unpack_bytes_per_s
        boot = pull.node.boot
        yield self._state.env.timeout(self.size_bytes(pull.image) * SECOND_US // rate)
        if pull.node.powered and pull.node.boot == boot:
            self.add(pull.node, pull.image)
            self._state.event(f"node/{pull.node.node.name}", "image pulled", pull.image)
        pull.done.succeed(True)

    # Garbage collection

    def collect(self, node: NodeState, *, other_bytes: int, in_use: set[str]) -> int:
        """Free unused images if the disk is too full; return the bytes freed.

        Above the high mark images that no Pod uses go, the longest unused first, until the low
        mark; those younger than the minimum age stay (k3s.md, 2). An image deleted while cut off
        cannot be fetched again. *other_bytes* is what else lies on the disk.
        """
        times, disk_bytes = self._state.times, node.node.disk_bytes
        used_bytes = other_bytes + self.disk_bytes(node)
        if used_bytes < times.image_gc_high_share * disk_bytes:
            return 0
        return self.free(node, used_bytes - int(times.image_gc_low_share * disk_bytes), in_use)

    def free(self, node: NodeState, wanted_bytes: int, in_use: set[str]) -> int:
        """Take unused images off *node*, the longest unused first; return the bytes freed."""
        freed_bytes = 0
        stored = sorted(self.store(node).items(), key=lambda item: (item[1].used_us, item[0]))
        for image, each in stored:
            if freed_bytes >= wanted_bytes:
                break
            if image not in in_use and not self._is_young(each):
                self.remove(node, image)
                self._state.event(f"node/{node.node.name}", "image collected", image)
                freed_bytes += each.disk_bytes
        return freed_bytes

    def _is_young(self, stored: Stored) -> bool:
        return self._state.now - stored.since_us < self._state.times.image_gc_age_us

    def young(self, node: NodeState, in_use: set[str]) -> bool:
        """Say whether *node* has unused images that are too young to be collected yet."""
        return any(
            image not in in_use and self._is_young(each) for image, each in self.store(node).items()
        )

    def preload(self, node: NodeState, image: str) -> None:
        """Have *image* on *node* since long ago, as from an air-gap archive (k3s.md, 3.5)."""
        self.add(node, image)
        self.store(node)[image].since_us = LONG_AGO_US


def _finish(event: simpy.Event, value: bool) -> None:
    event.succeed(value)
