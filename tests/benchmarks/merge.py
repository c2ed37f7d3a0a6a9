"""Measure ``settle``: a million writes on a hundred thousand keys, every strategy.

Run it with ``python tests/benchmarks/merge.py``; prints seconds of CPU, the best of three.
"""

import time

import numpy as np

from edgetwin.merge import SETTLED_STRATEGIES, Settlement, Writes, settle

WRITES = 1_000_000
KEYS = 100_000


def side(seed: int, *, step_back: bool) -> Writes:
    """Return half of the writes, uniform over the keys, spread over a day; clocks may step back."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    time_us = np.sort(rng.integers(0, 86_400_000_000, WRITES // 2))
    wall_us = time_us.copy()
    if step_back:
        wall_us[WRITES // 4 :] -= 3_600_000_000
    return Writes(rng.integers(0, KEYS, WRITES // 2), wall_us, time_us)


def measured(strategy: str, *, step_back: bool) -> tuple[float, Settlement]:
    edge, cloud = side(1, step_back=step_back), side(2, step_back=False)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        settlement = settle(strategy, edge, cloud, edge_id="edge1", cloud_id="cloud")
        seconds.append(time.process_time() - start)
    return min(seconds), settlement


if __name__ == "__main__":
    for strategy in SETTLED_STRATEGIES:
        for step_back in (False, True):
            cpu_s, settlement = measured(strategy, step_back=step_back)
            clock = "a clock stepped back" if step_back else "clocks in step"
            print(
                f"{strategy:11} {clock:21} {cpu_s:.3f} s CPU, {settlement.conflicts} keys met, "
                f"{settlement.lost} writes lost, {settlement.edge_revoked.size} revoked"
            )
