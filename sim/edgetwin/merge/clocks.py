"""Clocks that order writes: hybrid logical clocks and version vectors.

The rules are those of the vector file (`conflicts.yaml`, strategies `hlc` and `rego`); hybrid
logical clocks after Kulkarni et al. 2014 (facts/verification.md, 1.4).
"""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def hybrid_stamps(
    wall_us: Integers, start: tuple[int, int] | None = None
) -> tuple[Integers, Integers]:
    """Return the hybrid stamps (l, c) of one replica's writes, made in this order.

    *wall_us*, shape (writes,): its wall clock at each write, which may run back. *start*: the
    stamp its clock showed before. Both results have shape (writes,); (l, c) strictly increases.
    """
    if not wall_us.size:
        return wall_us.copy(), wall_us.copy()
    latest = np.maximum.accumulate(wall_us)
    if start is not None:
        latest = np.maximum(latest, start[0])
    at = np.arange(latest.size, dtype=np.int64)
    rises = np.append(True, latest[1:] != latest[:-1])
    counter = at - np.maximum.accumulate(np.where(rises, at, 0))
    if start is not None:
        counter[latest == start[0]] += start[1] + 1
    return latest, counter
