"""Are disk, retention, memory and processors enough for this storm?"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetwin.checks.storm import Storm
from edgetwin.checks.verdict import EVIDENCE_ROWS_MAX, Evidence, Result, SiteResult, Verdict
from edgetwin.terms import Terms
from edgetwin.units import duration_text, size_text


def capacity(terms: Terms, storm: Storm) -> Verdict | None:
    """Every shortage that the run shows, or that its rates would bring within the retention.

    A volume that filled, or holds more than its claim asks for; an outage longer than a
    retention; memory over a limit or a kill; more requested than the nodes have. UNKNOWN where
    the history says nothing of volumes and Pods.
    """
    if terms.targets.capacity is None:
        return None
    shortages = [
        *_volumes(terms, storm),
        *_retention(terms, storm),
        *_memory(storm),
        *_rooms(terms, storm),
    ]
    looked_at = storm.history.rows("volumes") + storm.history.rows("pods")
    short = {piece.site for piece in shortages}
    if shortages:
        result = Result.FAIL
        first = shortages[0]
        at = f" at {first.site}" if first.site else ""
        reason = f"{len(shortages)} shortages at {len(short)} sites; first: {first.what}{at}"
    elif looked_at:
        result, reason = Result.PASS, _headroom(storm)
    else:
        result, reason = Result.UNKNOWN, "no volume and no Pod was seen"
    seen = set(storm.site_of("volumes").tolist()) | set(storm.site_of("pods").tolist())
    return Verdict(
        name="capacity",
        result=result,
        reason=reason,
        value=len(shortages) if looked_at else None,
        target=0,
        unit="shortages",
        evidence=tuple(shortages[:EVIDENCE_ROWS_MAX]),
        sites=tuple(
            SiteResult(
                site=name,
                result=Result.FAIL
                if name in short
                else Result.PASS
                if number in seen
                else Result.UNKNOWN,
                value=sum(piece.site == name for piece in shortages),
            )
            for number, name in enumerate(storm.sites)
        ),
        details={"shortages": len(shortages), "sites": len(short)},
    )


def _volumes(terms: Terms, storm: Storm) -> Iterator[Evidence]:
    """Volumes that filled, or hold or would hold more than their disk or claim."""
    history, sites = storm.history, storm.site_of("volumes")
    column = history.tables["volumes"]
    growth = _growth_bytes(terms, storm)
    for row, site in enumerate(sites.tolist()):
        used, limit = int(column["used_bytes_max"][row]), int(column["limit_bytes"][row])
        claim, full_us = int(column["claim_bytes"][row]), int(column["full_us"][row])
        known: dict[str, Any] = {
            "site": storm.sites[site],
            "start_us": 0,
            "end_us": storm.run_end_us,
        }
        later = used + int(growth[site])
        if full_us > 0 or used > limit:
            what = f"volume full for {duration_text(full_us)}: {size_text(used)} on a disk with "
            yield Evidence(what=what + size_text(limit), number=used, **known)
        elif claim and used > claim:
            what = f"volume holds {size_text(used)}, its claim asks for {size_text(claim)}"
            yield Evidence(what=what, number=used, **known)
        elif later > (room := min(limit, claim or limit)):
            what = f"volume would reach {size_text(later)} within the retention, "
            what += f"{'claim' if room == claim else 'disk'} {size_text(room)}"
            yield Evidence(what=what, number=later, **known)


def _growth_bytes(terms: Terms, storm: Storm) -> NDArray[np.int64]:
    """Return what each site would store in the part of the retention that the run left out."""
    history = storm.history
    collections = history.text("writes", "collection")
    run_us = max(storm.run_end_us, 1)
    retention = np.array(
        [
            terms.collections[name].retention_us if name in terms.collections else 0
            for name in collections
        ],
        dtype=np.float64,
    )
    more = np.maximum(retention / run_us - 1, 0) * history.column("writes", "stored_bytes")
    return storm.by_site(storm.site_of("writes"), more)


def _retention(terms: Terms, storm: Storm) -> Iterator[Evidence]:
    """Outages longer than the retention of what a site writes and is meant to deliver."""
    history, units = storm.history, storm.units
    collections = history.text("writes", "collection")
    column = history.tables["writes"]
    for row, site in enumerate(storm.site_of("writes").tolist()):
        collection = terms.collections.get(str(collections[row]))
        stays = column["kept"][row] and not column["delivered"][row] + column["pending"][row]
        stored = column["acked"][row] + column["info"][row]
        mine = np.flatnonzero(units.site == site)
        if collection is None or not collection.synced or stays or not stored or not len(mine):
            continue
        longest = mine[np.argmax(units.offline_us[mine])]
        offline_us = int(units.offline_us[longest])
        if offline_us > collection.retention_us or column["pruned"][row]:
            yield Evidence(
                what=f"retention of {collections[row]} is "
                f"{duration_text(collection.retention_us)}, the longest outage "
                f"{duration_text(offline_us)}, {int(column['pruned'][row]):,} writes pruned "
                "before delivery",
                number=int(column["pruned"][row]),
                site=storm.sites[site],
                start_us=int(units.start_us[longest]),
                end_us=int(units.end_us[longest]),
            )


def _memory(storm: Storm) -> Iterator[Evidence]:
    """Pods that the kernel killed, or that came to their limit."""
    history = storm.history
    column, workload = history.tables["pods"], history.text("pods", "workload")
    for row, site in enumerate(storm.site_of("pods").tolist()):
        most, limit = int(column["memory_bytes_max"][row]), int(column["limit_bytes"][row])
        killed = int(column["killed"][row])
        if killed or (limit and most > limit):
            yield Evidence(
                what=f"{workload[row]} used {size_text(most)} with {int(column['in_pod_max'][row])}"
                f" requests in one Pod, limit {size_text(limit)}; killed {killed} times",
                number=most,
                site=storm.sites[site],
                start_us=0,
                end_us=storm.run_end_us,
            )


def _rooms(terms: Terms, storm: Storm) -> Iterator[Evidence]:
    """Kinds of site whose Pods request more than their nodes have; one piece a kind."""
    for kind, room in terms.rooms.items():
        named = next((s for s, k in zip(storm.sites, storm.kinds, strict=True) if k == kind), "")
        if room.cores_requested > room.cores:
            what = f"Pods of {kind} request {room.cores_requested:g} cores, its nodes have "
            yield Evidence(what=what + f"{room.cores:g}", number=room.cores_requested, site=named)
        if room.memory_bytes_requested > room.memory_bytes:
            what = f"Pods of {kind} request {size_text(room.memory_bytes_requested)} of memory, "
            yield Evidence(
                what=what + f"its nodes have {size_text(room.memory_bytes)}",
                number=room.memory_bytes_requested,
                site=named,
            )


def _headroom(storm: Storm) -> str:
    """Say how much was left of the fullest volume and of the tightest memory limit."""
    volumes, pods = storm.history.tables["volumes"], storm.history.tables["pods"]
    parts = []
    room = np.where(
        volumes["claim_bytes"] > 0,
        np.minimum(volumes["claim_bytes"], volumes["limit_bytes"]),
        volumes["limit_bytes"],
    )
    if len(room):
        share = volumes["used_bytes_max"] / np.maximum(room, 1)
        row = int(share.argmax())
        parts.append(
            f"fullest volume {size_text(int(volumes['used_bytes_max'][row]))} of "
            f"{size_text(int(room[row]))}"
        )
    limited = np.flatnonzero(pods["limit_bytes"] > 0)
    if len(limited):
        share = pods["memory_bytes_max"][limited] / pods["limit_bytes"][limited]
        row = int(limited[share.argmax()])
        parts.append(
            f"tightest memory {size_text(int(pods['memory_bytes_max'][row]))} of "
            f"{size_text(int(pods['limit_bytes'][row]))}"
        )
    return ", ".join(parts) or "nothing ran short"
