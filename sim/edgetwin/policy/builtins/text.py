"""Built-ins over strings."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from edgetwin.policy.builtins import operands
from edgetwin.policy.builtins.gofmt import sprintf as format_like_go
from edgetwin.policy.builtins.template import render
from edgetwin.policy.values import RegoSet, rego_text, type_name


def sprintf(layout: Any, arguments: Any) -> str:
    """``sprintf``: what is neither number nor string is passed as its Rego text."""
    return format_like_go(operands.text(layout), [_argument(a) for a in operands.array(arguments)])


def _argument(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, Decimal):
        return str(value).lower().replace("e+", "e")
    return rego_text(value)


def template_string(parts: Any) -> str:
    """``internal.template_string``: what ``$"... {x}"`` compiles to."""
    return "".join(printed(part) for part in operands.array(parts))


def printed(part: Any) -> str:
    """Return how one part of a template or of ``print`` shows: a set holds what was computed."""
    if isinstance(part, RegoSet):
        if len(part) > 1:
            raise ValueError("template-strings must not produce multiple outputs")
        if not part.items:
            return "<undefined>"
        part = part.items[0]
    elif type_name(part) not in {"string", "number", "boolean", "null"}:
        raise ValueError(f"illegal argument type: {type_name(part)}")
    return part if isinstance(part, str) else rego_text(part)


def any_prefix_match(search: Any, base: Any) -> bool:
    """``strings.any_prefix_match``."""
    starts = tuple(operands.texts(base))
    return any(text.startswith(starts) for text in operands.texts(search))


def any_suffix_match(search: Any, base: Any) -> bool:
    """``strings.any_suffix_match``."""
    ends = tuple(operands.texts(base))
    return any(text.endswith(ends) for text in operands.texts(search))


def indexof_n(text: Any, search: Any) -> list[int]:
    """``indexof_n``: every place, overlapping ones too."""
    within, sought = operands.text(text), operands.text(search)
    if not sought:
        raise ValueError("empty search character")
    places, at = [], within.find(sought)
    while at >= 0:
        places.append(at)
        at = within.find(sought, at + 1)
    return places


def count(text: Any, search: Any) -> int:
    """``strings.count``: without overlaps; the empty string is between all characters."""
    return operands.text(text).count(operands.text(search))


def split_n(text: Any, separator: Any, limit: Any) -> list[str]:
    """``strings.split_n``: the first *limit* parts, or the last ones if it is negative."""
    whole, mark = operands.text(text), operands.text(separator)
    parts = whole.split(mark) if mark else list(whole)
    wanted = operands.integer(limit)
    return parts[:wanted] if wanted >= 0 else parts[max(len(parts) + wanted, 0) :]


def render_template(template: Any, variables: Any) -> str:
    """``strings.render_template``: Go's text/template."""
    return render(operands.text(template), operands.record(variables))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sprintf": sprintf,
    "internal.template_string": template_string,
    "strings.any_prefix_match": any_prefix_match,
    "strings.any_suffix_match": any_suffix_match,
    "indexof_n": indexof_n,
    "strings.count": count,
    "strings.split_n": split_n,
    "strings.render_template": render_template,
}
