"""Attempts as columns, wherever their requests come from: blocks, retries, or earlier intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]

COLUMNS: dict[str, str] = {
    "site": "int32",
    "request_class": "int8",
    "number": "int64",
    "attempt": "int16",
    "first_us": "int64",
    "arrival_us": "int64",
    "span": "int64",
    "service_word": "uint64",
    "choice_word": "uint64",
    "key_word": "uint64",
    "verdict": "int8",
    "table": "int32",
    "duration_us": "int64",
    "slot": "int64",
    "start_us": "int64",
    "finish_us": "int64",
    "gave_up": "bool",
}
"""Columns of attempts that are kept from one interval to the next; `gave_up`: the client left."""

CLOUD_SLOT = -2
NO_SLOT = -1


class Attempts:
    """Rows from several runs, each column joined and put in order only when it is asked for."""

    def __init__(self, runs: Sequence[dict[str, Column]], order: NDArray[np.int64] | None = None):
        self._runs = [run for run in runs if run["arrival_us"].size] or list(runs[:1])
        self._order = order
        self._made: dict[str, Column] = {}
        self.size = sum(run["arrival_us"].size for run in self._runs)

    def __getitem__(self, name: str) -> Column:
        made = self._made.get(name)
        if made is None:
            runs = self._runs
            made = runs[0][name] if len(runs) == 1 else np.concatenate([run[name] for run in runs])
            if self._order is not None:
                made = made[self._order]
            self._made[name] = made
        return made

    def __setitem__(self, name: str, column: Column) -> None:
        self._made[name] = column

    def __contains__(self, name: str) -> bool:
        return name in self._made or all(name in run for run in self._runs)

    def ordered(self, order: NDArray[np.int64]) -> "Attempts":
        """Return the same rows in another order."""
        if self._order is None and not self._made:
            return Attempts(self._runs, order)
        rows = {name: self[name][order] for name in set(self._names()) | set(self._made)}
        return Attempts([rows])

    def take(self, rows: NDArray[Any]) -> dict[str, Column]:
        """Return every kept column for *rows* (numbers or a mask)."""
        return {name: self[name][rows] for name in COLUMNS}

    def _names(self) -> list[str]:
        return [name for name in self._runs[0] if all(name in run for run in self._runs)]


def empty() -> dict[str, Column]:
    """Return no rows."""
    return {name: np.empty(0, dtype=kind) for name, kind in COLUMNS.items()}


def joined(runs: Sequence[dict[str, Column]]) -> dict[str, Column]:
    """Return the rows of *runs*, one run after the other."""
    if len(runs) == 1:
        return runs[0]
    return {name: np.concatenate([run[name] for run in runs]) for name in COLUMNS}


def picked(rows: dict[str, Column], which: NDArray[Any]) -> dict[str, Column]:
    """Return *which* rows (numbers or a mask)."""
    return {name: column[which] for name, column in rows.items()}
