"""Which keys and types the model has at a place, and what a value there looks like."""

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from edgetwin import model, storms
from edgetwin.inputs.element import Steps
from edgetwin.model import Topology

EXAMPLES = {
    "Duration": "50ms", "Size": "10Gi", "Cores": "500m", "Bandwidth": "10Mbit/s", "Share": "99%",
}  # fmt: skip


def bare(kind: Any) -> Any:
    """Return the type *kind* without Annotated and without None."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, UnionType):
            kind = next(part for part in get_args(kind) if part is not type(None))
        else:
            return kind


def is_model(kind: Any) -> bool:
    """Tell whether *kind* is a model of ours."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def keys_of(kind: type[BaseModel]) -> list[str]:
    """Return the keys that a mapping of the model *kind* may have, as they are written."""
    return [info.alias or name for name, info in kind.model_fields.items()]


def field_type(kind: type[BaseModel], key: str) -> Any:
    """Return the annotation of the field of *kind* that is written *key*, None if there is none."""
    for name, info in kind.model_fields.items():
        if key == (info.alias or name):
            return Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    return None


def type_at(steps: Steps) -> Any:
    """Return the annotation of the model at *steps* of a topology, None where there is none."""
    kind: Any = Topology
    for step in steps:
        inner = bare(kind)
        if is_model(inner):
            kind = field_type(inner, str(step))
        elif get_origin(inner) in (dict, tuple) and get_args(inner):
            kind = get_args(inner)[1 if get_origin(inner) is dict else 0]
        else:
            return None
    return kind


def example_of(kind: Any) -> str:
    """Return what a value of *kind* looks like, empty if that is not worth saying."""
    parts = [kind, *(part for part in get_args(kind))]
    for name, text in EXAMPLES.items():
        quantities = [getattr(module, name, None) for module in (model, storms)]
        marks = [mark for quantity in quantities for mark in get_args(quantity)[1:]]
        if any(mark in get_args(part) for part in parts for mark in marks):
            return text
    inner = bare(kind)
    if get_origin(inner) is Literal:
        return str(get_args(inner)[0])
    return {int: "1", float: "0.5", str: "NAME"}.get(inner, "")
