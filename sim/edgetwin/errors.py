"""What is wrong with an input, said so that its author can mend it.

>>> str(Problem("topology.yaml", 14, "links[2]", "unknown key 'latncy'", "did you mean 'latency'?"))
"topology.yaml:14: links[2]: unknown key 'latncy'; did you mean 'latency'?"
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, order=True)
class Problem:
    """One fault of an input: where it stands, what was found, and what would be right."""

    file: str
    line: int
    """Counted from 1; 0 where the fault is the whole file's."""
    place: str
    """The element inside the file, such as ``sites[0].uplinks[1].latency``; may be empty."""
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        place = f"{self.place}: " if self.place else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{where}{place}{self.found}{remedy}"


class ScenarioError(Exception):
    """The input is wrong: every problem that was found, in the order of file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


class UsageError(Exception):
    """The command or the call cannot be carried out as asked; the text says what would be right."""


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return the remedy for an unknown *word*: the nearest of *known*, else all of them.

    >>> did_you_mean("latncy", ["latency", "loss"])
    "did you mean 'latency'?"
    """
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
