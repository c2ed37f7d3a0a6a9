"""What meets when two sides come together again, and what they agree on: arrays over keys."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

EDGE: Final = 0
"""The edge's last write stays."""
CLOUD: Final = 1
"""The cloud's last write stays."""
BOTH: Final = 2
"""Both stay: as siblings, or because the values add up."""
NEITHER: Final = 3
"""What both sides held before they parted bears a later stamp than anything written since."""
UNDECIDED: Final = 4
"""A merge policy has to be asked; see ``decided``."""


@dataclass(frozen=True)
class Writes:
    """One side's un-synced acknowledged writes of one collection, in order of acknowledgement.

    All arrays have shape (writes,). In an ``lwwmap`` or ``orset`` collection *key* numbers the
    field or the element, because that is the unit which conflicts.
    """

    key: Integers
    """Number of the key, from 0."""
    wall_us: Integers
    """Stamp by the writer's own wall clock; may run back, may be negative."""
    time_us: Integers
    """True time since the start of the run, not falling."""
    value: Integers | None = None
    """Digest of the value; without it every two values count as different."""

    def __post_init__(self) -> None:
        shapes = {a.shape for a in (self.key, self.wall_us, self.time_us)}
        if self.value is not None:
            shapes.add(self.value.shape)
        assert shapes == {(self.key.size,)}, f"columns of different shapes: {sorted(shapes)}"
        assert not self.key.size or self.key.min() >= 0, f"key {self.key.min()} is below 0"

    def __len__(self) -> int:
        return self.key.size


@dataclass(frozen=True)
class Settlement:
    """What two sides that meet agree on. Index arrays point into the two ``Writes``, ascending."""

    strategy: str
    keys: Integers
    """Keys written on both sides, ascending; shape (keys,). The next three arrays go with it."""
    winner_side: NDArray[np.int8]
    """``EDGE``, ``CLOUD``, ``BOTH``, ``NEITHER`` or ``UNDECIDED``."""
    edge_last: Integers
    """Index of the write that the edge shows for the key when the two meet, in its writes; -1: it
    shows what both held before."""
    cloud_last: Integers
    """The same for the cloud."""
    edge_lost: Integers
    """Acknowledged edge writes silently overwritten without having been seen by the overwriter."""
    cloud_lost: Integers
    edge_revoked: Integers
    """Acknowledged edge writes that the hub rejects: they go to the edge's dead letters."""
    siblings: Integers
    """Keys that show two values afterwards."""
    wrong_winner: Integers
    """Keys where a write that nobody overwrote knowingly is later, in true time, than the winner.
    Includes keys written on one side only, whose clock stepped back."""
    edge_late: Integers
    """For each wrong winner, the latest write that lost, if it is the edge's."""
    cloud_late: Integers

    @property
    def conflicts(self) -> int:
        """Number of keys on which the two sides' writes did not know of one another."""
        return self.keys.size

    @property
    def lost(self) -> int:
        """Number of acknowledged writes silently overwritten, on both sides."""
        return self.edge_lost.size + self.cloud_lost.size


def decided(settlement: Settlement, winner_side: NDArray[np.int8]) -> Settlement:
    """Return an ``UNDECIDED`` *settlement* with the decision of a merge policy for each key.

    *winner_side*, shape (keys,): ``EDGE`` or ``CLOUD`` discards the other side's last write, which
    is then lost; ``BOTH`` keeps siblings. A merged value (decision ``merge``) is a new write that
    knows both: pass ``NEITHER``, and nothing is lost.
    """
    assert winner_side.shape == settlement.keys.shape, (winner_side.shape, settlement.keys.shape)
    return replace(
        settlement,
        winner_side=winner_side.astype(np.int8),
        edge_lost=np.sort(settlement.edge_last[winner_side == CLOUD]),
        cloud_lost=np.sort(settlement.cloud_last[winner_side == EDGE]),
        siblings=settlement.keys[winner_side == BOTH],
    )
