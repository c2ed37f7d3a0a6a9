"""The end of a run: what the world knows goes into the history, and must add up."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetwin.engine.decisions import ALLOW, DENY, ERROR, WRONG_ALLOW, WRONG_DENY
from edgetwin.engine.freshness import row_of
from edgetwin.engine.rules import memory_limit
from edgetwin.engine.world import World
from edgetwin.history import OUTCOMES, Decided


def close(world: World) -> None:
    """Write what is counted, not told event by event, into the world's recorder."""
    recorder = world.recorder
    world.plane.close(world.end_us)
    for name, kind in zip(world.names, world.kinds, strict=True):
        recorder.row(
            "sites", site=name, kind=kind, control_plane=world.topology.sites[kind].control_plane
        )
    world.books.close(world.end_us, recorder)
    _writes(world)
    _volumes(world)
    _pods(world)
    _decisions(world)
    _freshness(world)
    _decision_logs(world)
    for control in world.controls:
        assert control.outbox is not None
        for drain in control.outbox.drains:
            recorder.row(
                "drains",
                site=control.name,
                heal_us=drain.heal_us,
                backlog_writes=drain.backlog_writes,
                backlog_bytes=drain.backlog_bytes,
                first_session_us=drain.first_session_us,
                drained_us=drain.drained_us,
            )
    if world.plane.kept is not None:
        _requests(world)


def _writes(world: World) -> None:
    """One row a site and collection: every write delivered, pending, pruned or kept at home."""
    store = world.store
    for control in world.controls:
        here = control.number
        assert control.outbox is not None
        for number, name in enumerate(world.collections):
            columns = [i for i, one in enumerate(store.classes) if one.collection == number]
            columns = [
                i for i in columns
                if here in world.plane.classes[store.classes[i].request_class].sites
            ]  # fmt: skip
            if not columns:
                continue
            stored, info = store.stored[here, columns], store.info[here, columns]
            synced = np.array([store.classes[i].synced for i in columns])
            delivered = np.where(synced, store.delivered[here, columns], 0)
            lost = np.where(synced, store.lost[here, columns], 0)
            kept = np.where(synced, 0, stored)
            pending = stored - delivered - lost - kept
            assert (pending >= 0).all(), (control.name, name, stored, delivered, lost, kept)
            world.recorder.row(
                "writes",
                site=control.name,
                collection=name,
                acked=int((stored - info).sum()),
                info=int(info.sum()),
                direct=int(store.direct[here, columns].sum()),
                delivered=int(delivered.sum()),
                redelivered=int(control.outbox.redelivered[columns].sum()),
                pending=int(pending.sum()),
                pruned=int(lost.sum()),
                kept=int(kept.sum()),
                stored_bytes=int(
                    sum(
                        int(n) * store.classes[i].disk_bytes
                        for n, i in zip(stored, columns, strict=True)
                    )
                ),
                left_site=bool(control.outbox.left_site[columns].any()),
            )


def _volumes(world: World) -> None:
    claims = {claim.name: claim.size_bytes for claim in world.scenario.manifests.claims}
    for control in world.controls:
        used = {
            collection.claim
            for collection in world.topology.collections.values()
            if collection.claim
        }
        full_us = int(world.store.full_us[control.number])
        if world.store.full[control.number]:
            full_us += world.end_us - control.full_since_us
        world.recorder.row(
            "volumes",
            site=control.name,
            used_bytes_max=int(world.store.used_bytes_max[control.number]),
            limit_bytes=int(world.store.limit_bytes[control.number]),
            claim_bytes=sum(claims.get(name, 0) for name in sorted(used)),
            full_us=full_us,
        )


def _pods(world: World) -> None:
    workloads = {workload.name: workload for workload in world.scenario.manifests.workloads}
    for service, names in enumerate(world.workloads_of):
        for name in names[:1]:
            behaviour = world.topology.services.get(world.service_names[service])
            each = behaviour.memory_per_request_bytes if behaviour else 0
            for control in world.controls:
                most = int(world.plane.in_pod_max[service, control.number])
                world.recorder.row(
                    "pods",
                    site=control.name,
                    workload=name,
                    in_pod_max=most,
                    memory_bytes_max=world.profile_of[name].memory_bytes + most * each,
                    limit_bytes=memory_limit(workloads[name]),
                    killed=control.kills.get(service, 0),
                    busy_us=int(world.plane.busy_us[service, control.number]),
                )


