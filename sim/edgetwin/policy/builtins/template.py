"""The part of Go's text/template that policies use: fields, if, with, range, variables.

Functions, pipelines and nested templates are refused: a template that uses them is an error, and
so undefined, never rendered wrongly.
"""

import re
from typing import Any

from edgetwin.policy.builtins.gofmt import shortest
from edgetwin.policy.values import number_text

_ACTION = re.compile(r"\{\{(-\s)?\s*(.*?)\s*(\s-)?\}\}", re.DOTALL)
_FIELD = re.compile(r"(?:\$\w*)?(?:\.\w+)*\.?")

Node = tuple[Any, ...]


def render(template: str, variables: dict[str, Any]) -> str:
    """Return *template* with *variables* filled in; what is missing shows as ``<undefined>``."""
    nodes, end = _parse(_tokens(template), 0, top=True)
    del end
    written: list[str] = []
    _execute(nodes, variables, {"$": variables}, written)
    return "".join(written)


def _tokens(template: str) -> list[tuple[str, str]]:
    """Return the template as ("text", ...) and ("action", ...), white space trimmed as asked."""
    tokens: list[tuple[str, str]] = []
    at, trim = 0, False
    for match in _ACTION.finditer(template):
        text = template[at : match.start()]
        text = text.lstrip() if trim else text
        tokens.append(("text", text.rstrip() if match[1] else text))
        if not match[2].startswith("/*"):
            tokens.append(("action", match[2]))
        at, trim = match.end(), bool(match[3])
    rest = template[at:]
    if "{{" in rest:
        raise ValueError("unclosed action")
    return [*tokens, ("text", rest.lstrip() if trim else rest)]


def _parse(tokens: list[tuple[str, str]], at: int, *, top: bool) -> tuple[list[Node], int]:
    """Read nodes up to the ``end`` or ``else`` that closes them; return where that is."""
    nodes: list[Node] = []
    while at < len(tokens):
        kind, content = tokens[at]
        if kind == "text":
            nodes.append(("text", content))
            at += 1
            continue
        word, _, argument = content.partition(" ")
        if word in {"end", "else"}:
            if top:
                raise ValueError(f"unexpected {word}")
            return nodes, at
        if word not in {"if", "with", "range"}:
            nodes.append(("field", content))
            at += 1
            continue
        inside, at = _parse(tokens, at + 1, top=False)
        otherwise: list[Node] = []
        if tokens[at][1] == "else":
            otherwise, at = _parse(tokens, at + 1, top=False)
        elif tokens[at][1].startswith("else "):
            # ``else if`` is an ``if`` inside the ``else`` that shares its end.
            chained = [("action", tokens[at][1].removeprefix("else ")), *tokens[at + 1 :]]
            otherwise, used = _chained(chained)
            at += used
        nodes.append((word, argument.strip(), inside, otherwise))
        at += 1
    if not top:
        raise ValueError("unexpected end of the template")
    return nodes, at


def _chained(tokens: list[tuple[str, str]]) -> tuple[list[Node], int]:
    """Read the ``if`` of an ``else if``; return it, and the place of the ``end`` it shares."""
    word, _, argument = tokens[0][1].partition(" ")
    inside, at = _parse(tokens, 1, top=False)
    otherwise: list[Node] = []
    if tokens[at][1] == "else":
        otherwise, at = _parse(tokens, at + 1, top=False)
    elif tokens[at][1].startswith("else "):
        rest = [("action", tokens[at][1].removeprefix("else ")), *tokens[at + 1 :]]
        otherwise, used = _chained(rest)
        at += used
    return [(word, argument.strip(), inside, otherwise)], at


_MISSING = object()


def _execute(nodes: list[Node], dot: Any, names: dict[str, Any], written: list[str]) -> None:
    for node in nodes:
        if node[0] == "text":
            written.append(node[1])
        elif node[0] == "field":
            written.append(_shown(_value(node[1], dot, names)))
        elif node[0] == "range":
            _range(node, dot, names, written)
        else:
            value = _value(node[1], dot, names)
            if _true(value):
                _execute(node[2], value if node[0] == "with" else dot, names, written)
            else:
                _execute(node[3], dot, names, written)


def _range(node: Node, dot: Any, names: dict[str, Any], written: list[str]) -> None:
    declared, _, source = node[1].rpartition(":=")
    variables = [name.strip() for name in declared.split(",")] if declared else []
    value = _value(source.strip(), dot, names)
    if isinstance(value, dict):
        pairs = sorted(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    elif value is _MISSING or value is None:
        pairs = []
    else:
        raise ValueError("range can't iterate over a scalar")
    for key, item in pairs:
        values = [item] if len(variables) < 2 else [key, item]
        _execute(node[2], item, {**names, **dict(zip(variables, values, strict=False))}, written)
    if not pairs:
        _execute(node[3], dot, names, written)


def _value(expression: str, dot: Any, names: dict[str, Any]) -> Any:
    """Return the value of a field chain such as ``.user.name``, ``$x.y`` or ``.``."""
    if not expression or not _FIELD.fullmatch(expression):
        raise ValueError(f"{expression!r} is more than a field")
    name, *fields = expression.split(".")
    if name and name not in names:
        raise ValueError(f"undefined variable {name!r}")
    value = names[name] if name else dot
    for field in fields:
        if not field:
            continue
        if value is _MISSING or value is None:
            return _MISSING
        if not isinstance(value, dict):
            raise ValueError(f"can't evaluate field {field} in a scalar")
        value = value.get(field, _MISSING)
    return value


def _true(value: Any) -> bool:
    return value is not _MISSING and bool(value)


def _shown(value: Any) -> str:
    if value is _MISSING or value is None:
        return "<undefined>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{' '.join(_shown(item) for item in value)}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_shown(value[key])}' for key in sorted(value))}]"
    return shortest(value) if isinstance(value, float) else number_text(value)
