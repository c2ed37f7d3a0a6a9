"""Which conflict strategy permits which anomaly, measured: many random storms, every check on each.

A storm is drawn once from its seed and played under every strategy: the same sites, instants, keys,
cuts, lost acknowledgements and clocks, in the operations that the strategy's data type has. Then
all is healed and synchronised, and the key-level checks judge the history. A share of 0 is a
measurement over these storms, not a proof; a share above 0 is one.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from edgetwin.checks.consistency import check_consistency
from edgetwin.checks.verdict import Result, Verdict
from edgetwin.engine.replica import Lost, ReplicaPlace, ReplicaWorld
from edgetwin.engine.replicas_site import ReplicaOptions
from edgetwin.merge.by_policy import MergePolicy
from edgetwin.operations import OperationHistory, Verb
from edgetwin.units import SECOND_US

SITES: Final = ("edge1", "edge2")
STORM_US: Final = 600 * SECOND_US
"""Length of a storm. Chosen: ten sync intervals of the reference deployment (60 s)."""
SYNC_US: Final = 60 * SECOND_US
OPERATIONS: Final = 40
"""Client operations in a storm. Chosen: some ten per key, so that most keys are contended."""
KEYS: Final = 3
READ_SHARE: Final = 0.35
BLIND_SHARE: Final = 0.0
"""Share of writes by clients that did not read. Chosen: none, so that what is lost is the doing of
the strategy; a client that overwrites blindly loses updates under any strategy but siblings."""
ACK_LOST_SHARE: Final = 0.1
CLOCK_SHARE: Final = 0.5
"""Share of storms in which an edge's clock is off. Chosen, as the other shares here."""
CLOCK_OFFSET_US_MAX: Final = 120 * SECOND_US
ONE_WAY_SHARE: Final = 0.25
CROSSING_SHARE: Final = 0.25
"""Share of syncs whose two payloads cross in flight, so that both sides settle what they met."""
TOMBSTONE_RETENTION_US: Final = 60 * SECOND_US
"""Retention of the variants that collect tombstones; shorter than most cuts here, on purpose."""
OUTBOX_OPS: Final = 3


@dataclass(frozen=True)
class Client:
    """One client operation, before it has a verb."""

    time_us: int
    site: str
    key: str
    session: str
    is_read: bool
    blind: bool
    choice: float
    """In 0..1: which verb, element or field."""


@dataclass(frozen=True)
class AnomalyStorm:
    """What happens to three replicas; drawn, not yet played."""

    seed: int
    offsets_us: Mapping[str, int]
    clients: tuple[Client, ...]
    cuts: tuple[tuple[int, int, str, bool], ...]
    """(start, end, site, whether only the way to the cloud is cut)."""
    syncs: tuple[tuple[int, str, Lost, bool], ...]
    """(time, site, what is lost, whether the two payloads cross in flight)."""


