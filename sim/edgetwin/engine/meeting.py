"""Where the sites of a world and the cloud meet: outboxes, clocks, contended collections."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edgetwin.engine.conflicts import Clocks, Contention
from edgetwin.engine.requests import Arrivals
from edgetwin.engine.rules import given, key_law
from edgetwin.engine.sync import Outbox, SyncRules
from edgetwin.model import Collection

if TYPE_CHECKING:
    from edgetwin.engine.world import World


def make_outboxes(world: "World") -> None:
    """Give every site its outbox."""
    sync = world.topology.sync
    for control in world.controls:
        load = sum(
            8 * one.wire_bytes / world.requests[one.request_class][3].every_us * 1e6
            * control.spec.devices[world.requests[one.request_class][1]].count
            for one in world.store.classes
            if one.synced and world.requests[one.request_class][0] == world.kinds[control.number]
        )  # fmt: skip
        control.outbox = Outbox(
            control.env, control.number, world.store,
            SyncRules(
                given(sync.interval_us), int(world.ticks[control.number]),
                sync.batch_writes_max, sync.bandwidth_share,
            ),
            load, control.line, control.at_the_end,
            partial(control.event, "sync"),
        )  # fmt: skip


def contentions(world: "World") -> list[Contention]:
    """Return the collections that both sides write, with the streams of the cloud's writes."""
    offset, drift = [], []
    for name, kind in zip(world.names, world.kinds, strict=True):
        clock = world.topology.sites[kind].clock
        share = world.draws.unit(f"clock/{name}", 0), world.draws.unit(f"clock/{name}", 1)
        offset.append(round((2 * share[0] - 1) * clock.offset_us))
        drift.append((2 * share[1] - 1) * clock.drift_ppm)
    clocks = Clocks(np.array(offset, dtype=np.int64), np.array(drift, dtype=np.float64))
    found: list[Contention] = []
    for number, edge in world.store.keyed.items():
        name = world.collections[number]
        collection = world.topology.collections[name]
        assert collection.cloud_writes is not None
        sites = np.unique(
            np.concatenate(
                [
                    world.plane.classes[one.request_class].sites
                    for one in world.store.classes
                    if one.collection == number
                ]
            )
        )
        streams = Arrivals(
            world.draws,
            [f"{world.names[site]}/cloud/{name}" for site in sites.tolist()],
            every_us=collection.cloud_writes.every_us,
        )
        found.append(
            Contention(
                name, collection, world.names, edge, streams, sites,
                key_law(collection.keys), clocks, _merge(world, collection),
            )
        )  # fmt: skip
    return found


def _merge(
    world: "World", collection: Collection
) -> Callable[[Sequence[object]], Sequence[object]] | None:
    """Return what decides conflicts of a collection whose strategy is a policy."""
    if collection.merge is None:
        return None
    policy = world.topology.policies[collection.merge]
    return partial(world.policies[collection.merge][0].decide_many, policy.entrypoint)
