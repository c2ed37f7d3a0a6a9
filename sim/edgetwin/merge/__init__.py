"""How replicas that meet agree: pure functions over states and over arrays of writes."""

from edgetwin.merge.clocks import hybrid_stamps
from edgetwin.merge.settle import SETTLED_STRATEGIES, settle
from edgetwin.merge.settlement import (
    BOTH,
    CLOUD,
    EDGE,
    NEITHER,
    UNDECIDED,
    Settlement,
    Writes,
    decided,
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
