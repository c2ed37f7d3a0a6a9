"""The record as faults: which row of it becomes what, at which site, and when in the run."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgetwin import outages
from edgetwin.engine.site import CUTTING, Fault
from edgetwin.model import Scenario
from edgetwin.router import Cut
from edgetwin.units import MINUTE_US
from edgetwin.ways import Passage, Ways

FAULT_OF_KIND = {
    "network": "cut",
    "cellular": "cut",
    "satellite": "cut",
    "planned": "cut",
    "power": "power",
    "node": "node",
    "scheduler": "control-plane",
    "degraded": "degraded",
    "one-way-up": "cut-up",
    "one-way-down": "cut-down",
}
"""What each kind of record does (design: what a record means); `degraded` is not offline."""

AT_A_LINK = {"power": "cut", "node": "cut", "control-plane": ""}
"""What else than cuts means at a shared link, an aggregator or a risk group: they are dead,
whatever the reason; a control plane is not there."""

AT_A_NODE = {
    "cut": "node-cut", "cut-up": "node-cut", "cut-down": "node-cut", "degraded": "",
    "power": "node", "control-plane": "control-plane",
}  # fmt: skip
"""What kinds mean at one node of a site. Chosen: a half-cut node counts as cut, a degraded cable
inside a site changes nothing."""

TOGETHER_US = 5 * MINUTE_US
"""Outages that start within this of an event's first belong to it (facts/traces.md, 3)."""


@dataclass(frozen=True)
class Row:
    """One replayed outage."""

    site: str
    fault: Fault
    recorded_start_us: int
    recorded_end_us: int
    cause: str
    censored: str
    event: int


@dataclass(frozen=True)
class Replay:
    """A storm in the run's own time, which begins at 0."""

    start_epoch_us: int
    storm_end_us: int
    end_us: int
    rows: tuple[Row, ...]
    faults: Mapping[str, tuple[Fault, ...]]
    passages: Mapping[str, tuple[tuple[int, Passage], ...]]
    """Each site's way to the cloud from time 0, and from every instant at which it changes."""
    skipped: int
    """Rows that nothing in the model answers to, or that lie outside the run."""

    @property
    def count(self) -> int:
        """How many outages are replayed, one a site that they concern."""
        return len(self.rows)


def replayed(scenario: Scenario, *, seed: int, reading: str) -> Replay:
    """Return the scenario's record as faults; errors and ambiguous rows are drawn by *seed*."""
    settings = scenario.topology.outages
    recorded = scenario.record
    drawn = outages.with_drawn_errors(recorded, seed=seed)
    read = outages.read_as(drawn, reading, seed=seed, mixed_share=settings.mixed_share)
    start = recorded.window_us[0]
    storm_end = settings.duration_us or recorded.window_us[1] - start
    ways = Ways(scenario.topology, scenario.sites)
    planned: list[tuple[int, str, int, str, str, outages.Outage]] = []
    cuts: list[Cut] = []
    skipped = 0
    for one in read.outages:
        hit, what = ways.hit(one.site), FAULT_OF_KIND.get(one.kind, "")
        if hit is not None and hit.node:
            what = AT_A_NODE.get(what, what)
        elif hit is not None and one.site != hit.site:
            what = AT_A_LINK.get(what, what)
        begin = max(0, one.start_us - start)
        end = storm_end if one.end_us is None else min(one.end_us - start, storm_end)
        if hit is None or not what or end <= begin:
            skipped += 1
            continue
        if what in CUTTING:
            cuts += ways.cuts(hit, begin, end, what)
        planned += [(begin, site, end, what, hit.node, one) for site in ways.behind(hit)]
    planned.sort(key=lambda item: item[:5])
    rows, event, event_start = [], -1, -TOGETHER_US - 1
    for number, (begin, site, end, what, node, one) in enumerate(planned):
        if begin - event_start > TOGETHER_US:
            event, event_start = event + 1, begin
        rows.append(
            Row(
                site, Fault(number, begin, end, what, node), one.start_us - start,
                storm_end if one.end_us is None else one.end_us - start,
                one.cause, one.censored, event,
            )
        )  # fmt: skip
    faults: dict[str, list[Fault]] = {}
    for row in rows:
        faults.setdefault(row.site, []).append(row.fault)
    return Replay(
        start_epoch_us=start,
        storm_end_us=storm_end,
        end_us=storm_end + settings.settle_us,
        rows=tuple(rows),
        faults={site: tuple(of) for site, of in sorted(faults.items())},
        passages=ways.passages(cuts),
        skipped=skipped,
    )
