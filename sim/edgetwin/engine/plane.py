"""The data plane: requests of many sites, judged in columns between changes of state.

`advance` takes each of some sites to an instant of its own. Between now and then nothing about a
site changes but through its requests, and those changes are found before anything is committed:
the first instant at which the requests of a site (or of any site that shares its clock) would
kill a pod, fill a volume or bring back a client is a *crossing*. Up to the first crossing all is
committed, beyond it nothing, so nothing is ever taken back.

Intervals are half-open: what completes at the instant of a change meets the new state.
"""

import numpy as np
from numpy.typing import NDArray

from edgetwin.engine.committing import Committer
from edgetwin.engine.plane_state import (
    TABLES_MAX,
    ClassRules,
    Crossing,
    Links,
    ServiceRules,
    chosen_keys,
)
from edgetwin.engine.planning import Planner
from edgetwin.engine.queueing import NEVER_US

__all__ = ["TABLES_MAX", "ClassRules", "Crossing", "Links", "Plane", "ServiceRules", "chosen_keys"]


class Plane(Planner, Committer):
    """All sites' requests; state changes come from outside, between calls of `advance`."""

    def advance(self, sites: NDArray[np.int64], until_us: NDArray[np.int64]) -> list[Crossing]:
        """Commit what happens at each of *sites* before its *until_us*, or its first crossing.

        *sites* is sorted and holds all sites of a component or none. Afterwards `time_us` says
        how far each came; the crossings returned lie at that instant.
        """
        found: list[Crossing] = []
        while sites.size:
            self._until_us[sites] = until_us
            plans = [
                self._plan(service, sites)
                for service in range(len(self.services))
                if self._of_service[service]
            ]
            crossings = [one for plan in plans for one in plan.crossings]
            crossings += self._overflows(sites, plans)
            crossings += self._comebacks(sites, plans)
            limit = np.full(self.component.max() + 1, NEVER_US, dtype=np.int64)
            for one in crossings:
                place = self.component[one.site]
                limit[place] = min(int(limit[place]), one.at_us)
            late = limit[self.component[sites]] < until_us
            found += [
                one for one in crossings
                if one.what != "retry" and one.at_us == limit[self.component[one.site]]
                and one.at_us < self._until_us[one.site]
            ]  # fmt: skip
            done = sites[~late]
            if done.size:
                only = None if done.size == sites.size else done
                for plan in plans:
                    self._commit(plan, done, only)
                self.store.advance(done, self._until_us[done])
                self.time_us[done] = self._until_us[done]
            sites, until_us = sites[late], limit[self.component[sites[late]]]
        return found
