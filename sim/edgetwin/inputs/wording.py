"""What pydantic finds wrong with a topology, in our words."""

from collections.abc import Sequence
from typing import Any, get_args

from edgetwin.errors import did_you_mean
from edgetwin.inputs.findings import Findings
from edgetwin.inputs.keys import bare, example_of, keys_of, type_at


def explain(faults: Sequence[Any], findings: Findings) -> None:
    """Add the problems that pydantic reports as *faults*."""
    explained = []
    misspelt = set()
    for fault in faults:
        steps = tuple(step for step in fault["loc"] if step != "[key]")
        found, remedy = _words(fault, list(steps))
        explained.append((fault["type"], steps, found, remedy))
        if fault["type"] == "extra_forbidden" and remedy.startswith("did you mean"):
            misspelt.add((*steps[:-1], remedy.split("'")[1]))
    for kind, steps, found, remedy in explained:
        # A key that is misspelt is not missing as well.
        if kind == "missing" and steps in misspelt:
            continue
        findings.add(steps[:-1] if kind == "missing" else steps, found, remedy)


def _words(fault: Any, steps: list[str | int]) -> tuple[str, str]:
    """Return what was found and what would be right."""
    kind, given, context = fault["type"], fault["input"], fault.get("ctx", {})
    shown = repr(given) if len(repr(given)) <= 60 else repr(given)[:57] + "..."
    wanted = type_at(steps)
    example = example_of(wanted)
    if kind == "extra_forbidden":
        keys = keys_of(bare(type_at(steps[:-1])))
        return f"unknown key {steps[-1]!r}", did_you_mean(str(steps[-1]), keys)
    if kind == "missing":
        return f"key {steps[-1]!r} is missing", f"add '{steps[-1]}: {example or '...'}'"
    if kind == "literal_error":
        known = [str(option) for option in get_args(bare(wanted))]
        if known == ["True"]:
            return f"{shown} cannot stand here", "write 'true', or leave the key out"
        return f"{shown} is not known here", did_you_mean(str(given), known)
    if kind == "value_error":
        found, _, remedy = fault["msg"].removeprefix("Value error, ").partition("; ")
        return found if len(found) <= 200 else found[:197] + "...", remedy or "change one of them"
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
