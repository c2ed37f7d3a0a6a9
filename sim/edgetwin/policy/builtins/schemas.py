"""Built-ins that hold documents against JSON Schemas; the library jsonschema judges.

What is valid is jsonschema's verdict. The texts of errors are those of OPA's library for the
keywords in ``_TEXTS``, and jsonschema's own for all others. Nothing is fetched over a network.
"""

from collections.abc import Callable
from typing import Any

from edgetwin.policy import values
from edgetwin.policy.builtins import operands
from edgetwin.policy.builtins.encodings import go_json

REQUIRES = "jsonschema"
"""The import that this family stands on."""

TYPES = ("array", "boolean", "integer", "number", "null", "object", "string")

_TEXTS: dict[str, tuple[str, str]] = {
    "required": ("required", "{property} is required"),
    "type": ("invalid_type", "Invalid type. Expected: {wanted}, given: {given}"),
    "enum": ("enum", "{field} must be one of the following: {allowed}"),
    "const": ("const", "{field} does not match: {allowed}"),
    "minimum": ("number_gte", "Must be greater than or equal to {wanted}"),
    "maximum": ("number_lte", "Must be less than or equal to {wanted}"),
    "exclusiveMinimum": ("number_gt", "Must be greater than {wanted}"),
    "exclusiveMaximum": ("number_lt", "Must be less than {wanted}"),
    "multipleOf": ("multiple_of", "Must be a multiple of {wanted}"),
    "minLength": ("string_gte", "String length must be greater than or equal to {wanted}"),
    "maxLength": ("string_lte", "String length must be less than or equal to {wanted}"),
    "pattern": ("pattern", "Does not match pattern '{wanted}'"),
    "minItems": ("array_min_items", "Array must have at least {wanted} items"),
    "maxItems": ("array_max_items", "Array must have at most {wanted} items"),
    "minProperties": ("array_min_properties", "Must have at least {wanted} properties"),
    "maxProperties": ("array_max_properties", "Must have at most {wanted} properties"),
    "anyOf": ("number_any_of", "Must validate at least one schema (anyOf)"),
    "oneOf": ("number_one_of", "Must validate one and only one schema (oneOf)"),
    "not": ("number_not", "Must not validate the schema (not)"),
}
"""By keyword of the schema: the type of the error, and its text."""


def _document(value: Any) -> Any:
    """Return the document that *value* is, or that it is the JSON text of."""
    if isinstance(value, str):
        return values.parse_json(value.encode("utf-8", "replace"))
    if isinstance(value, list | dict | values.RegoObject):
        return values.to_json(value)
    raise operands.wrong(value, "string", "object")


def _validator(schema: Any) -> Any:
    """Return a validator for *schema*, draft 7 unless it says another; ValueError if it is none."""
    import jsonschema
    from referencing import Registry

    if not isinstance(schema, dict | bool):
        raise ValueError("schema is invalid")
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft7Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ValueError(_schema_fault(error)) from None
    return jsonschema.validators.extend(kind, {"pattern": _pattern})(schema, registry=Registry())


def _schema_fault(error: Any) -> str:
    if error.path and error.path[-1] == "type" and isinstance(error.instance, str):
        known = " ".join(TYPES)
        return (
            f"has a primitive type that is NOT VALID -- given: /{error.instance}/ "
            f"Expected valid values are:[{known}]"
        )
    return str(error.message)


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Any:
    """Check the keyword ``pattern`` by RE2, which no text keeps busy without end."""
    import jsonschema

    from edgetwin.policy.builtins.patterns import compiled

    if isinstance(instance, str) and compiled(pattern).search(instance.encode()) is None:
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


def verify_schema(schema: Any) -> list[Any]:
    """``json.verify_schema``: [whether it is a schema, why not]."""
    try:
        _validator(_document(schema))
    except ValueError as error:
        return [False, f"jsonschema: {error}"]
    return [True, None]


def match_schema(document: Any, schema: Any) -> list[Any]:
    """``json.match_schema``: [whether it matches, errors]."""
    from referencing.exceptions import Unresolvable

    validator = _validator(_document(schema))
    try:
        found = sorted(
            validator.iter_errors(_document(document)), key=lambda e: list(map(str, e.path))
        )
    except Unresolvable as error:
        raise ValueError(f"the schema refers to what is not there: {error}") from None
    return [not found, [_described(error) for error in found]]


def _described(error: Any) -> dict[str, str]:
    field = ".".join(map(str, error.absolute_path)) or "(root)"
    kind, text = _TEXTS.get(error.validator, (str(error.validator), ""))
    wanted = error.validator_value
    missing = [name for name in wanted if name not in error.instance] if kind == "required" else []
    described = text.format(
        property=next((name for name in missing if f"'{name}'" in error.message), ""),
        wanted=",".join(wanted) if isinstance(wanted, list) and kind == "invalid_type" else wanted,
        given=_given(error.instance),
        field=field,
        allowed=", ".join(map(go_json, wanted)) if isinstance(wanted, list) else go_json(wanted),
    ) if text else error.message  # fmt: skip
    return {"error": f"{field}: {described}", "type": kind, "field": field, "desc": described}


def _given(instance: Any) -> str:
    name = values.type_name(instance)
    return "integer" if name == "number" and instance == int(instance) else name


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json.verify_schema": verify_schema,
    "json.match_schema": match_schema,
}
