"""JSON Schema of ``topology.yaml``, generated from the model, for editors.

Draft 7, because editors' YAML support reads no more (facts/ux.md, 3.4): ``definitions`` in place of
``$defs``.
"""

import ast
import inspect
import json
import sys
from typing import Any, get_args

from pydantic import BaseModel

from edgetwin import model, storms, units
from edgetwin.model import Topology

_FORMS = {
    "Duration": (r"^(\d+(\.\d+)?(us|ms|s|m|h|d|w))+$", ["50ms", "60s", "1h30m", "7d"]),
    "Size": (r"^\d+(\.\d+)?\s*([kKMGT]i?B?|B)?$", ["400", "128Mi", "10Gi"]),
    "Cores": (r"^\d+(\.\d+)?m?$", ["500m", "2"]),
    "Bandwidth": (r"^\d+(\.\d+)?\s*[kMG]?bit/s$", ["10Mbit/s"]),
    "Share": (r"^\d+(\.\d+)?([eE]-?\d+)?%?$", ["99%", "0.99"]),
}
"""How each quantity is written, for a warning while typing, and examples."""
_TEXTS: dict[str, Any] = {
    "Duration": units.duration_text,
    "Size": lambda size: units.size_text(size).replace(".0", "").removesuffix("B"),
    "Share": "{:.4g}".format,
}
_BOUNDS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "gt", "ge", "lt", "le",
)  # fmt: skip


def topology_schema() -> dict[str, Any]:
    """Return the JSON Schema of a topology file."""
    schema = Topology.model_json_schema(by_alias=True, mode="validation")
    schema = json.loads(json.dumps(schema).replace('"#/$defs/', '"#/definitions/'))
    definitions = schema.pop("$defs")
    for module in (model, storms):
        _describe(module, {**definitions, "Topology": schema})
    for definition in (schema, *definitions.values()):
        _bare_bounds(definition)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "edgetwin topology",
        **{key: value for key, value in schema.items() if key != "title"},
        "definitions": dict(sorted(definitions.items())),
    }


def text() -> str:
    """Return the schema as it is committed and printed."""
    return json.dumps(topology_schema(), indent=1, ensure_ascii=False) + "\n"


def _describe(module: Any, definitions: dict[str, Any]) -> None:
    """Put the docstrings of *module*'s fields and the forms of its quantities in their places."""
    tree = ast.parse(inspect.getsource(sys.modules[module.__name__]))
    for node in tree.body:
        kind = getattr(module, node.name, None) if isinstance(node, ast.ClassDef) else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            continue
        assert isinstance(node, ast.ClassDef)
        definition = definitions.get(node.name)
        if definition is None or kind.__module__ != module.__name__:
            continue
        said = _docstrings(node)
        for name, info in kind.model_fields.items():
            shown = definition["properties"][info.alias or name]
            shown.pop("title", None)
            if name in said:
                shown["description"] = said[name]
            _form(module, info, shown)
        definition.pop("title", None)


def _docstrings(node: ast.ClassDef) -> dict[str, str]:
    """Return what stands below each field of a class; one docstring may cover a row of fields."""
    said: dict[str, str] = {}
    for place, part in enumerate(node.body):
        if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and place:
            above = node.body[place - 1]
            if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name):
                said[above.target.id] = inspect.cleandoc(str(part.value.value)).replace("\n", " ")
    return said


def _form(module: Any, info: Any, shown: dict[str, Any]) -> None:
    """Add the pattern and the examples of a quantity to a property."""
    parts = [info, *get_args(info.annotation)]
    marks = [m for p in parts for m in (*getattr(p, "metadata", ()), *get_args(p)[1:])]
    for name, (pattern, examples) in _FORMS.items():
        if not any(m in marks for m in get_args(getattr(module, name, None))[1:]):
            continue
        for place in (shown, *shown.get("anyOf", ())):
            if place.get("type") == "string":
                place["pattern"] = pattern
        shown["examples"] = examples
        if isinstance(info.default, int | float):
            shown["default"] = _TEXTS.get(name, "{:g}".format)(info.default)


def _bare_bounds(definition: dict[str, Any]) -> None:
    """Drop bounds and defaults in internal units from places where text is written."""
    for shown in definition.get("properties", {}).values():
        if isinstance(shown.get("default"), dict) and shown["default"]:
            shown.pop("default")
        for place in (shown, *shown.get("anyOf", ())):
            if place.get("type") == "string":
                for bound in _BOUNDS:
                    place.pop(bound, None)
