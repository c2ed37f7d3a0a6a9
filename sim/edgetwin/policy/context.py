"""What a decision may know of the world around it: time, chance, the network, the host.

Nothing is taken from the machine the policy runs on. The caller says what time it is and what a
draw comes from, so the same decisions come out whenever they are made again.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

SIMULATION_EPOCH_NS = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z, in nanoseconds since 1970: the simulated time 0. Chosen: a policy that
asks for a weekday or compares with an expiry date needs a date, and a run has none."""


class Network(Protocol):
    """The network as a policy sees it. A call that cannot be answered raises ConnectionError."""

    def send(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the response object of ``http.send`` for its *request* object."""

    def lookup(self, name: str) -> list[str]:
        """Return the addresses of the host *name*."""


class NoNetwork:
    """A site that is cut off: every call fails."""

    def send(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        raise ConnectionError(f"{request.get('url')}: no network")

    def lookup(self, name: str) -> list[str]:
        raise ConnectionError(f"{name}: no network")


@dataclass
class DecisionContext:
    """The world of the decisions that one policy makes; held by the caller, who moves it on."""

    time_us: int = 0
    """Simulated time, in microseconds from the start of the run."""
    seed: int = 0
    name: str = ""
    """Whose decisions they are, such as a node's: two names draw differently from one seed."""
    network: Network = field(default_factory=NoNetwork)
    environment: Mapping[str, Any] = field(default_factory=dict)
    """What ``opa.runtime()`` gives: ``{"env": {...}, "config": {...}, "version": ...}``."""
    epoch_ns: int = SIMULATION_EPOCH_NS
    """The date and time of simulated time 0, in nanoseconds since 1970."""
    printed: Callable[[str], None] | None = None
    """Called with each line that the policy prints; None drops them."""
    decisions: int = 0
    """Decisions made so far; the next draws are those of this number."""

    remembered: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What ``once`` made in the present decision."""

    def begin(self) -> None:
        """Start a decision: one time for all of it, and the same draw for the same key."""
        self.decisions += 1
        self.remembered = {}

    @property
    def now_ns(self) -> int:
        """Now, in nanoseconds since 1970; the same throughout a decision."""
        return self.epoch_ns + self.time_us * 1000

    def once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """Return what *make* gives, made once for each *key* in a decision."""
        if key not in self.remembered:
            self.remembered[key] = make()
        return self.remembered[key]

    def draw(self, *key: str) -> int:
        """Return 128 random bits that hang on seed, name, decision and *key*, and nothing else."""
        parts = (str(self.seed), self.name, str(self.decisions), *key)
        text = "\0".join(f"{len(part)}:{part}" for part in parts)
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
