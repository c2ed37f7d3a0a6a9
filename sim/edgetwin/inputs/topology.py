"""``topology.yaml`` becomes a `Topology`; what is wrong with it becomes problems with a place."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from edgetwin.inputs.element import Steps
from edgetwin.inputs.findings import Findings
from edgetwin.inputs.keys import example_of, type_at
from edgetwin.inputs.settings import with_setting
from edgetwin.inputs.wording import explain
from edgetwin.model import Topology

REPAIRS_MAX = 8
"""How often wrong parts are guessed at. Chosen: a wrong value takes two rounds, to be dropped and
to be filled, at each of four depths."""


def read(findings: Findings, settings: Sequence[str] = ()) -> Topology | None:
    """Return the topology of the document in *findings*.

    If it has problems they are added, and what is returned is a guess at what was meant, good
    only for finding further problems in the same go; None if there is too little to guess from.

    Each of *settings* is ``path=value``, such as ``sites.store.nodes.edge.disk=64Gi``, and takes
    the place of what the file says.
    """
    data = findings.document.data
    if not isinstance(data, dict):
        findings.add((), "a topology is a mapping", "begin with 'name: ...'")
        return None
    for setting in settings:
        data = with_setting(data, setting, findings)
    for attempt in range(REPAIRS_MAX):
        try:
            return Topology.model_validate(data)
        except ValidationError as error:
            faults = error.errors(include_url=False)
        if attempt == 0:
            explain(faults, findings)
        # Deepest and last first, so that no place moves before it is looked at.
        ordered = sorted(enumerate(faults), key=lambda pair: (len(pair[1]["loc"]), pair[0]))
        for _, fault in reversed(ordered):
            data = _guessed(data, fault, findings)
    return None


# ---- guesses -------------------------------------------------------------------------------------


def _guessed(data: Any, fault: Any, findings: Findings) -> Any:
    """Return a copy of *data* in which the place of *fault* is dropped, or filled if it must be.

    What is missing is filled with an example; where there is none, its mapping is dropped.
    """
    steps = tuple(step for step in fault["loc"] if step != "[key]")
    if fault["type"] != "extra_forbidden" and steps:
        findings.guessed.append(steps)
    if fault["type"] != "missing":
        return _without(data, steps)
    example = example_of(type_at(steps))
    if not example:
        return _without(data, steps[:-1])
    data = _copied(data, steps[:-1])
    holder = _at(data, steps[:-1])
    if isinstance(holder, dict):
        holder[steps[-1]] = example
    return data


def _without(data: Any, steps: Steps) -> Any:
    """Return a copy of *data* that has nothing at *steps*."""
    if not steps:
        return data
    data = _copied(data, steps[:-1])
    holder, last = _at(data, steps[:-1]), steps[-1]
    if isinstance(holder, dict):
        holder.pop(last, None)
    elif isinstance(holder, list) and isinstance(last, int) and last < len(holder):
        del holder[last]
    return data


def _at(data: Any, steps: Steps) -> Any:
    """Return what stands at *steps* of *data*, None where that is nothing."""
    for step in steps:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _copied(data: Any, steps: Steps) -> Any:
    """Return *data* with every container down to *steps* copied."""
    if not isinstance(data, dict | list):
        return data
    copy: Any = dict(data) if isinstance(data, dict) else list(data)
    if steps and (steps[0] in copy if isinstance(copy, dict) else isinstance(steps[0], int)):
        copy[steps[0]] = _copied(copy[steps[0]], steps[1:])
    return copy
