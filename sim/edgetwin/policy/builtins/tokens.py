"""Built-ins over JSON Web Tokens: decode, verify, sign."""

import base64
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from edgetwin.policy import values
from edgetwin.policy.builtins import operands
from edgetwin.policy.builtins.encodings import go_json
from edgetwin.policy.context import DecisionContext

REQUIRES = "jwt"
"""The import that this family stands on: PyJWT, with cryptography below it."""


def _decoded(part: str) -> bytes:
    """Return the bytes of a base64url text, its padding optional."""
    if any(sign in "+/" for sign in part) or len(part.rstrip("=")) % 4 == 1:
        raise ValueError("illegal base64url string")
    padded = part if part.endswith("=") else part + "=" * (-len(part) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except ValueError:
        raise ValueError("illegal base64url string") from None


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _object(raw: bytes) -> dict[str, Any]:
    parsed = values.parse_json(raw)
    if not isinstance(parsed, dict):
        raise ValueError("decoded JSON type was not an Object")
    return parsed


def _parts(token: Any) -> tuple[str, str, str]:
    parts = operands.text(token).split(".")
    if len(parts) != 3:
        raise ValueError(f"encoded JWT must have 3 sections, found {len(parts)}")
    return parts[0], parts[1], parts[2]


def _header(part: str) -> dict[str, Any]:
    header = _object(_decoded(part))
    if "enc" in header:
        raise ValueError("JWT is a JWE object, which is not supported")
    return header


def decode(token: Any) -> list[Any]:
    """``io.jwt.decode``: [header, payload, signature in hex], of the innermost token."""
    head, body, signature = _parts(token)
    header, payload = _header(head), _decoded(body)
    if "cty" in header and operands.text(header["cty"]) == "JWT":
        return decode(payload.decode("utf-8", "replace").strip("\"'"))
    return [header, _object(payload), _decoded(signature).hex()]


def verify(algorithm: str, token: Any, certificate: Any) -> bool:
    """``io.jwt.verify_*`` under the keys of a certificate, a public key or JSON Web Keys."""
    from edgetwin.policy.builtins.signing import read_keys, verified

    head, body, tail = _parts(token)
    keys = read_keys(operands.text(certificate))
    signature, header = _decoded(tail), _fields(_header(head))
    message = f"{head}.{body}".encode()
    named = [key for key in keys if header["kid"] and key.key_id == header["kid"]]
    if named:
        return verified(named[0].key, algorithm, message, signature, exact=False)
    return any(
        verified(key.key, algorithm, message, signature, exact=False)
        for key in keys
        if key.algorithm in {"", header["alg"]}
    )


def verify_secret(algorithm: str, token: Any, secret: Any) -> bool:
    """``io.jwt.verify_hs*`` under a shared secret."""
    from edgetwin.policy.builtins.signing import verified

    head, body, tail = _parts(token)
    key = operands.raw(secret)
    return verified(key, algorithm, f"{head}.{body}".encode(), _decoded(tail), exact=False)


def _fields(header: dict[str, Any]) -> dict[str, str]:
    """Return the header fields that verifying looks at; raise ValueError if one is no text."""
    return {name: operands.text(header.get(name, "")) for name in ("alg", "kid", "typ", "cty")}


def _critical(header: dict[str, Any]) -> bool:
    """Tell whether the header declares critical what is unknown, which makes it invalid."""
    if "crit" not in header:
        return False
    names = [operands.text(name) for name in operands.array(header["crit"])]
    if not names:
        raise ValueError("crit: must be a nonempty list")
    known = {"alg", "kid", "typ", "cty", "crit"}
    return any(name in header and name not in known for name in names)


_UNVERIFIED = [False, {}, {}]


def decode_verify(context: DecisionContext, token: Any, constraints: Any) -> list[Any]:
    """``io.jwt.decode_verify``: [valid, header, payload]; the time is the simulated one."""
    wanted = operands.record(constraints)
    unknown = set(wanted) - {"cert", "secret", "alg", "iss", "aud", "time"}
    if unknown:
        raise ValueError(f"unknown token validation constraint: {sorted(unknown)[0]}")
    for name in set(wanted) - {"time"}:
        operands.text(wanted[name])
    time_ns = operands.number(wanted.get("time", context.now_ns))
    if time_ns < 0:
        raise ValueError("token time constraint: must not be negative")
    if ("cert" in wanted) == bool(wanted.get("secret")):
        raise ValueError("one key constraint is needed: cert or secret")
    while True:
        head, body, tail = _parts(token)
        header = _header(head)
        fields = _fields(header)
        if not fields["alg"] or _critical(header):
            return _UNVERIFIED
        if wanted.get("alg") and wanted["alg"] != fields["alg"]:
            return _UNVERIFIED
        signature = _decoded(tail)
        if not _trusted(wanted, fields, f"{head}.{body}".encode(), signature):
            return _UNVERIFIED
        payload = _decoded(body)
        if fields["cty"].upper() != "JWT":
            break
        token = payload.decode("utf-8", "replace")
    claims = _object(payload)
    valid = _acceptable(claims, wanted, float(time_ns) / 1e9)
    return [True, header, claims] if valid else _UNVERIFIED


def _trusted(
    wanted: dict[str, Any], fields: dict[str, str], message: bytes, signature: bytes
) -> bool:
    """Tell whether the signature verifies under the key constraint, by the token's algorithm."""
    from edgetwin.policy.builtins.signing import read_keys, verified

    algorithm = fields["alg"]
    if "cert" not in wanted:
        return verified(wanted["secret"].encode(), algorithm, message, signature, exact=True)
    keys = read_keys(wanted["cert"])
    named = [key for key in keys if fields["kid"] and key.key_id == fields["kid"]]
    usable = named[:1] or [key for key in keys if key.algorithm in {"", algorithm}]
    return any(verified(key.key, algorithm, message, signature, exact=True) for key in usable)


def _acceptable(claims: dict[str, Any], wanted: dict[str, Any], time_s: float) -> bool:
    """Tell whether issuer, audience and validity are what is wanted."""
    if wanted.get("iss") and operands.text(claims.get("iss", "")) != wanted["iss"]:
        return False
    audience = claims.get("aud")
    if "aud" in claims:
        named = audience if isinstance(audience, list) else [audience]
        if not any(isinstance(name, str) and name == wanted.get("aud", "") for name in named):
            return False
    elif wanted.get("aud"):
        return False
    if "exp" in claims and time_s >= operands.number(claims["exp"]):
        return False
    return not ("nbf" in claims and time_s < operands.number(claims["nbf"]))


def encode_sign_raw(header: Any, payload: Any, key: Any) -> str:
    """``io.jwt.encode_sign_raw``: header, payload and key as JSON texts."""
    from edgetwin.policy.builtins.signing import ALGORITHMS, signed

    head, body = operands.raw(header), operands.raw(payload)
    fields = _object(head)
    algorithm = operands.text(fields.get("alg"))
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown JWS algorithm: {algorithm}")
    if fields.get("typ", "JWT") == "JWT":
        json.loads(body)
    message = f"{_encoded(head)}.{_encoded(body)}"
    return f"{message}.{_encoded(signed(operands.text(key), algorithm, message.encode()))}"


def encode_sign(header: Any, payload: Any, key: Any) -> str:
    """``io.jwt.encode_sign``: header, payload and key as objects."""
    return encode_sign_raw(go_json(header), go_json(payload), go_json(key))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "io.jwt.decode": decode,
    **{
        f"io.jwt.verify_{name.lower()}": partial(verify, name)
        for name in (
            "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
            "EdDSA",
        )
    },
    **{
        f"io.jwt.verify_{name.lower()}": partial(verify_secret, name)
        for name in ("HS256", "HS384", "HS512")
    },
    "io.jwt.encode_sign": encode_sign,
    "io.jwt.encode_sign_raw": encode_sign_raw,
}  # fmt: skip
CONTEXT_FUNCTIONS: dict[str, Callable[..., Any]] = {"io.jwt.decode_verify": decode_verify}
