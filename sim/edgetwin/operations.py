"""What happened to single keys: operations, deliveries and reads, in order; nothing is judged.

An operation history is what a sceptic needs to judge a store without trusting it: who wrote what
and was told so, who learned of it when, and what every replica showed afterwards. It is kept for
one collection, and saved as one JSON object a line, so that it can be read, and edited, by hand.
Times are integer microseconds from the start of the run; events stand in the order in which they
happened. The words are those of facts/verification.md, 2.3: *observed* is what the client saw,
which is not what its replica knew.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, get_args

from edgetwin.errors import Problem, ScenarioError

Value = Any
"""Whatever JSON can hold. None: the key is absent."""

Verb = Literal["put", "del", "inc", "add", "rem", "setf", "delf", "emit"]
VERBS: Final = get_args(Verb)


@dataclass(frozen=True, slots=True)
class Operation:
    """A client wrote. The client was told the outcome at ``time_us``."""

    time_us: int
    id: str
    replica: str
    key: str
    verb: Verb
    argument: Value = None
    """The value, the amount or the element; None for a delete."""
    field: str | None = None
    """The field, for setf and delf."""
    value: Value = None
    """What the whole key becomes, where the strategy replaces whole values."""
    outcome: Literal["ok", "fail", "info"] = "ok"
    """ok: acknowledged. fail: it did not happen. info: the client does not know."""
    session: str | None = None
    observed: tuple[str, ...] = ()
    """Operations that the client saw for this key (this field, in an lwwmap) and replaced."""
    touched: tuple[str, ...] = ()
    """In an lwwmap, the fields that the operation writes."""
    identity: str = ""
    """The replica's identity in stamps and counters; changes when it loses its disk."""
    sequence: int = 0
    """Number of the operation at its replica, from 1."""
    wall_us: int = 0
    """The writer's own wall clock."""
    hybrid: tuple[int, int] = (0, 0)
    """The writer's hybrid logical clock: (l in microseconds, c)."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A replica received an operation from another one."""

    time_us: int
    operation: str
    replica: str
    sender: str
    applied: bool = True
    """False: received and refused, because the replica keeps a concurrent version."""
    repeated: bool = False
    """True: it had been received before, and is applied once more for lack of deduplication."""


@dataclass(frozen=True, slots=True)
class Shown:
    """From now on a replica shows this for a key."""

    time_us: int
    replica: str
    key: str
    operations: tuple[str, ...]
    """The operations that are visible; a delete that won is one of them."""
    value: Value
    fields: tuple[str, ...] = ()
    """In an lwwmap, the field that each of ``operations`` shows in; else empty."""


@dataclass(frozen=True, slots=True)
class Read:
    """A client read a key."""

    time_us: int
    id: str
    replica: str
    key: str
    operations: tuple[str, ...]
    value: Value
    session: str | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A replica no longer has some operations."""

    time_us: int
    replica: str
    operations: tuple[str, ...]
    cause: Literal["crash", "collected", "overflow", "expired"]
    """crash: not on disk. collected: a tombstone and what it superseded. overflow: the outbox was
    full. expired: retention ended."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """A replica refused an acknowledged operation for good."""

    time_us: int
    operation: str
    replica: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The writer learned of the refusal and put the operation aside for its owner."""

    time_us: int
    operation: str
    replica: str


@dataclass(frozen=True, slots=True)
class LinkChange:
    """Messages from *sender* to *receiver* pass from now on, or no longer pass."""

    time_us: int
    sender: str
    receiver: str
    up: bool


@dataclass(frozen=True, slots=True)
class ReplicaChange:
    """A replica crashed or came back."""

    time_us: int
    replica: str
    up: bool


Event = (
    Operation | Delivery | Shown | Read | Forgotten | Revoked | DeadLetter | LinkChange
    | ReplicaChange
)  # fmt: skip

_EVENTS: Final[dict[str, type[Any]]] = {kind.__name__: kind for kind in get_args(Event)}


