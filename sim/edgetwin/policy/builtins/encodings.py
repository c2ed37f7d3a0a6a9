"""Built-ins that write values as text and read them back: hex, base64, URL, JSON, YAML."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote_plus, unquote_to_bytes

import yaml

from edgetwin.policy import documents
from edgetwin.policy.builtins import operands
from edgetwin.policy.values import number_text, to_json


def hex_encode(text: Any) -> str:
    """``hex.encode``."""
    return operands.raw(text).hex()


def hex_decode(text: Any) -> str:
    """``hex.decode``."""
    digits = operands.text(text)
    if any(character not in "0123456789abcdefABCDEF" for character in digits):
        raise ValueError("invalid byte in hex text")
    return bytes.fromhex(digits).decode("utf-8", "replace")


def base64url_no_pad(text: Any) -> str:
    """``base64url.encode_no_pad``."""
    return base64.urlsafe_b64encode(operands.raw(text)).decode().rstrip("=")


def query_encode(text: Any) -> str:
    """``urlquery.encode``."""
    return quote_plus(operands.raw(text), safe="")


def query_decode(text: Any) -> str:
    """``urlquery.decode``: a percent sign that starts no escape is an error."""
    return unescaped(operands.text(text).replace("+", " "))


def unescaped(text: str) -> str:
    """Return *text* with its percent escapes resolved; raise ValueError for a broken one."""
    at = text.find("%")
    while at >= 0:
        if len(text) < at + 3 or any(
            c not in "0123456789abcdefABCDEF" for c in text[at + 1 : at + 3]
        ):
            raise ValueError(f"invalid URL escape {text[at : at + 3]!r}")
        at = text.find("%", at + 3)
    return unquote_to_bytes(text).decode("utf-8", "replace")


def query_encode_object(value: Any) -> str:
    """``urlquery.encode_object``: keys sorted, several values of one in their order."""
    pairs: list[str] = []
    for key, item in sorted(operands.record(value).items()):
        given = [item] if isinstance(item, str) else operands.items(item)
        pairs += [f"{query_encode(key)}={query_encode(operands.text(one))}" for one in given]
    return "&".join(pairs)


def query_decode_object(text: Any) -> dict[str, list[str]]:
    """``urlquery.decode_object``."""
    query = operands.text(text)
    if ";" in query:
        raise ValueError("invalid semicolon separator in query")
    unescaped(query)
    decoded: dict[str, list[str]] = {}
    for key, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        decoded.setdefault(key, []).append(value)
    return decoded


def go_json(value: Any, indent: str | None = None, prefix: str = "") -> str:
    """Return *value* as Go's ``json.Marshal`` writes it: keys sorted, no spaces, HTML escaped."""
    return _written(to_json(value), indent, prefix, 0)


def _written(value: Any, indent: str | None, prefix: str, depth: int) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if not isinstance(value, dict | list):
        return number_text(value)
    if isinstance(value, dict):
        colon = ":" if indent is None else ": "
        parts = [
            f"{_quoted(key)}{colon}{_written(value[key], indent, prefix, depth + 1)}"
            for key in sorted(value)
        ]
    else:
        parts = [_written(item, indent, prefix, depth + 1) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    if indent is None or not parts:
        return opening + ",".join(parts) + closing
    inner, outer = f"\n{prefix}{indent * (depth + 1)}", f"\n{prefix}{indent * depth}"
    return opening + inner + f",{inner}".join(parts) + outer + closing


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        quoted = quoted.replace(character, f"\\u{ord(character):04x}")
    return quoted


def json_marshal_with_options(value: Any, options: Any) -> str:
    """``json.marshal_with_options``: pretty, prefix and indent."""
    chosen = operands.record(options)
    unknown = set(chosen) - {"pretty", "prefix", "indent"}
    if unknown:
        raise ValueError(f"object contained unknown key {sorted(unknown)[0]}")
    prefix = operands.text(chosen.get("prefix", ""))
    indent = operands.text(chosen.get("indent", "\t"))
    pretty = chosen.get("pretty", bool({"prefix", "indent"} & set(chosen)))
    if not isinstance(pretty, bool):
        raise operands.wrong(pretty, "boolean")
    return prefix + go_json(value, indent, prefix) if pretty else go_json(value)


class _Dumper(yaml.SafeDumper):
    """YAML as Go's yaml writes it: lists not indented inside objects."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def yaml_marshal(value: Any) -> str:
    """``yaml.marshal``."""
    return yaml.dump(
        to_json(value),
        Dumper=_Dumper,
        default_flow_style=False,
        allow_unicode=True,
        width=2**31,
    ).removesuffix("...\n")


def yaml_unmarshal(text: Any) -> Any:
    """``yaml.unmarshal``."""
    return documents.from_yaml(operands.text(text))


def yaml_is_valid(text: Any) -> bool:
    """``yaml.is_valid``."""
    try:
        documents.from_yaml(operands.text(text))
    except (ValueError, RecursionError):
        return False
    return True


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "hex.encode": hex_encode,
    "hex.decode": hex_decode,
    "base64url.encode_no_pad": base64url_no_pad,
    "urlquery.encode": query_encode,
    "urlquery.decode": query_decode,
    "urlquery.encode_object": query_encode_object,
    "urlquery.decode_object": query_decode_object,
    "json.marshal_with_options": json_marshal_with_options,
    "yaml.marshal": yaml_marshal,
    "yaml.unmarshal": yaml_unmarshal,
    "yaml.is_valid": yaml_is_valid,
}
