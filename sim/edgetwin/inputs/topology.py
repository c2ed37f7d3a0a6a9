"""``topology.yaml`` becomes a `Topology`; what is wrong with it becomes problems with a place."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from edgetwin import model, storms
from edgetwin.errors import Problem, did_you_mean
from edgetwin.inputs import document
from edgetwin.inputs.element import Document, Steps, place_text
from edgetwin.model import Topology

SETTING = "--set"
"""Stands for the file in problems that a setting caused."""

REPAIRS_MAX = 4
"""How often wrong parts are guessed at. Chosen: a part may be wrong at three depths."""

EXAMPLES = {
    "Duration": "60s", "Size": "10Gi", "Cores": "500m", "Bandwidth": "10Mbit/s", "Share": "99%",
}  # fmt: skip


@dataclass(slots=True)
class Findings:
    """What reading one file has brought to light so far."""

    document: Document
    problems: list[Problem]
    notes: list[str] = field(default_factory=list)
    settings: list[tuple[str | int, ...]] = field(default_factory=list)
    """Places that a setting changed."""

    def add(self, steps: Steps, found: str, remedy: str = "") -> None:
        """Add a problem at *steps* of the document."""
        file, line = self.document.file, self.document.line(steps)
        if any(tuple(steps)[: len(place)] == place for place in self.settings):
            file, line = SETTING, 0
        self.problems.append(Problem(file, line, place_text(steps), found, remedy))


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
        data = _with_setting(data, setting, findings)
    for attempt in range(REPAIRS_MAX):
        try:
            return Topology.model_validate(data)
        except ValidationError as error:
            faults = error.errors(include_url=False)
        if attempt == 0:
            for fault in faults:
                _explain(fault, findings)
        # Deepest first, so that a guess inside a part is made before the part is dropped.
        for fault in sorted(faults, key=lambda fault: -len(fault["loc"])):
            data = _guessed(data, fault)
    return None


# ---- settings ------------------------------------------------------------------------------------


def _with_setting(data: dict[str, Any], setting: str, findings: Findings) -> dict[str, Any]:
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
    step, kind = steps[at], _bare(kind)
    here = place_text(steps[:at]) or "the topology"
    if _is_model(kind):
        keys = _keys(kind)
        if step not in keys:
            raise _NoPlaceError(f"{here} has no key {step!r}", did_you_mean(str(step), keys))
        data, inner = dict(data or {}), _field_type(kind, str(step))
    elif get_origin(kind) is dict:
        inner = get_args(kind)[1]
        data, step = dict(data or {}), str(step)
        free = not _is_model(_bare(inner))
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


# ---- guesses -------------------------------------------------------------------------------------


def _guessed(data: Any, fault: Any) -> Any:
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
    example = _example(type_at(steps)) if fault["type"] != "extra_forbidden" else ""
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


# ---- the model's own keys ------------------------------------------------------------------------


def _bare(kind: Any) -> Any:
    """Return the type *kind* without Annotated and without None."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, UnionType):
            kind = next(part for part in get_args(kind) if part is not type(None))
        else:
            return kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _keys(kind: type[BaseModel]) -> list[str]:
    """Return the keys that a mapping of the model *kind* may have, as they are written."""
    return [info.alias or name for name, info in kind.model_fields.items()]


def _field_type(kind: type[BaseModel], key: str) -> Any:
    """Return the annotation of the field of *kind* that is written *key*, None if there is none."""
    for name, info in kind.model_fields.items():
        if key == (info.alias or name):
            return Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    return None


def type_at(steps: Steps) -> Any:
    """Return the annotation of the model at *steps* of a topology, None where there is none."""
    kind: Any = Topology
    for step in steps:
        bare = _bare(kind)
        if _is_model(bare):
            kind = _field_type(bare, str(step))
        elif get_origin(bare) in (dict, tuple) and get_args(bare):
            kind = get_args(bare)[1 if get_origin(bare) is dict else 0]
        else:
            return None
    return kind


