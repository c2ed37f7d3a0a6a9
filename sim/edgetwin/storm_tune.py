"""Draws storms beside a record: to compare them with it, and to adjust their laws to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgetwin.climate import Climate, Trait, climate, spread, traits
from edgetwin.outages import Record, unwatched
from edgetwin.storms import Gaps, Rates, StormSpec, generate

TUNING_ROUNDS, TUNING_RUNS = 8, 12
"""Rounds in which the laws are adjusted, and storms drawn in each. Chosen: the mean of the gap
variation then moves by less than its own error."""

TUNING_RUNS_MIN, TUNING_OUTAGES = 3, 30_000
"""Large records need fewer storms: about so many outages a round. Chosen: a fit then takes under a
minute for 35,000 outages."""


@dataclass(frozen=True)
class Choice:
    """Which law was taken for what, and how well it fits."""

    what: str
    law: str
    ks: float
    """Of the best law, taken or not."""
    reason: str


@dataclass(frozen=True)
class Compared:
    """One number of the record against the same number of the storms drawn."""

    trait: Trait
    low: float
    middle: float
    high: float
    """The 5 %, 50 % and 95 % quantiles over the storms."""

    @property
    def inside(self) -> bool:
        """Whether the record's own number lies in the central 90 %."""
        return self.low <= self.trait.value <= self.high


def compare(record: Record, spec: StormSpec, *, runs: int = 100, seed: int = 0) -> list[Compared]:
    """Draw *runs* storms from *spec* over the sites and window of *record*, and compare."""
    real = traits(climate(record))
    drawn = [
        [trait.value for trait in traits(climate(_like(record, spec, seed + run)))]
        for run in range(runs)
    ]
    return [
        Compared(trait, *spread([values[k] for values in drawn])) for k, trait in enumerate(real)
    ]


def _like(record: Record, spec: StormSpec, seed: int) -> Record:
    """Draw a storm over the sites, window and unknown time of *record*."""
    start_us, end_us = record.window_us
    drawn = generate(spec, record.group_of(), start_us, end_us - start_us, seed)
    return unwatched(drawn, record.unknown) if record.unknown else drawn


def tuned(
    spec: StormSpec, record: Record, seen: Climate, seed: int, choices: list[Choice]
) -> StormSpec:
    """Adjust rate, shared share and burstiness until drawn storms have the record's on average."""
    real = {trait.name: trait.value for trait in traits(seen)}
    burst = 1.0
    for _ in range(TUNING_ROUNDS):
        mean = _means(record, spec, seed)
        if mean["rate"] > 0:
            spec = _rescaled(spec, real["rate"] / mean["rate"])
        if spec.shared.hits and 0 < mean["start together"] < 1:
            # Odds move the share without leaving 0..1.
            odds = _odds(real["start together"]) / _odds(mean["start together"])
            share = _odds(spec.shared.share) * odds
            shared = spec.shared.model_copy(
                update={"share": round(min(max(share / (1 + share), 0.005), 0.95), 4)}
            )
            spec = spec.model_copy(update={"shared": shared})
        if real["gap variation"] > 0 and mean["gap variation"] > 0:
            step = (real["gap variation"] / mean["gap variation"]) ** 1.5
            spec, burst = _burstier(spec, step), burst * step
    if abs(burst - 1) > 0.02:
        choices.append(
            Choice("gaps", spec.gaps.law, 0.0, f"made {burst:.2f} times as bursty, so that own and "
                   "shared outages together vary as the record's")
        )  # fmt: skip
    return spec


def _odds(share: float) -> float:
    share = min(max(share, 1e-3), 1 - 1e-3)
    return share / (1 - share)


def _means(record: Record, spec: StormSpec, seed: int) -> dict[str, float]:
    """Return each trait's median over a few storms, of always the same seeds."""
    size = max(1, len(record.outages) + len(record.sites))
    runs = min(TUNING_RUNS, max(TUNING_RUNS_MIN, TUNING_OUTAGES // size))
    drawn = [traits(climate(_like(record, spec, seed + 1_000_000 + run))) for run in range(runs)]
    return {
        drawn[0][k].name: float(np.median([found[k].value for found in drawn]))
        for k in range(len(drawn[0]))
    }


def _rescaled(spec: StormSpec, factor: float) -> StormSpec:
    rates = spec.rates
    changed: Rates
    if rates.values is not None:
        values = tuple(round(value * factor, 5) for value in rates.values)
        changed = rates.model_copy(update={"values": values})
    else:
        median = round(rates.median_per_month * factor, 5)
        changed = rates.model_copy(update={"median_per_month": median})
    return spec.model_copy(update={"rates": changed})


def _burstier(spec: StormSpec, factor: float) -> StormSpec:
    """Return *spec* with gaps whose logarithms spread *factor* times as wide."""
    gaps = spec.gaps
    changed: Gaps
    if gaps.values is not None:
        powers = np.maximum(np.asarray(gaps.values), 1e-9) ** min(max(factor, 0.5), 2.0)
        values = tuple((powers / powers.mean()).round(6).tolist())
        changed = gaps.model_copy(update={"values": values})
    elif gaps.sigma is not None:
        changed = gaps.model_copy(update={"sigma": round(min(gaps.sigma * factor, 5.0), 4)})
    elif gaps.shape is not None:
        shape = round(min(max(gaps.shape / factor, 0.1), 20.0), 4)
        changed = gaps.model_copy(update={"shape": shape})
    else:
        changed = Gaps.model_validate({"law": "gamma", "shape": round(1 / factor, 4)})
    return spec.model_copy(update={"gaps": changed})
