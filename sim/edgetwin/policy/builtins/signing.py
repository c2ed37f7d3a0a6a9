"""Keys and signatures of JSON Web Tokens: PyJWT reads the keys, cryptography does the arithmetic.

Signatures are deterministic where the algorithm allows it (ES*, by RFC 6979); PS* draws its salt
from the machine.
"""

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
    "HS256", "HS384", "HS512", "EdDSA",
)  # fmt: skip
"""What OPA signs and verifies with."""

KEYS_KEPT = 64

_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512,
}  # fmt: skip


@dataclass(frozen=True)
class TokenKey:
    """A key from a certificate, a PEM block or a JSON Web Key; a shared secret is bytes."""

    key: Any
    algorithm: str = ""
    key_id: str = ""


@lru_cache(KEYS_KEPT)
def read_keys(text: str) -> tuple[TokenKey, ...]:
    """Return the keys in *text*: a PEM certificate or public key, a JSON Web Key or a set of them.

    Keys for algorithms that OPA does not know are left out. Raises ValueError if it is none.
    """
    if "-----BEGIN" in text:
        return (TokenKey(_from_pem(text)),)
    return tuple(
        TokenKey(_from_jwk(fields), str(fields.get("alg", "")), str(fields.get("kid", "")))
        for fields in read_jwks(text)
        if fields.get("alg", "") in {"", *ALGORITHMS}
    )


def read_jwks(text: str) -> list[dict[str, Any]]:
    """Return the JSON Web Keys in *text*, which is one or a set of them."""
    parsed = json.loads(text)
    found = parsed.get("keys") if isinstance(parsed, dict) and "keys" in parsed else [parsed]
    if not isinstance(found, list) or not all(isinstance(fields, dict) for fields in found):
        raise ValueError("is no JSON Web Key")
    return found


def _from_pem(text: str) -> Any:
    start = text.find("-----BEGIN ")
    label = text[start + 11 :].split("-----", 1)[0]
    closing = f"-----END {label}-----"
    end = text.find(closing)
    if end < 0 or text[end + len(closing) :].lstrip("\r\n"):
        raise ValueError("extra data after a PEM certificate block")
    raw = text[start : end + len(closing)].encode()
    if label == "CERTIFICATE":
        return x509.load_pem_x509_certificate(raw).public_key()
    if label == "PUBLIC KEY":
        return serialization.load_pem_public_key(raw)
    raise ValueError("failed to extract a Key from the PEM certificate")


def _from_jwk(fields: dict[str, Any]) -> Any:
    """Return the key that the JSON Web Key *fields* hold."""
    readers: dict[str, Any] = {
        "RSA": RSAAlgorithm,
        "EC": ECAlgorithm,
        "OKP": OKPAlgorithm,
        "oct": HMACAlgorithm,
    }
    reader = readers.get(str(fields.get("kty")))
    if reader is None:
        raise ValueError(f"unknown key type {fields.get('kty')!r}")
    try:
        return reader.from_jwk(fields)
    except (InvalidKeyError, TypeError, KeyError) as error:
        raise ValueError(f"is no JSON Web Key: {error}") from None


def verified(key: Any, algorithm: str, message: bytes, signature: bytes, *, exact: bool) -> bool:
    """Tell whether *signature* is that of *message* under *key* by *algorithm*.

    *exact* also wants an ES* signature to be as long as its curve says, as ``decode_verify`` does.
    """
    try:
        return _verified(key, algorithm, message, signature, exact)
    except (InvalidSignature, ValueError):
        return False


def _verified(key: Any, algorithm: str, message: bytes, signature: bytes, exact: bool) -> bool:
    family, size = algorithm[:2], algorithm[2:]
    if algorithm == "EdDSA":
        if not isinstance(key, ed25519.Ed25519PublicKey):
            return False
        key.verify(signature, message)
        return True
    if algorithm not in ALGORITHMS:
        return False
    if family == "HS":
        digest = hmac.digest(key, message, f"sha{size}") if isinstance(key, bytes) else None
        return digest is not None and hmac.compare_digest(digest, signature)
    kind = _HASHES[size]()
    if family == "ES":
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        half = len(signature) // 2
        if exact and len(signature) != 2 * ((key.curve.key_size + 7) // 8):
            return False
        numbers = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
        key.verify(utils.encode_dss_signature(*numbers), message, ec.ECDSA(kind))
        return True
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    key.verify(signature, message, _padding(family, kind, padding.PSS.AUTO), kind)
    return True


def _padding(family: str, kind: hashes.HashAlgorithm, salt: Any) -> Any:
    if family == "RS":
        return padding.PKCS1v15()
    return padding.PSS(mgf=padding.MGF1(kind), salt_length=salt)


def signed(jwk: str, algorithm: str, message: bytes) -> bytes:
    """Return the signature of *message* under the first key of *jwk*; ValueError if none fits."""
    keys = read_jwks(jwk)
    if not keys:
        raise ValueError("no keys found in JWK set")
    key, size = _from_jwk(keys[0]), algorithm[2:]
    if algorithm == "EdDSA" and isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if algorithm.startswith("HS") and isinstance(key, bytes):
        return hmac.digest(key, message, f"sha{size}")
    if algorithm.startswith("ES") and isinstance(key, ec.EllipticCurvePrivateKey):
        der = key.sign(message, ec.ECDSA(_HASHES[size](), deterministic_signing=True))
        width = (key.curve.key_size + 7) // 8
        return b"".join(n.to_bytes(width, "big") for n in utils.decode_dss_signature(der))
    if algorithm[:2] in {"RS", "PS"} and isinstance(key, rsa.RSAPrivateKey):
        kind = _HASHES[size]()
        return key.sign(message, _padding(algorithm[:2], kind, kind.digest_size), kind)
    raise ValueError(f"the key is not one for {algorithm}")