def _example(kind: Any) -> str:
    """Return what a value of *kind* looks like, empty if that is not worth saying."""
    parts = [kind, *(part for part in get_args(kind))]
    for name, text in EXAMPLES.items():
        quantities = [getattr(module, name, None) for module in (model, storms)]
        marks = [mark for quantity in quantities for mark in get_args(quantity)[1:]]
        if any(mark in get_args(part) for part in parts for mark in marks):
            return text
    bare = _bare(kind)
    if get_origin(bare) is Literal:
        return str(get_args(bare)[0])
    return {int: "1", float: "0.5", str: "NAME"}.get(bare, "")


# ---- pydantic's findings in our words ------------------------------------------------------------


def _explain(fault: Any, findings: Findings) -> None:
    """Add the problem that pydantic reports as *fault*."""
    steps = [step for step in fault["loc"] if step != "[key]"]
    found, remedy = _words(fault, steps)
    if fault["type"] == "missing":
        steps = steps[:-1]
    findings.add(steps, found, remedy)


def _words(fault: Any, steps: list[str | int]) -> tuple[str, str]:
    """Return what was found and what would be right."""
    kind, given, context = fault["type"], fault["input"], fault.get("ctx", {})
    shown = repr(given) if len(repr(given)) <= 60 else repr(given)[:57] + "..."
    wanted = type_at(steps)
    example = _example(wanted)
    if kind == "extra_forbidden":
        keys = _keys(_bare(type_at(steps[:-1])))
        return f"unknown key {steps[-1]!r}", did_you_mean(str(steps[-1]), keys)
    if kind == "missing":
        return f"key {steps[-1]!r} is missing", f"add '{steps[-1]}: {example or '...'}'"
    if kind == "literal_error":
        known = [str(option) for option in get_args(_bare(wanted))]
        if known == ["True"]:
            return f"{shown} cannot stand here", "write 'true', or leave the key out"
        return f"{shown} is not known here", did_you_mean(str(given), known)
    if kind == "value_error":
        found, _, remedy = fault["msg"].removeprefix("Value error, ").partition("; ")
        return found, remedy or "change one of them"
    if given is None:
        return "nothing is written here", f"write for example {example!r}" if example else (
            "write its keys below it, indented, or leave it out"
        )
    if kind in _SHAPES:
        found, remedy = _SHAPES[kind]
        return found.format(shown), remedy.format(example or given)
    if kind in _BOUNDS:
        (bound,) = [value for name, value in context.items() if name in ("gt", "ge", "lt", "le")]
        return f"{shown} is out of range", f"it must be {_BOUNDS[kind]} {bound:g}"
    return f"{shown}: {fault['msg']}", "see topologies/README.md"


_BOUNDS = {
    "greater_than": "more than",
    "greater_than_equal": "at least",
    "less_than": "less than",
    "less_than_equal": "at most",
}
_WHOLE = ("{} is not a whole number", "write for example 3")
_MAPPING = ("{} is not a mapping", "write its keys below it, indented")
_SHAPES = {
    "string_type": ("{} is not text", "put it in quotes"),
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": ("{} is not a number", "write for example 0.5"),
    "float_parsing": ("{} is not a number", "write for example 0.5"),
    "finite_number": ("{} is not a finite number", "write for example 0.5"),
    "bool_type": ("{} is neither true nor false", "write 'true' or 'false'"),
    "bool_parsing": ("{} is neither true nor false", "write 'true' or 'false'"),
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "tuple_type": ("{} is not a list", "write '[ITEM, ITEM]', or an item a line after '- '"),
    "too_short": ("this is empty", "write at least one"),
    "string_too_long": ("{} is too long", "a name has at most 63 characters"),
    "string_pattern_mismatch": (
        "{} is not a name",
        "use letters, digits, '-', '_' and '.', with a letter or digit first and last",
    ),
}
