"""Signed bundles: the token in ``.signatures.json`` verifies, and covers exactly the files.

The rules are OPA's (facts/opa-wasm.md, 2.1): one token; the key is chosen by the token's key id and
the algorithm is the key's own, never the token's; JSON and YAML files are hashed in a canonical
form, all others as they are; a file too many or too few refuses the bundle. The cryptography is
PyJWT's, an optional dependency: ``pip install 'edgetwin[policy]'``.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgetwin.policy import documents
from edgetwin.policy.errors import SignatureError

SIGNATURES_PATH = "/.signatures.json"

HASHES = {
    "MD5": "md5", "SHA-1": "sha1", "SHA-224": "sha224", "SHA-256": "sha256",
    "SHA-384": "sha384", "SHA-512": "sha512",
    "SHA-512-224": "sha512_224", "SHA-512-256": "sha512_256",
}  # fmt: skip
"""Names in a token, and what Python calls them."""


@dataclass(frozen=True)
class Key:
    """A key that bundles may be signed with."""

    key: str
    """A PEM public key or certificate; for HS256 and its like the shared secret."""
    algorithm: str = "RS256"
    scope: str = ""


class _Verbatim(str):
    """A number as the file spells it: ``1.0`` and ``1`` have different hashes."""


def verify(
    name: str, files: Mapping[str, bytes], keys: Mapping[str, Key] | None, scope: str
) -> str:
    """Return the id of the key that signed the *files* of the bundle *name*; empty if unsigned.

    Raises SignatureError if it is signed but no keys are given, if keys are given but it is not
    signed, if the token does not verify under the key it names, and if a file is missing from the
    token, from the archive, or was changed.
    """
    signed = SIGNATURES_PATH in files
    if not keys:
        if signed:
            raise SignatureError(
                name, "is signed, but no key to verify it was given", "pass the public key"
            )
        return ""
    if not signed:
        raise SignatureError(name, "is not signed, and a signature is required")
    tokens = documents.json_document(name, SIGNATURES_PATH, files[SIGNATURES_PATH], SignatureError)
    listed = tokens.get("signatures") if isinstance(tokens, dict) else None
    if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], str):
        raise SignatureError(name, f"{SIGNATURES_PATH} does not hold exactly one token")
    key_id, claims = _claims(name, listed[0], keys, scope)
    _compare(name, files, claims)
    return key_id


def _claims(
    name: str, token: str, keys: Mapping[str, Key], scope: str
) -> tuple[str, Mapping[str, Any]]:
    """Return the id of the key that verifies *token*, and what the token says."""
    try:
        header, payload, signature = (_base64url(part) for part in token.split("."))
        head, claims = json.loads(header), json.loads(payload)
        key_id = head.get("kid") or claims.get("keyid") or ""
    except (ValueError, AttributeError, RecursionError):
        raise SignatureError(name, "the token is not three parts of base64url JSON") from None
    if key_id not in keys:
        known = ", ".join(sorted(keys))
        raise SignatureError(name, f"is signed by the unknown key {key_id!r}", f"known: {known}")
    key = keys[key_id]
    if not _verified(name, key, token.rpartition(".")[0].encode(), signature):
        raise SignatureError(name, f"the signature does not verify under the key {key_id!r}")
    wanted = scope or key.scope
    if claims.get("scope", "") != wanted:
        raise SignatureError(
            name, f"is signed for the scope {claims.get('scope', '')!r}, not {wanted!r}"
        )
    return key_id, claims


def _verified(name: str, key: Key, message: bytes, signature: bytes) -> bool:
    """Tell whether *signature* is that of *message* under *key*, by the key's own algorithm."""
    try:
        from jwt.algorithms import get_default_algorithms
        from jwt.exceptions import InvalidKeyError
    except ImportError:
        raise SignatureError(
            name, "is signed, and PyJWT is not installed", "pip install 'edgetwin[policy]'"
        ) from None
    algorithm = get_default_algorithms().get(key.algorithm)
    if algorithm is None or key.algorithm == "none":
        raise SignatureError(name, f"{key.algorithm!r} is no signature algorithm that we know")
    if key.algorithm.startswith("HS"):
        # Any text may be a shared secret, also one that PyJWT would take for a PEM key.
        digest = "sha" + key.algorithm[2:]
        return hmac.compare_digest(hmac.digest(key.key.encode(), message, digest), signature)
    try:
        return bool(algorithm.verify(message, algorithm.prepare_key(key.key), signature))
    except (InvalidKeyError, ValueError, TypeError) as error:
        raise SignatureError(name, f"the {key.algorithm} key cannot be read: {error}") from None


def _compare(name: str, files: Mapping[str, bytes], claims: Mapping[str, Any]) -> None:
    """Raise SignatureError unless the token lists exactly *files*, each with its digest."""
    listed = claims.get("files")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise SignatureError(name, "the token lists no files")
    signed = {"/" + str(entry.get("name", "")).lstrip("/"): entry for entry in listed}
    present = set(files) - {SIGNATURES_PATH}
    for path in sorted(present ^ set(signed)):
        where = "is not covered by the signature" if path in present else "is missing"
        raise SignatureError(name, f"{path} {where}")
    for path in sorted(present):
        algorithm = HASHES.get(str(signed[path].get("algorithm")))
        if algorithm is None:
            raise SignatureError(name, f"{path}: unknown hash {signed[path].get('algorithm')!r}")
        digest = hashlib.new(algorithm, _canonical(name, path, files[path])).hexdigest()
        if not hmac.compare_digest(digest, str(signed[path].get("hash")).lower()):
            raise SignatureError(name, f"{path} is not what was signed: its digest is {digest}")


def _canonical(name: str, path: str, raw: bytes) -> bytes:
    """Return the bytes of a file that are hashed: sorted and without spaces if JSON or YAML."""
    base = path.rpartition("/")[2]
    if base in {"data.yaml", "data.yml"}:
        return _sorted_json(documents.yaml_document(name, path, raw)).encode()
    if base not in {"data.json", "patch.json", ".manifest"}:
        return raw
    try:
        value = json.loads(raw, parse_int=_Verbatim, parse_float=_Verbatim)
    except (ValueError, RecursionError) as error:
        raise SignatureError(name, f"{path} is not JSON: {error}") from None
    return _sorted_json(value).encode("utf-8", "replace")


def _sorted_json(value: Any) -> str:
    if isinstance(value, dict):
        members = (f"{_sorted_json(key)}:{_sorted_json(value[key])}" for key in sorted(value))
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_sorted_json, value))}]"
    if isinstance(value, _Verbatim):
        return str(value)
    text = json.dumps(value, ensure_ascii=False)
    # Go's encoder escapes these two, which end a line in JavaScript.
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _base64url(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
