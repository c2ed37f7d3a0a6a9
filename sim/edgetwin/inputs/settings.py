"""Settings such as ``sites.store.count=12``, which take the place of what a topology says."""

import re
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from edgetwin.errors import Problem, did_you_mean
from edgetwin.inputs import document
from edgetwin.inputs.element import place_text
from edgetwin.inputs.findings import SETTING, Findings
from edgetwin.inputs.keys import bare, field_type, is_model, keys_of
from edgetwin.model import Topology


def with_setting(data: dict[str, Any], setting: str, findings: Findings) -> dict[str, Any]:
    """Return *data* with one ``path=value`` applied; the original is left alone."""
    path, equals, text = setting.partition("=")
    if not equals or not path.strip():
        remedy = "write path=value, for example sites.store.count=12"
        findings.problems.append(Problem(SETTING, 0, setting, "this is no setting", remedy))
        return data
    steps: list[str | int] = [
        int(step) if step.isdecimal() else step
        for step in re.sub(r"\[(\d+)\]", r".\1", path.strip()).split(".")
    ]
    values = document.parse(text.encode(), SETTING, findings.problems)
    try:
        changed = _changed(data, Topology, steps, 0, values[0].data if values else None)
    except _NoPlaceError as error:
        findings.problems.append(Problem(SETTING, 0, path, error.found, error.remedy))
        return data
    findings.settings.append(tuple(steps))
    assert isinstance(changed, dict)
    return changed


class _NoPlaceError(Exception):
    """A setting's path leads nowhere."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(found)
        self.found = found
        self.remedy = remedy


def _changed(data: Any, kind: Any, steps: Sequence[str | int], at: int, value: Any) -> Any:
    """Return a copy of *data*, which is of the model's type *kind*, with *value* at *steps*.

    Raises _NoPlaceError if there is no such place.
    """
    if at == len(steps):
        return value
    step, kind = steps[at], bare(kind)
    here = place_text(steps[:at]) or "the topology"
    if is_model(kind):
        keys = keys_of(kind)
        if step not in keys:
            raise _NoPlaceError(f"{here} has no key {step!r}", did_you_mean(str(step), keys))
        data, inner = dict(data or {}), field_type(kind, str(step))
    elif get_origin(kind) is dict:
        inner = get_args(kind)[1]
        data, step = dict(data or {}), str(step)
        free = not is_model(bare(inner))
        if step not in data and not free:
            raise _NoPlaceError(f"{here} has no {step!r}", did_you_mean(step, data))
    elif get_origin(kind) is tuple:
        data, inner = list(data or ()), get_args(kind)[0]
        if not isinstance(step, int) or step >= len(data):
            raise _NoPlaceError(f"{here} has no item {step!r}", f"it has {len(data)}, from 0 on")
    elif isinstance(data, dict):
        data, inner = dict(data), Any
    else:
        raise _NoPlaceError(f"{here} has nothing below it", "end the path there")
    old = data[step] if isinstance(step, int) else data.get(step)
    if at + 1 < len(steps) and not isinstance(old, dict | list | None):
        old = None
    data[step] = _changed(old, inner, steps, at + 1, value)
    return data
