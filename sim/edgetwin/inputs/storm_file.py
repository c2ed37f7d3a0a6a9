"""The settings of a storm generator, from a file of their own or out of a topology."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from edgetwin.errors import Problem, ScenarioError
from edgetwin.inputs.document import read as read_document
from edgetwin.inputs.element import place_text
from edgetwin.storms import StormSpec


def read(path: Path) -> StormSpec:
    """Return the settings in *path*: the file's own, or those under ``outages.generate``.

    Raises ScenarioError with every setting that is wrong.
    """
    problems: list[Problem] = []
    documents = read_document(path, problems)
    if problems:
        raise ScenarioError(problems)
    if not documents:
        raise ScenarioError([Problem(str(path), 0, "", "the file is empty", "write 'rates: ...'")])
    document = documents[0]
    data = document.data
    prefix: list[str] = []
    for key in ("outages", "generate"):
        if isinstance(data, dict) and key in data:
            data = data[key]
            prefix.append(key)
    try:
        return StormSpec.model_validate(data)
    except ValidationError as error:
        found = []
        for fault in error.errors(include_url=False):
            place = [*prefix, *(step for step in fault["loc"] if step != "[key]")]
            message = fault["msg"].removeprefix("Value error, ")
            found.append(Problem(str(path), document.line(place), place_text(place), message))
        raise ScenarioError(found) from None


def written(spec: StormSpec) -> str:
    """Return *spec* as YAML that `read` gives back the same, without what is default."""
    lines: list[str] = []
    data = spec.model_dump(by_alias=True, exclude_defaults=True)
    _write(data, lines, "")
    return "\n".join(lines) + "\n" if lines else "{}\n"


_DURATIONS = frozenset({"median", "mean", "max", "values", "spread", "up", "resolution"})


def _write(data: dict[str, object], lines: list[str], indent: str, inside: str = "") -> None:
    for key, value in data.items():
        if isinstance(value, dict):
            lines.append(f"{indent}{key}:")
            _write(value, lines, indent + "  ", key)
        elif isinstance(value, tuple | list):
            cells = [_scalar(key, item, inside) for item in value]
            lines.append(f"{indent}{key}: [{', '.join(cells)}]")
        elif value is not None:
            lines.append(f"{indent}{key}: {_scalar(key, value, inside)}")


def _scalar(key: str, value: object, inside: str) -> str:
    """Return *value* as it is written: durations with their unit."""
    # The values of rates and gaps are plain numbers, those of durations are not.
    if key in _DURATIONS and inside not in ("rates", "gaps") and isinstance(value, int):
        for unit, size in (("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000)):
            if value % size == 0:
                return f"{value // size}{unit}"
        return f"{value}us"
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)
