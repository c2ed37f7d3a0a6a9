"""How long decisions take on this machine. Wall times: reported, never part of a result."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgetwin.policy.policy import Policy

ROUNDS = 7
"""Rounds of a measurement; the median of their medians is less moved by a busy machine."""


@dataclass(frozen=True)
class Timing:
    """Microseconds a decision, of wall time."""

    median_us: float
    p99_us: float
    block_us: float
    """A decision's share of a block of 256."""
    decisions: int


def measure(policy: Policy, entrypoint: str, inputs: Sequence[Any], seconds: float) -> Timing:
    """Return the times of *policy* deciding *inputs* in turn, for some *seconds*."""
    decide, clock = policy.decide, time.perf_counter_ns
    singles: list[int] = []
    end_ns = clock() + round(seconds * 1e9 / 2)
    count = len(inputs)
    for given in inputs:
        decide(entrypoint, given)
    while clock() < end_ns or len(singles) < 100:
        given = inputs[len(singles) % count]
        started_ns = clock()
        decide(entrypoint, given)
        singles.append(clock() - started_ns)
    block = [inputs[place % count] for place in range(256)]
    policy.decide_many(entrypoint, block)
    blocks: list[float] = []
    end_ns = clock() + round(seconds * 1e9 / 2)
    while clock() < end_ns or len(blocks) < ROUNDS:
        started_ns = clock()
        policy.decide_many(entrypoint, block)
        blocks.append((clock() - started_ns) / len(block))
    ordered = sorted(singles)
    return Timing(
        statistics.median(ordered) / 1000,
        ordered[len(ordered) * 99 // 100] / 1000,
        statistics.median(blocks) / 1000,
        len(singles),
    )
