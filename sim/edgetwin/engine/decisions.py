"""Policy decisions for blocks of requests: one real decision for each distinct input.

The policy's input is a template. What is drawn in it spans a finite set of inputs, so a request's
input is a number; for each (revision, state) there is a table from that number to the decision
and to its simulated duration. An entry is filled by the real Wasm module when a request first
asks for it. The duration is the decision's fuel over a calibrated rate, so it is the same on
every machine.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetwin.engine.requests import Words, scaled
from edgetwin.policy import FUEL_PER_US, UNDEFINED, Policy

ALLOW, DENY, ERROR, WRONG_DENY, WRONG_ALLOW = range(5)
"""What a request meets: allowed; denied, as the revision current in the cloud would; no decision
(undefined, or no bundle); denied although the cloud's revision does not; allowed though it denies.
"""
VERDICTS = 5

INPUTS_MAX = 1 << 24
"""Most distinct inputs of one template. Chosen: a table takes 8 bytes an input and revision."""

_UNKNOWN, _DENIED, _ALLOWED, _UNDEFINED = -1, 0, 1, 2
NO_BUNDLE = -1


class Template:
    """A policy input with drawn parts: input number *i* for i in 0..size-1.

    >>> t = Template({"user": {"one_of": ["ana", "bo"]}, "n": {"integer": [1, 3]}, "x": 5})
    >>> t.size, t.input(4, {})
    (6, {'user': 'bo', 'n': 2, 'x': 5})
    """

    def __init__(self, template: Mapping[str, Any]) -> None:
        self._template = dict(template)
        self._drawn: list[tuple[str, Sequence[Any]]] = []
        self.states: list[tuple[str, str]] = []
        for name, value in template.items():
            if not isinstance(value, Mapping):
                continue
            if "one_of" in value:
                self._drawn.append((name, list(value["one_of"])))
            elif "integer" in value:
                low, high = value["integer"]
                self._drawn.append((name, range(low, high + 1)))
            elif "state" in value:
                self.states.append((name, str(value["state"])))
        self.size = math.prod(len(values) for _, values in self._drawn)

    def input(self, number: int, state: Mapping[str, object]) -> dict[str, Any]:
        """Return input *number*, with *state* filled in; the last drawn part varies fastest."""
        filled = dict(self._template)
        for name, values in reversed(self._drawn):
            number, at = divmod(number, len(values))
            filled[name] = values[at]
        for name, which in self.states:
            filled[name] = state[which]
        return filled


class Decisions:
    """The decisions of one policy for one class of requests."""

    def __init__(
        self, revisions: Sequence[Policy], entrypoint: str, template: Mapping[str, Any],
        *, fail_open: bool,
    ) -> None:  # fmt: skip
        self.template = Template(template)
        self.size = self.template.size
        self._revisions = revisions
        self._entrypoint = entrypoint
        self._fail_open = fail_open
        self._decided: dict[tuple[int, bool], NDArray[np.int8]] = {}
        self._cost: dict[tuple[int, bool], NDArray[np.int64]] = {}
        self._tables: dict[tuple[int, int, bool], int] = {}
        self._states: list[tuple[int, int, bool]] = []
        self._packed = np.empty((0, self.size), dtype=np.int64)
        """By table and input: duration in us times 8 plus the verdict, -1: not asked yet."""

    def table(self, *, active: int, current: int, offline: bool) -> int:
        """Return the table for what decides here, what the cloud holds, and the site's state.

        *active* and *current* number the revisions; *active* is NO_BUNDLE where there is none.
        """
        state = (active, current, offline if self.template.states else False)
        known = self._tables.get(state)
        if known is None:
            known = self._tables[state] = len(self._states)
            self._states.append(state)
            fresh = np.full((1, self.size), _UNKNOWN, dtype=np.int64)
            if active == NO_BUNDLE and not self._fail_open:
                fresh[:] = ERROR
            self._packed = np.concatenate((self._packed, fresh))
        return known

    def judge(
        self, tables: NDArray[np.int64], choice: Words
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return verdict and simulated duration (us) of each request, shapes (n,).

        *tables* is the table of each request; the high half of *choice* draws its input.
        """
        at = scaled(choice >> np.uint64(32), self.size)
        at += tables * self.size
        packed = self._packed.reshape(-1)[at]
        if packed.size and packed.min() < 0:
            self._fill(np.unique(at[packed < 0]))
            packed = self._packed.reshape(-1)[at]
        return packed & 7, packed >> 3

    def _fill(self, entries: NDArray[np.int64]) -> None:
        for table in np.unique(entries // self.size).tolist():
            active, current, offline = self._states[table]
            inputs = entries[entries // self.size == table] % self.size
            wanted = self._decide(current, offline, inputs)
            if active == NO_BUNDLE:
                verdict = np.where(wanted == _DENIED, WRONG_ALLOW, ALLOW)
                self._packed[table, inputs] = verdict
                continue
            here = wanted if active == current else self._decide(active, offline, inputs)
            verdict = np.select(
                [here == _UNDEFINED, here == _ALLOWED],
                [
                    np.where(np.bool_(self._fail_open), ALLOW, ERROR),
                    np.where(wanted == _DENIED, WRONG_ALLOW, ALLOW),
                ],
                np.where(wanted == _DENIED, DENY, WRONG_DENY),
            )
            self._packed[table, inputs] = self._cost[active, offline][inputs] * 8 + verdict

    def _decide(self, revision: int, offline: bool, inputs: NDArray[np.int64]) -> NDArray[np.int8]:
        """Return the decisions of *revision*, asking the module for those not yet known."""
        key = (revision, offline)
        if key not in self._decided:
            self._decided[key] = np.full(self.size, _UNKNOWN, dtype=np.int8)
            self._cost[key] = np.zeros(self.size, dtype=np.int64)
        decided, cost = self._decided[key], self._cost[key]
        fresh = inputs[decided[inputs] == _UNKNOWN]
        if fresh.size:
            policy = self._revisions[revision]
            state = {"offline": offline}
            asked = [self.template.input(number, state) for number in fresh.tolist()]
            answers = policy.decide_many(self._entrypoint, asked)
            decided[fresh] = [_meaning(answer) for answer in answers]
            fuel = policy.fuel_many(self._entrypoint, asked)
            cost[fresh] = [max(1, round(used / FUEL_PER_US)) for used in fuel]
        return decided[inputs]

    def decided(self, revision: int, offline: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the inputs that a revision has decided, and what each took in us, shapes (n,)."""
        key = (revision, offline)
        if key not in self._decided:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        inputs = np.flatnonzero(self._decided[key] != _UNKNOWN).astype(np.int64)
        return inputs, self._cost[key][inputs]

    def counts(self, asked: NDArray[np.int64]) -> dict[tuple[int, bool], NDArray[np.int64]]:
        """Sum what each table gave, shape (tables, VERDICTS), by (active revision, offline)."""
        total: dict[tuple[int, bool], NDArray[np.int64]] = {}
        for (active, _, offline), gave in zip(self._states, asked, strict=False):
            key = (active, offline)
            total[key] = total.get(key, np.zeros(VERDICTS, dtype=np.int64)) + gave
        return total


def _meaning(answer: object) -> int:
    """Return what a decision says: a boolean, or an object with a boolean `allow`."""
    if isinstance(answer, Mapping):
        answer = answer.get("allow", UNDEFINED)
    if answer is True:
        return _ALLOWED
    return _DENIED if answer is False else _UNDEFINED