def _decisions(world: World) -> None:
    for number, revision, offline, verdicts in _asked(world):
        policy = world.request_policy(number)
        world.recorder.row(
            "decisions",
            policy=policy,
            revision="" if revision < 0 else world.revision_name(policy, revision),
            offline=offline,
            distinct=0,
            asked=int(verdicts.sum()),
            allowed=int(verdicts[ALLOW] + verdicts[WRONG_ALLOW]),
            denied=int(verdicts[DENY] + verdicts[WRONG_DENY]),
            undefined=int(verdicts[ERROR]),
            cost_us_mean=0.0,
            cost_us_max=0.0,
        )


def decided(world: World) -> list[Decided]:
    """Return which inputs were decided for each row of `decisions`: other processes have more."""
    order = [
        f"{kind}/{group}/{name}"
        for kind, site in world.topology.sites.items()
        for group, devices in site.devices.items()
        for name in devices.requests
    ]
    found = []
    for number, revision, offline, _ in _asked(world):
        one = world.plane.classes[number]
        assert one.decisions is not None
        inputs, cost_us = one.decisions.decided(revision, offline)
        found.append(Decided((order.index(one.name), revision, offline), inputs, cost_us))
    return found


def _asked(world: World) -> Iterator[tuple[int, int, bool, NDArray[np.int64]]]:
    """Yield class, revision, state and verdicts of what was asked, shape (VERDICTS,)."""
    for number, one in enumerate(world.plane.classes):
        if one.decisions is None:
            continue
        counts = one.decisions.counts(world.plane.asked_by_table(number))
        for (revision, offline), verdicts in sorted(counts.items()):
            if verdicts.sum():
                yield number, revision, offline, verdicts


def _freshness(world: World) -> None:
    for control in world.controls:
        for policy, freshness in control.freshness.items():
            releases = world.topology.policies[policy].releases
            for one in freshness.close(world.end_us):
                world.recorder.row(
                    "freshness",
                    site=control.name,
                    policy=policy,
                    revision=world.revision_name(policy, one.revision),
                    cause="restart" if one.restart else "release",
                    released_us=releases[one.revision].at_us,
                    instead="" if one.instead < 0 else world.revision_name(policy, one.instead),
                    **row_of(one, world.end_us),
                )


def _decision_logs(world: World) -> None:
    for control in world.controls:
        for policy, log in control.logs.items():
            log.catch_up(world.end_us)
            world.recorder.row(
                "decision_logs",
                site=control.name,
                policy=policy,
                made=log.made,
                uploaded=log.delivered,
                lost=log.lost,
                duplicated=log.duplicated,
                buffered=log.buffered,
            )


def _requests(world: World) -> None:
    recorder = world.recorder
    assert world.plane.kept is not None
    site = np.array([recorder.code("site", name) for name in world.names], dtype=np.int32)
    of = np.array([recorder.code("class", name) for name in world.books.classes], dtype=np.int32)
    outcome = np.array([recorder.code("outcome", name) for name in OUTCOMES], dtype=np.int32)
    number = _pod_numbers(world.plane.kept)
    for rows in world.plane.kept:
        recorder.block(
            "requests",
            {
                **rows,
                "site": site[rows["site"]],
                "class": of[rows["class"]],
                "outcome": outcome[rows["outcome"]],
                "pod": number(rows["site"], rows["pod"]),
            },
        )


def _pod_numbers(
    kept: Sequence[Mapping[str, NDArray[Any]]],
) -> Callable[[NDArray[Any], NDArray[Any]], NDArray[np.int32]]:
    """Return a function from (site, slot) to the pod's number among those its site's requests met.

    Slots are given out as sites take their turns, so their numbers tell how the run was split.
    """
    pairs = [rows["site"].astype(np.int64) << 32 | rows["pod"] for rows in kept]
    met = np.unique(np.concatenate([one[one >= 0] for one in pairs] or [np.empty(0, np.int64)]))

    def number(site: NDArray[Any], slot: NDArray[Any]) -> NDArray[np.int32]:
        first = np.searchsorted(met, site.astype(np.int64) << 32)
        own = np.searchsorted(met, site.astype(np.int64) << 32 | np.maximum(slot, 0))
        return np.where(slot < 0, slot, own - first).astype(np.int32)

    return number
