"""How replicas that meet agree: pure functions over states and over arrays of writes."""

from edgetwin.merge.clocks import hybrid_stamps
from edgetwin.merge.settle import (
    BOTH,
    CLOUD,
    EDGE,
    NEITHER,
    SETTLED_STRATEGIES,
    UNDECIDED,
    Settlement,
    Writes,
    decided,
    settle,
)

__all__ = [
    "BOTH",
    "CLOUD",
    "EDGE",
    "NEITHER",
    "SETTLED_STRATEGIES",
    "UNDECIDED",
    "Settlement",
    "Writes",
    "decided",
    "hybrid_stamps",
    "settle",
]
