"""Attempts as columns, wherever their requests come from: blocks, retries, or earlier intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]

COLUMNS: dict[str, str] = {
    "site": "int64",
    "request_class": "int64",
    "number": "int64",
    "attempt": "int16",
    "first_us": "int64",
    "arrival_us": "int64",
    "span": "int64",
    "service_word": "uint64",
    "choice_word": "uint64",
    "key_word": "uint64",
    "verdict": "int64",
    "table": "int64",
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
    """Rows whose columns are joined, ordered and picked only when somebody asks for them."""

    def __init__(
        self,
        runs: Sequence[dict[str, Column]],
        *,
        source: "Attempts | None" = None,
        rows: NDArray[Any] | None = None,
    ) -> None:
        """Take *runs* one after the other, or of *source* the *rows* (numbers, in any order)."""
        self._runs = [run for run in runs if run["arrival_us"].size] or list(runs[:1])
        self._source = source
        self._rows = rows
        self._between: tuple[Attempts, NDArray[np.int64]] | None = None
        """The rows from which these were ordered, if those have a source of their own."""
        self._made: dict[str, Column] = {}
        if rows is None:
            self.size = sum(run["arrival_us"].size for run in self._runs)
        else:
            self.size = rows.size

    def __getitem__(self, name: str) -> Column:
        made = self._made.get(name)
        if made is None:
            if self._between is not None and self._between[0]._has_made(name):
                made = self._between[0][name][self._between[1]]
            elif self._source is not None:
                made = self._source[name][self._rows]
            elif len(self._runs) == 1:
                made = self._runs[0][name]
            else:
                made = np.concatenate([run[name] for run in self._runs])
            self._made[name] = made
        return made

    def __setitem__(self, name: str, column: Column) -> None:
        self._made[name] = column

    def __contains__(self, name: str) -> bool:
        if name in self._made:
            return True
        if self._between is not None and self._between[0]._has_made(name):
            return True
        if self._source is not None:
            return name in self._source
        return all(name in run for run in self._runs)

    def _has_made(self, name: str) -> bool:
        """Say whether a column was made or set here or in rows that these were ordered from."""
        if name in self._made:
            return True
        return self._between is not None and self._between[0]._has_made(name)

    def ordered(self, rows: NDArray[np.int64]) -> "Attempts":
        """Return *rows* of these, in that order."""
        if self._source is not None and self._rows is not None:
            # What has not been picked yet is picked once, from where it is.
            made = Attempts([], source=self._source, rows=self._rows[rows])
            made._between = (self, rows)
            return made
        return Attempts([], source=self, rows=rows)


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
