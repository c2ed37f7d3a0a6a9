"""Random numbers of a cluster: by purpose, and a fast stream for what is drawn very often."""

from collections.abc import Callable


class Draws:
    """Random numbers by purpose: each purpose has its own stream and its own counter."""

    __slots__ = ("_counters", "_draw", "_prefix")

    def __init__(self, draw: Callable[[str, int], int], prefix: str) -> None:
        self._draw = draw
        self._prefix = prefix
        self._counters: dict[str, int] = {}

    def word(self, purpose: str) -> int:
        """Return the next 64-bit word of *purpose*."""
        counter = self._counters.get(purpose, 0)
        self._counters[purpose] = counter + 1
        return self._draw(f"{self._prefix}/{purpose}", counter)

    def at(self, purpose: str, counter: int) -> int:
        """Return the 64-bit word *counter* of *purpose*, whatever was drawn before."""
        return self._draw(f"{self._prefix}/{purpose}", counter)

    def share(self, purpose: str) -> float:
        """Return the next number in [0, 1) of *purpose*."""
        return self.word(purpose) / 2**64

    def between(self, purpose: str, low_us: int, high_us: int) -> int:
        """Return the next whole number in low .. high of *purpose*, evenly drawn."""
        return low_us + self.word(purpose) % (high_us - low_us + 1)


class Stream:
    """A fast stream of 64-bit words from one drawn seed, for what is drawn many thousand times.

    SplitMix64 (Steele, Lea and Flood, 2014): every API call and every turn in a pass takes one.
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed

    def word(self) -> int:
        """Return the next word."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        return z ^ (z >> 31)

    def share(self) -> float:
        """Return the next number in [0, 1)."""
        return self.word() / 2**64
