"""Small histories made by hand: two or more sites, an hour or more, outages where one says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgetwin.checks import Verdict, check
from edgetwin.history import OUTCOMES, History, Recorder
from edgetwin.model import Targets
from edgetwin.terms import CollectionTerms, RoomTerms, Terms
from edgetwin.units import DAY_US, HOUR_US, MINUTE_US

STORM_US = 100 * DAY_US
SETTLE_US = HOUR_US
CLASS = "store/till/payment"
RELEASED_US = 10 * DAY_US
FRESH_US = MINUTE_US
"""How long each site needs to take up the release."""

TERMS = Terms(
    name="shop",
    digest="0123456789abcdef",
    targets=Targets(
        offline_availability="99%",
        availability="99%",
        response_time="50ms",
        convergence="10m",
        lost_acked_writes=0,
        data_locality=True,
        policy_latency="1ms",
        policy_freshness="5m",
        capacity=True,
    ),
    collections={
        "sales": CollectionTerms(data_class="internal", retention_us=7 * DAY_US, synced=True),
        "faces": CollectionTerms(data_class="sensitive", retention_us=7 * DAY_US, synced=False),
    },
    writers={CLASS: "sales"},
    budgets_us={CLASS: 50_000},
    rooms={
        "store": RoomTerms(
            cores_requested=0.3, cores=4, memory_bytes_requested=2**28, memory_bytes=2**33
        )
    },
)
"""Every target, generous enough for `made` as it is."""


def aimed(**targets: Any) -> Terms:
    """Return `TERMS` with these targets and no other."""
    return replace(TERMS, targets=Targets(**targets))


def made(
    sites: int = 3,
    outages: int = 400,
    *,
    issued: int = 20,
    offline: Mapping[str, int] | None = None,
    serving: bool = True,
    outage_us: int = 5 * MINUTE_US,
    reading: str = "cut",
    drained_us: int = 30_000_000,
    backlog: int = 20,
) -> History:
    """Return a history in which each site is cut *outages* / *sites* times, at even distances.

    In each outage *issued* requests are made, of which *offline* says how many ended in which
    outcome (the rest ok); between outages as many, all ok. Each stores one sale.
    """
    ended = {"ok": 0, **dict.fromkeys(OUTCOMES, 0), **(offline or {})}
    ended["ok"] = issued - sum(ended.values())
    recorder = Recorder()
    each = outages // sites
    step = STORM_US // (each + 1)
    assert outage_us < step, "outages must not touch"
    spans = 0
    for number in range(sites):
        site = f"store-{number + 1:03}"
        recorder.row("sites", site=site, kind="store", control_plane="local")
        stored = answered = late = 0
        at = 0
        for k in range(each + 1):
            start = (k + 1) * step + number * (step // sites // 2)
            last = k == each
            pieces = [(at, STORM_US if last else start, False)]
            if not last:
                pieces.append((start, start + outage_us, True))
                recorder.row(
                    "outages",
                    site=site,
                    start_us=start,
                    end_us=start + outage_us,
                    recorded_start_us=start,
                    recorded_end_us=start + outage_us,
                    fault="cut",
                    cause="",
                    event=number * each + k,
                    censored="",
                )
                recorder.row(
                    "drains",
                    site=site,
                    heal_us=start + outage_us,
                    backlog_writes=backlog,
                    backlog_bytes=backlog * 464,
                    first_session_us=start + outage_us + 1_000_000,
                    drained_us=start + outage_us + drained_us if drained_us >= 0 else -1,
                )
            for begin, end, is_offline in pieces:
                counts = ended if is_offline else {**dict.fromkeys(OUTCOMES, 0), "ok": issued}
                _span(recorder, site, begin, end, is_offline, serving or not is_offline)
                recorder.row("outcomes", **_outcomes(spans, site, issued, counts))
                stored += counts["ok"]
                late += counts["late"]
                answered += counts["ok"] + counts["denied"]
                spans += 1
            at = start + outage_us
        _span(recorder, site, STORM_US, STORM_US + SETTLE_US, False, True)
        spans += 1
        _books(recorder, site, stored, answered, late)
    recorder.row(
        "decisions",
        policy="payment",
        revision="r1",
        offline=True,
        distinct=40,
        asked=1_000,
        allowed=900,
        denied=100,
        undefined=0,
        cost_us_mean=210.0,
        cost_us_max=640.0,
    )
    return recorder.history(
        {
            "edgetwin": "0.1.0",
            "digest": TERMS.digest,
            "seed": 0,
            "reading": reading,
            "start_epoch_us": 1_717_869_600_000_000,
            "storm_end_us": STORM_US,
            "end_us": STORM_US + SETTLE_US,
        }
    )


def _span(
    recorder: Recorder, site: str, start: int, end: int, offline: bool, serving: bool
) -> None:
    outage = len(recorder._rows["outages"]) - 1 if offline else -1
    recorder.row(
        "spans",
        site=site,
        start_us=start,
        end_us=end,
        offline=offline,
        degraded=False,
        powered=True,
        serving=serving,
        endpoints=3,
        uplink="" if offline else "fibre",
        store_full=False,
        outage=outage,
    )


def _outcomes(span: int, site: str, issued: int, counts: Mapping[str, int]) -> dict[str, Any]:
    return {
        "span": span,
        "site": site,
        "class": CLASS,
        "issued": issued,
        **counts,
        "attempts": issued,
        "forwarded": 0,
        "wrongly_allowed": 0,
        "wrongly_denied": 0,
    }


def _books(recorder: Recorder, site: str, stored: int, answered: int, late: int) -> None:
    for offline, le_us, count in ((False, 12_159, answered), (True, 200_703, late)):
        if count:
            recorder.row(
                "latency",
                **{"site": site, "class": CLASS, "offline": offline, "le_us": le_us},
                count=count,
            )
    nothing = {
        "info": 0, "direct": 0, "delivered": 0, "redelivered": 0, "pending": 0, "pruned": 0,
        "kept": 0, "left_site": False,
    }  # fmt: skip
    sales = {"acked": stored, "delivered": stored, "stored_bytes": stored * 500, "left_site": True}
    recorder.row("writes", site=site, collection="sales", **{**nothing, **sales})
    _release(recorder, site)
    faces = {"acked": 50, "kept": 50, "stored_bytes": 50 * 500}
    recorder.row("writes", site=site, collection="faces", **{**nothing, **faces})
    recorder.row(
        "volumes",
        site=site,
        used_bytes_max=2**30,
        limit_bytes=30 * 2**30,
        claim_bytes=10 * 2**30,
        full_us=0,
    )
    recorder.row(
        "pods",
        site=site,
        workload="edge-service",
        in_pod_max=4,
        memory_bytes_max=200 * 2**20,
        limit_bytes=512 * 2**20,
        killed=0,
        busy_us=10**9,
    )


def _release(recorder: Recorder, site: str) -> None:
    active_us = RELEASED_US + FRESH_US
    recorder.row(
        "activations",
        time_us=active_us,
        site=site,
        policy="payment",
        revision="r2",
        released_us=RELEASED_US,
    )
    recorder.row(
        "freshness",
        site=site,
        policy="payment",
        revision="r2",
        cause="release",
        released_us=RELEASED_US,
        since_us=RELEASED_US,
        active_us=active_us,
        stopped_us=0,
        lag_us=FRESH_US,
        stuck_us=-1,
        instead="r1",
        stale=10,
        wrongly_allowed=1,
        wrongly_denied=2,
        undecided=0,
    )


def edited(
    history: History, table: str, **columns: Sequence[int] | np.ndarray[Any, Any]
) -> History:
    """Return *history* with these columns of *table* put in the place of its own: a lie."""
    kept = history.tables[table]
    changed = {
        name: np.asarray(values).astype(kept[name].dtype) for name, values in columns.items()
    }
    return replace(history, tables={**history.tables, table: {**kept, **changed}})


def changed(history: History, row: int, **by: int) -> History:
    """Return *history* with the counts of one *row* of `writes` moved by so much: a lie."""
    columns = {}
    for name, amount in by.items():
        columns[name] = history.column("writes", name).copy()
        columns[name][row] += amount
    return edited(history, "writes", **columns)


def judged(name: str, history: History, given: Terms = TERMS) -> Verdict:
    """Return the verdict of the check *name*."""
    return check(given, history)[name]
