"""Decisions counted by site: those that a replaced revision made, and those that a log keeps.

The plane counts every decision by class and table. This counts fewer things by site too, and only
while there is something to count: a table that is stale, or a log that somebody asked for.
"""

import numpy as np
from numpy.typing import NDArray

from edgetwin.engine.decisions import VERDICTS


class Tally:
    """Counts of *sites*; a class of requests has at most *tables* decision tables."""

    def __init__(self, *, sites: int, classes: int, tables: int) -> None:
        self._sites = sites
        self._classes = classes
        self._tables = tables
        self._release_of_table = np.full(classes * tables, -1, dtype=np.int64)
        self._stale_tables = np.empty(0, dtype=np.int64)
        self.stale = np.zeros((0, sites, VERDICTS), dtype=np.int64)
        """By release (counted over all policies), site and verdict: decided by another one."""
        self.logged: NDArray[np.int64] | None = None
        """By class and site: decisions of the site's own agents; None: no log wants them."""

    def follow(self, releases: int) -> None:
        """Count stale decisions of so many releases."""
        self.stale = np.zeros((releases, self._sites, VERDICTS), dtype=np.int64)

    def log(self) -> None:
        """Count the decisions of every class by site from now on."""
        self.logged = np.zeros((self._classes, self._sites), dtype=np.int64)

    def declare_stale(self, request_class: int, table: int, release: int) -> None:
        """In *table* another revision, or none, decides while *release* is the cloud's."""
        at = request_class * self._tables + table
        if self._release_of_table[at] < 0:
            self._release_of_table[at] = release
            self._stale_tables = np.flatnonzero(self._release_of_table >= 0)

    def wants(self, counts: NDArray[np.int64]) -> bool:
        """Say whether decisions are to be counted here; *counts*: by class, table, verdict."""
        if self.logged is not None:
            return True
        stale = self._stale_tables
        return bool(stale.size and counts.reshape(-1, VERDICTS)[stale].any())

    def count(
        self, *, site: NDArray[np.int64], request_class: NDArray[np.int64],
        table: NDArray[np.int64], verdict: NDArray[np.int64], at_site: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Count decisions, shapes (n,); *at_site*: made by the site's own agent."""
        release = self._release_of_table[request_class * self._tables + table]
        stale = np.flatnonzero(release >= 0)
        np.add.at(self.stale, (release[stale], site[stale], verdict[stale]), 1)
        if self.logged is not None:
            at = (request_class * self._sites + site)[at_site]
            self.logged += np.bincount(at, minlength=self.logged.size).reshape(self.logged.shape)
