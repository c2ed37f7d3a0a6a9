"""``topology.yaml`` becomes a `Topology`; what is wrong with it becomes problems with a place."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from edgetwin.inputs.findings import Findings
from edgetwin.inputs.keys import example_of, type_at
from edgetwin.inputs.settings import with_setting
from edgetwin.inputs.wording import explain
from edgetwin.model import Topology

REPAIRS_MAX = 4
"""How often wrong parts are guessed at. Chosen: a part may be wrong at three depths."""


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
        # Deepest first, so that a guess inside a part is made before the part is dropped.
        for fault in sorted(faults, key=lambda fault: -len(fault["loc"])):
            data = _guessed(data, fault, findings)
    return None


# ---- guesses -------------------------------------------------------------------------------------


def _guessed(data: Any, fault: Any, findings: Findings) -> Any:
    """Return a copy of *data* with the place of *fault* dropped, or filled with an example."""
    steps = [step for step in fault["loc"] if step != "[key]"]
    if not steps:
        return data
    holder = data = _copied(data, steps[:-1])
    for step in steps[:-1]:
        try:
            holder = holder[step]
        except (KeyError, IndexError, TypeError):
            return data
    last = steps[-1]
    if fault["type"] != "extra_forbidden":
        findings.guessed.append(tuple(steps))
    example = example_of(type_at(steps)) if fault["type"] != "extra_forbidden" else ""
    old = holder.get(last) if isinstance(holder, dict) else None
    if isinstance(holder, dict) and example and example != old:
        holder[last] = example
    elif isinstance(holder, dict):
        holder.pop(last, None)
    elif isinstance(holder, list) and isinstance(last, int) and last < len(holder):
        del holder[last]
    return data


def _copied(data: Any, steps: Sequence[str | int]) -> Any:
    """Return *data* with every container down to *steps* copied."""
    if not isinstance(data, dict | list):
        return data
    copy: Any = dict(data) if isinstance(data, dict) else list(data)
    if steps and (steps[0] in copy if isinstance(copy, dict) else isinstance(steps[0], int)):
        copy[steps[0]] = _copied(copy[steps[0]], steps[1:])
    return copy
