"""What reading a topology brings to light: problems, notes, and where no more is to be said."""

from dataclasses import dataclass, field

from edgetwin.errors import Problem
from edgetwin.inputs.element import Document, Steps, place_text

SETTING = "--set"
"""Stands for the file in problems that a setting caused."""


@dataclass(slots=True)
class Findings:
    """What reading one file has brought to light so far."""

    document: Document
    problems: list[Problem]
    notes: list[str] = field(default_factory=list)
    settings: list[tuple[str | int, ...]] = field(default_factory=list)
    """Places that a setting changed."""
    guessed: list[tuple[str | int, ...]] = field(default_factory=list)
    """Places whose fault is reported and whose value is now a guess: nothing more is said there."""

    def add(self, steps: Steps, found: str, remedy: str = "") -> None:
        """Add a problem at *steps* of the document."""
        if any(_one_in_other(tuple(steps), place) for place in self.guessed):
            return
        file, line = self.document.file, self.document.line(steps)
        if any(tuple(steps)[: len(place)] == place for place in self.settings):
            file, line = SETTING, 0
        self.problems.append(Problem(file, line, place_text(steps), found, remedy))


def _one_in_other(first: tuple[str | int, ...], second: tuple[str | int, ...]) -> bool:
    """Tell whether one place is the other, or lies in it."""
    shorter = min(len(first), len(second))
    return first[:shorter] == second[:shorter]