def drawn(seed: int, *, blind_share: float = BLIND_SHARE) -> AnomalyStorm:
    """Return the storm of *seed*; each client stays at one site, so that sessions can be kept."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    offsets_us = {}
    for site in SITES:
        offset_us = int(rng.integers(-CLOCK_OFFSET_US_MAX, CLOCK_OFFSET_US_MAX))
        offsets_us[site] = offset_us if rng.random() < CLOCK_SHARE else 0
    clients = [_client(rng, blind_share) for _ in range(OPERATIONS)]
    cuts, syncs = [], []
    for site in SITES:
        start_us = int(rng.integers(0, STORM_US // 2))
        length_us = int(rng.integers(SYNC_US, STORM_US // 2))
        cuts.append((start_us, start_us + length_us, site, bool(rng.random() < ONE_WAY_SHARE)))
        phase_us = int(rng.integers(0, SYNC_US))
        for time_us in range(phase_us, STORM_US, SYNC_US):
            lose: Lost = "ack" if rng.random() < ACK_LOST_SHARE else "none"
            syncs.append((time_us, site, lose, bool(rng.random() < CROSSING_SHARE)))
    clients.sort(key=lambda one: one.time_us)
    return AnomalyStorm(seed, offsets_us, tuple(clients), tuple(cuts), tuple(syncs))


def _client(rng: np.random.Generator, blind_share: float) -> Client:
    site = ("cloud", *SITES)[int(rng.integers(1 + len(SITES)))]
    return Client(
        time_us=int(rng.integers(0, STORM_US)),
        site=site,
        key=f"key{rng.integers(KEYS)}",
        session=f"{site}/client{rng.integers(2)}",
        is_read=bool(rng.random() < READ_SHARE),
        blind=bool(rng.random() < blind_share),
        choice=float(rng.random()),
    )


@dataclass(frozen=True)
class Variant:
    """A row of the table: a strategy with its options."""

    name: str
    strategy: str
    options: ReplicaOptions = field(default_factory=ReplicaOptions)
    collects: bool = False
    """Whether the cloud collects tombstones at every sync."""


VARIANTS: Final = (
    Variant("lww", "lww"),
    Variant(
        "lww, tombstones 60 s",
        "lww",
        ReplicaOptions(sync_mode="full", retention_us=TOMBSTONE_RETENTION_US),
        collects=True,
    ),
    Variant("hlc", "hlc"),
    Variant("cloud-wins", "cloud-wins"),
    Variant("edge-wins", "edge-wins"),
    Variant("edge-wins, no dedupe", "edge-wins", ReplicaOptions(dedupe=False)),
    Variant("siblings", "siblings"),
    Variant("lwwmap", "lwwmap"),
    Variant("lwwmap, wall stamps", "lwwmap", ReplicaOptions(stamp="wall")),
    Variant("orset", "orset"),
    Variant("gcounter", "gcounter"),
    Variant("pncounter", "pncounter"),
    Variant("counter-op", "counter-op"),
    Variant("counter-op, no dedupe", "counter-op", ReplicaOptions(dedupe=False)),
    Variant("lww counter", "lww"),
    Variant("stream", "stream"),
    Variant("stream, outbox 3", "stream", ReplicaOptions(buffer_ops=OUTBOX_OPS)),
)
"""The rows. ``rego`` needs a policy: see ``with_policy``."""


def with_policy(name: str, *, central: bool = False) -> Variant:
    """Return the row for the merge policy *name*, asked everywhere or only at the cloud."""
    resolver: Literal["cloud", "every"] = "cloud" if central else "every"
    label = f"rego {name}" + (", at the cloud" if central else "")
    return Variant(label, "rego", ReplicaOptions(policy=name, resolver=resolver))


def _register(one: Client, number: int) -> tuple[Verb, Any, str | None]:
    return ("del", None, None) if one.choice < 0.2 else ("put", number, None)


def _map(one: Client, number: int) -> tuple[Verb, Any, str | None]:
    if one.choice < 0.1:
        return "del", None, None
    name = f"field{int(one.choice * 100) % 2}"
    return ("delf", None, name) if one.choice < 0.25 else ("setf", number, name)


def _set(one: Client, number: int) -> tuple[Verb, Any, str | None]:
    element = f"element{int(one.choice * 100) % 3}"
    return ("rem" if one.choice < 0.35 else "add", element, None)


def _count(one: Client, number: int) -> tuple[Verb, Any, str | None]:
    return "inc", 1 + int(one.choice * 5), None


def _count_both_ways(one: Client, number: int) -> tuple[Verb, Any, str | None]:
    return "inc", int(one.choice * 11) - 5, None


def _emit(one: Client, number: int) -> tuple[Verb, Any, str | None]:
    return "emit", number, None


_VERBS: Final[dict[str, Callable[[Client, int], tuple[Verb, Any, str | None]]]] = {
    "lwwmap": _map,
    "orset": _set,
    "gcounter": _count,
    "pncounter": _count_both_ways,
    "counter-op": _count,
    "stream": _emit,
    "lww counter": _count,
}


def played(
    storm: AnomalyStorm, variant: Variant, policies: Mapping[str, MergePolicy] | None = None
) -> OperationHistory:
    """Return what happens when *storm* meets *variant*: the storm, then quiet."""
    places = {site: ReplicaPlace("edge", storm.offsets_us[site]) for site in SITES}
    world = ReplicaWorld(
        {"cloud": ReplicaPlace("cloud"), **places},
        variant.strategy,
        no_link=[SITES],
        options=variant.options,
        policies=policies,
    )
    steps: list[tuple[int, int, Callable[[], Any]]] = []

    def at(time_us: int, order: int, act: Callable[..., Any], *rest: Any, **how: Any) -> None:
        steps.append((time_us, order, lambda: act(time_us, *rest, **how)))

    # Of one instant: links first, then clients, then synchronisation.
    for start_us, end_us, site, one_way in storm.cuts:
        at(start_us, 0, world.cut_oneway if one_way else world.cut, site, "cloud")
        at(end_us, 0, world.heal, site, "cloud")
    for number, one in enumerate(storm.clients):
        verb, argument, name = _VERBS.get(variant.name, _VERBS.get(variant.strategy, _register))(
            one, number
        )
        if one.is_read and verb == "emit":
            continue  # nobody reads an outbox
        if one.is_read:
            how = {"name": f"r{number}", "session": one.session}
            at(one.time_us, 1, world.read, one.site, one.key, **how)
        else:
            at(
                one.time_us, 1, world.write, one.site, verb, one.key, argument,
                name=f"w{number}", field=name, session=one.session, blind=one.blind,
            )  # fmt: skip
    for time_us, site, lose, crossing in storm.syncs:
        at(time_us, 2, world.exchange if crossing else world.sync, site, "cloud", lose=lose)
        if variant.collects:
            at(time_us, 3, world.collect, "cloud")
    for quiet in range(3):
        for site in SITES:
            at(STORM_US * 2 + quiet, 2, world.sync, site, "cloud")
    for _, _, step in sorted(steps, key=lambda one: one[:2]):
        step()
    return world.history()


def merge_policy(path: str | os.PathLike[str]) -> tuple[str, MergePolicy]:
    """Return the name and the decision of the merge policy in the bundle *path*.

    A decision that ends in an error, such as two rules that give different values, is none.
    """
    from edgetwin.policy import UNDEFINED, DecisionError, Policy, load_bundle

    policy = Policy(load_bundle(path))

    def decide(asked: Mapping[str, Any]) -> Mapping[str, Any] | None:
        try:
            decision = policy.decide("sync/merge", dict(asked))
        except DecisionError:
            return None
        return decision if decision is not UNDEFINED and isinstance(decision, dict) else None

    return Path(path).name.removesuffix(".tar.gz"), decide


@dataclass(frozen=True)
class AnomalyRow:
    """What the checks found for one variant."""

    variant: Variant
    storms: int
    failed: Mapping[str, int]
    """Check to the number of storms it failed in."""
    judged: Mapping[str, int]
    """Check to the number of storms in which it saw enough to pass or fail."""
    first_seed: Mapping[str, int]
    """Check to the first seed that fails it."""


def measured(
    variants: Sequence[Variant],
    seeds: Sequence[int],
    policies: Mapping[str, MergePolicy] | None = None,
    *,
    staleness_bound_us: int = SYNC_US * 2,
    blind_share: float = BLIND_SHARE,
) -> list[AnomalyRow]:
    """Return one row per variant: all checks over the storms of *seeds*."""
    rows = []
    storms = [drawn(seed, blind_share=blind_share) for seed in seeds]
    for variant in variants:
        failed: Counter[str] = Counter()
        judged: Counter[str] = Counter()
        first: dict[str, int] = {}
        for storm in storms:
            history = played(storm, variant, policies)
            verdicts = check_consistency(history, staleness_bound_us=staleness_bound_us)
            for name, verdict in verdicts.items():
                _count_verdict(name, verdict, storm.seed, failed, judged, first)
        rows.append(AnomalyRow(variant, len(storms), failed, judged, first))
    return rows


def _count_verdict(
    name: str,
    verdict: Verdict,
    seed: int,
    failed: Counter[str],
    judged: Counter[str],
    first: dict[str, int],
) -> None:
    judged[name] += verdict.result is not Result.UNKNOWN
    if verdict.result is Result.FAIL:
        failed[name] += 1
        first.setdefault(name, seed)


COLUMNS: Final = {
    "convergence": "diverges",
    "no_lost_acked_writes": "write lost",
    "no_lost_updates": "update lost",
    "no_revoked_acks": "ack revoked",
    "no_resurrected_deletes": "delete undone",
    "read_your_writes": "own write unseen",
    "monotonic_reads": "read goes back",
    "causal_order": "effect first",
    "exactly_once": "miscounted",
    "order_preserved": "overtaken",
    "real_time_winner": "wrong winner",
}
"""Check to the heading of its column: the anomaly that its failure is."""


def table(rows: Sequence[AnomalyRow]) -> list[list[str]]:
    """Return heading and rows as text: the share of judged storms with the anomaly.

    ``-``: no storm was judged, because the data type has no such thing. ``0``: none of them;
    ``<1 %``: some.
    """
    return [
        ["strategy", *COLUMNS.values()],
        *([row.variant.name, *(_share(row, check) for check in COLUMNS)] for row in rows),
    ]


def _share(row: AnomalyRow, check: str) -> str:
    failed, judged = row.failed.get(check, 0), row.judged.get(check, 0)
    if not judged:
        return "-"
    if not failed:
        return "0"
    return f"{failed / judged:.0%}".replace("%", " %") if failed * 100 >= judged else "<1 %"
