"""What a kubelet does, and when, after the way to its API server is open again.

Held against facts/k3s.md, 1.5 and facts/kubelet.md, 2 (47 cuts of a real kubelet 1.30.4). Where a
mechanism is known (tries that hang, pauses of 7 s) its shape is used, else the measured range.
"""

from dataclasses import dataclass
from itertools import count
from typing import Literal

from edgetwin.engine.cluster_draws import Draws
from edgetwin.units import SECOND_US

CutKind = Literal["drop", "short", "reject", "linkdown"]

DETECTED_US = 45 * SECOND_US
"""A dead connection is given up this long after its last traffic: 30 s idle and 15 s ping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal:
    """Instants after the heal, in microseconds, at which the kubelet gets through."""

    lease_us: int
    """First lease renewal."""
    status_us: int
    """First chance to post the node's status."""
    list_us: int
    """It lists its Pods: deletions and new Pods reach it."""
    pods_us: int
    """It writes the status of its Pods."""
    proxy_us: int
    """The proxy lists the endpoints; until then it keeps those from before the cut."""


def draw_heal(draws: Draws, node: str, number: int, kind: CutKind) -> Heal:
    """Return what the kubelet of *node* does after its heal *number*, from a cut of *kind*."""
    counter = count()

    def between(low_s: float, high_s: float) -> int:
        word = draws.at(f"heal/{node}/{number}", next(counter))
        return round(low_s * SECOND_US) + word % (round((high_s - low_s) * SECOND_US) + 1)

    def happens(share: float) -> bool:
        return draws.at(f"heal/{node}/{number}", next(counter)) < share * 2**64

    if kind == "short":
        # The old connection lives; its TCP retransmission timer has to run out first:
        # 4.0, 7.7 and 9.5 s after the heal (n = 3). Its watches go on where they stood.
        answer = between(4.0, 9.5)
        status = answer + between(0.0, 5.0)
        return Heal(
            lease_us=answer,
            status_us=status,
            list_us=answer,
            pods_us=answer + between(0.04, 8.6),
            proxy_us=answer,
        )
    if kind == "reject":
        # Lease tries come every 7 s, status checks every 10 s, list pauses grow to 57 s:
        # lease 0.8 / 3.4 / 5.6, Ready 3.6 / 6.8 / 9.4, list 3.5 / 10.3 / 30.8 (n = 7).
        lease = between(0.4, 7.0)
        answer = min(lease, between(0.4, 7.0))
        status = max(answer, between(3.0, 10.2))
        listed = max(answer, between(3.0, 15.0) if happens(0.7) else between(15.0, 45.0))
        proxied = max(answer, between(3.0, 15.0) if happens(0.7) else between(15.0, 45.0))
    elif kind == "linkdown":
        # Connects fail in 1.5 to 3 s: answer 0.0 / 0.3 / 0.9, lease 0.0 / 2.0 / 7.0,
        # Ready 0.0 / 0.3 / 1.0, list 0.3 / 9.3 / 38.4 (n = 5).
        answer = between(0.0, 0.9)
        lease = answer if happens(0.4) else answer + between(0.5, 6.5)
        status = answer + between(0.0, 0.2)
        listed = answer if happens(0.25) else answer + between(3.0, 38.0)
        proxied = answer if happens(0.25) else answer + between(3.0, 38.0)
    else:
        # Connects hang in SYNs that repeat each second: answer 0.0 / 0.3 / 2.0 (n = 34). Of the
        # lease renewals 30 came with it, 4 after the 7 s pause (5.0 to 7.8 s); Ready 0.0 / 1.2 /
        # 5.2; the list came with the answer in 11 of 19 cuts, else after a pause up to 48 s.
        answer = between(0.0, 0.35) if happens(0.55) else between(0.35, 1.95)
        lease = answer + between(0.01, 0.03) if happens(30 / 34) else between(5.0, 7.8)
        status = answer + (between(0.02, 0.1) if happens(0.35) else between(0.1, 4.4))
        listed = answer if happens(0.58) else answer + between(5.0, 48.0)
        proxied = answer if happens(0.58) else answer + between(5.0, 48.0)
    return Heal(
        lease_us=lease,
        status_us=status,
        list_us=listed,
        # The status follows the list by 0.04 to 8.6 s (39 of 42 heals).
        pods_us=listed + between(0.04, 8.6),
        proxy_us=proxied,
    )
