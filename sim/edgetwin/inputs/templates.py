"""The policy inputs of requests: which forms they take, and how many different ones there are."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from edgetwin.errors import did_you_mean
from edgetwin.inputs.findings import Findings

FORMS = ("one_of", "integer", "state")
STATES = ("offline",)
"""What a request can know of its site when it asks the policy."""
INPUTS_MAX = 1_000_000
"""Most different inputs of one class. Chosen: a real decision takes some 10 us (facts/opa-wasm.md),
so that deciding all of them once takes 10 s."""


def check(template: Mapping[str, Any], findings: Findings, steps: tuple[str | int, ...]) -> None:
    """Add the problems of a request class's input *template*, which stands at *steps*."""
    product, drawn = 1, []
    for key, value in template.items():
        if not isinstance(value, dict):
            _constant(value, findings, (*steps, key))
            continue
        number = _form(value, findings, (*steps, key))
        if number > 1:
            drawn.append(f"{key} {number:,}")
        product *= max(number, 1)
    if product > INPUTS_MAX:
        found = f"{product:,} different inputs ({' x '.join(drawn)})"
        remedy = f"at most {INPUTS_MAX:,}: draw from fewer values, such as {{one_of: [...]}}"
        findings.add(steps, found, remedy)


def _form(value: dict[str, Any], findings: Findings, steps: tuple[str | int, ...]) -> int:
    """Return how many values the form *value* stands for; 0 if it is none."""
    if len(value) != 1 or (form := next(iter(value))) not in FORMS:
        wrong = next((key for key in value if key not in FORMS), "")
        if len(value) == 1 and get_close_matches(wrong, FORMS, n=1):
            findings.add((*steps, wrong), f"unknown form {wrong!r}", did_you_mean(wrong, FORMS))
        else:
            remedy = "write {one_of: [...]}, {integer: [0, 9]}, {state: offline} or a constant"
            findings.add(steps, "this mapping is none of the known forms", remedy)
        return 0
    inner = value[form]
    if form == "state":
        if inner not in STATES:
            known = did_you_mean(str(inner), STATES)
            findings.add((*steps, form), f"unknown state {inner!r}", known)
        return 1
    if form == "one_of":
        if not isinstance(inner, list) or not inner:
            findings.add((*steps, form), "this is no list of values", "write {one_of: [a, b]}")
            return 0
        for place, item in enumerate(inner):
            _constant(item, findings, (*steps, form, place))
        return len(inner)
    whole = isinstance(inner, list) and len(inner) == 2
    whole = whole and all(isinstance(x, int) and not isinstance(x, bool) for x in inner)
    if not whole or inner[1] < inner[0] or max(map(abs, inner)) > 2**53:
        remedy = "write {integer: [least, most]}, both whole numbers"
        findings.add((*steps, form), f"{inner!r} is no range of whole numbers", remedy)
        return 0
    return int(inner[1]) - int(inner[0]) + 1


def _constant(value: Any, findings: Findings, steps: tuple[str | int, ...]) -> None:
    """Add a problem if *value* cannot be part of a JSON document."""
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        findings.add(steps, f"{value!r} is not a JSON number", "write a finite number")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _constant(item, findings, (*steps, place))
    elif isinstance(value, dict):
        for key, item in value.items():
            _constant(item, findings, (*steps, key))
