"""A register whose conflicts a policy decides, and the laws that its decisions must keep.

The policy is asked for concurrent versions only; the result carries the joined version vector, so
that replicas which decide alike agree, and replicas which decide differently disagree for ever:
equal vectors, different values (facts/verification.md, 2.6).
"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgetwin.merge.clocks import Vector, joined
from edgetwin.merge.registers import Value

Decision = Mapping[str, Any] | None
"""What ``data.sync.merge`` gives; None, or nothing under ``decision``, is undefined."""

MergePolicy = Callable[[Mapping[str, Any]], Decision]
"""Answers one input {key, class, replica, local, remote}."""


@dataclass(frozen=True)
class Candidate:
    """One value that a register holds, with where it is from."""

    value: Value
    wall_us: int
    origin: str
    """The replica that wrote it."""
    operations: tuple[str, ...] = ()
    """The operations whose effect it carries: one, or the parents of a merged value."""


@dataclass(frozen=True)
class Register:
    """One candidate, or several where the policy kept siblings, and the vector of all of them."""

    candidates: tuple[Candidate, ...]
    vector: Vector

    @property
    def value(self) -> Value:
        """The value, or ``{"siblings": [...]}`` with the distinct values."""
        distinct: list[Value] = []
        for candidate in self.candidates:
            if candidate.value not in distinct:
                distinct.append(candidate.value)
        return distinct[0] if len(distinct) == 1 else {"siblings": distinct}

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations that show."""
        return tuple(sorted({name for one in self.candidates for name in one.operations}))


def policy_input(
    key: str, data_class: str | None, replica: str, local: Register, remote: Register
) -> dict[str, Any]:
    """Return the input of ``data.sync.merge``: times in milliseconds of the writer's clock."""
    return {
        "key": key,
        "class": data_class,
        "replica": replica,
        "local": _side(local),
        "remote": _side(remote),
    }


def _side(register: Register) -> dict[str, Any]:
    latest = max(register.candidates, key=lambda one: (one.wall_us, one.origin))
    return {
        "value": register.value,
        "ts": latest.wall_us // 1000,
        "origin": latest.origin,
        "vector": dict(register.vector),
    }


def merged(local: Register, remote: Register, decision: Decision) -> tuple[Register, bool]:
    """Return the register after *decision* on two concurrent ones, and whether it was defined.

    Undefined fails closed to siblings, and so does a decision that is none of local, remote,
    merge (with a value) and siblings.
    """
    vector = joined(local.vector, remote.vector)
    word = decision.get("decision") if decision is not None else None
    if word == "local":
        return Register(local.candidates, vector), True
    if word == "remote":
        return Register(remote.candidates, vector), True
    if word == "merge" and decision is not None and "value" in decision:
        both = (*local.candidates, *remote.candidates)
        latest = max(both, key=lambda one: (one.wall_us, one.origin))
        parents = tuple(sorted({name for one in both for name in one.operations}))
        new = Candidate(decision["value"], latest.wall_us, latest.origin, parents)
        return Register((new,), vector), True
    together = {one.operations: one for one in (*remote.candidates, *local.candidates)}
    return Register(tuple(together[name] for name in sorted(together)), vector), word == "siblings"


@dataclass(frozen=True)
class LawBreach:
    """A law that a merge policy breaks, and the fewest values that show it."""

    law: str
    """commutative, associative or idempotent."""
    values: tuple[Value, ...]
    results: tuple[Value, Value]
    """What the two ways of asking gave; for idempotent, the value itself and the result."""

    def __str__(self) -> str:
        shown = ", ".join(json.dumps(value, sort_keys=True) for value in self.values)
        one, other = (json.dumps(value, sort_keys=True) for value in self.results)
        return f"not {self.law}: {shown} gives {one} one way and {other} the other"


def broken_laws(
    policy: MergePolicy, candidates: Sequence[Candidate], *, key: str = "key", replica: str = "any"
) -> tuple[LawBreach, ...]:
    """Return, per law that *policy* breaks over *candidates*, the smallest counterexample.

    Every pair is asked in both orders and every triple in both groupings: (n^3) questions for n
    candidates. Give the values that met in a run, and some generated ones. Only values count: a
    policy may keep whichever origin it likes.
    """

    def met(local: Register, remote: Register) -> Register:
        answer = policy(policy_input(key, None, replica, local, remote))
        return merged(local, remote, answer)[0]

    # Each candidate is its own write at its own identity, so that any two are concurrent.
    registers = [
        Register(
            (Candidate(one.value, one.wall_us, one.origin, (str(at).zfill(6),)),),
            {f"{one.origin}/{at}": 1},
        )
        for at, one in enumerate(candidates)
    ]
    breaches: list[LawBreach] = []
    for one in registers:
        _note(breaches, "idempotent", (one,), one, met(one, one))
    for one, other in itertools.combinations(registers, 2):
        _note(breaches, "commutative", (one, other), met(one, other), met(other, one))
    for one, other, third in itertools.permutations(registers, 3):
        _note(
            breaches, "associative", (one, other, third),
            met(met(one, other), third), met(one, met(other, third)),
        )  # fmt: skip
    laws = dict.fromkeys(("commutative", "associative", "idempotent"))
    found = {law: [breach for breach in breaches if breach.law == law] for law in laws}
    return tuple(min(found[law], key=_size) for law in laws if found[law])


def _note(
    breaches: list[LawBreach], law: str, asked: Sequence[Register], one: Register, other: Register
) -> None:
    results = (_shown(one), _shown(other))
    if results[0] != results[1]:
        breaches.append(LawBreach(law, tuple(register.value for register in asked), results))


def _shown(register: Register) -> Value:
    """Return the value with siblings in one order."""
    value = register.value
    if isinstance(value, dict) and list(value) == ["siblings"]:
        return {
            "siblings": sorted(value["siblings"], key=lambda one: json.dumps(one, sort_keys=True))
        }
    return value


def _size(breach: LawBreach) -> tuple[int, str]:
    text = json.dumps([breach.values, breach.results], sort_keys=True)
    return len(text), text