@dataclass(frozen=True)
class OperationHistory:
    """Everything that happened to the keys of one collection."""

    strategy: str
    zones: Mapping[str, str]
    """Replica to its zone, ``cloud`` or ``edge``."""
    authority: str
    """The replica at which durability and lost updates are judged."""
    events: tuple[Event, ...]
    sensitive: frozenset[str] = frozenset()
    """Keys that must never reach a replica of zone cloud."""
    no_link: frozenset[frozenset[str]] = frozenset()
    """Pairs of replicas without a link; every other pair starts connected."""

    def of(self, kind: type[Any]) -> Iterator[Any]:
        """Yield the events of one *kind*, in order."""
        return (event for event in self.events if type(event) is kind)

    def lines(self) -> Iterator[str]:
        """Yield the history as lines of JSON: a heading, then one event a line."""
        yield _json(
            {
                "history": "edgetwin operations 1",
                "strategy": self.strategy,
                "zones": dict(self.zones),
                "authority": self.authority,
                "sensitive": sorted(self.sensitive),
                "no_link": sorted(sorted(pair) for pair in self.no_link),
            }
        )
        for event in self.events:
            shown = {
                f.name: getattr(event, f.name)
                for f in fields(event)
                if getattr(event, f.name) != f.default
            }
            yield _json({"event": type(event).__name__} | shown)


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(", ", ": "))


def read_lines(lines: Iterable[str], file: str) -> OperationHistory:
    """Return the history that ``OperationHistory.lines`` wrote, perhaps edited by hand since.

    *file* names the source in messages. Raises ScenarioError with every line that is no event.
    """
    problems: list[Problem] = []
    heading: Mapping[str, Any] = {}
    events: list[Event] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            if not isinstance(data, dict):
                raise TypeError("a line holds one JSON object")
            if not heading:
                heading = _heading(data)
            else:
                events.append(_event(data))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            problems.append(Problem(file, number, "", f"not an event: {error}"))
            if not heading:
                break
    if not heading and not problems:
        problems.append(Problem(file, 0, "", "empty; the first line must be the heading"))
    if problems:
        raise ScenarioError(problems)
    return OperationHistory(
        strategy=heading["strategy"],
        zones=heading["zones"],
        authority=heading["authority"],
        events=tuple(events),
        sensitive=frozenset(heading["sensitive"]),
        no_link=frozenset(frozenset(pair) for pair in heading["no_link"]),
    )


def _heading(data: Mapping[str, Any]) -> Mapping[str, Any]:
    if data.get("history") != "edgetwin operations 1":
        raise ValueError('the heading must say "history": "edgetwin operations 1"')
    zones = data["zones"]
    if not isinstance(zones, dict) or data["authority"] not in zones:
        raise ValueError("the authority is none of the replicas in zones")
    for name in ("strategy", "sensitive", "no_link"):
        if name not in data:
            raise ValueError(f"the heading lacks {name!r}")
    return data


_TUPLES: Final = frozenset({"observed", "touched", "operations", "fields", "hybrid"})
_TEXTS: Final = frozenset({"id", "replica", "key", "operation", "sender", "receiver"})


def _event(data: dict[str, Any]) -> Event:
    kind = _EVENTS.get(data.pop("event", ""))
    if kind is None:
        raise ValueError(f"'event' must be one of {', '.join(_EVENTS)}")
    for name, value in data.items():
        if name in _TUPLES:
            if not isinstance(value, list):
                raise ValueError(f"{name} must be a list")
            data[name] = tuple(value)
        elif name in _TEXTS and not isinstance(value, str):
            raise ValueError(f"{name} must be text, not {value!r}")
    if not isinstance(data.get("time_us"), int):
        raise ValueError(f"time_us must be a whole number, not {data.get('time_us')!r}")
    if kind is Operation and data.get("verb") not in VERBS:
        raise ValueError(f"verb must be one of {', '.join(VERBS)}, not {data.get('verb')!r}")
    event: Event = kind(**data)
    return event


def as_row(event: Event) -> dict[str, Any]:
    """Return *event* as a plain mapping with its kind under ``event``, for tables and frames."""
    return {"event": type(event).__name__, **asdict(event)}
