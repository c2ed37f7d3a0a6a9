"""Built-ins for hashes, message authentication and UUIDs."""

import hashlib
import hmac
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from edgetwin.policy.builtins import operands

GREGORIAN_TO_UNIX_100NS = 0x01B21DD213814000
"""From 1582-10-15, where UUID times start, to 1970, in 100 ns: RFC 4122, 4.1.4."""


def digest(algorithm: str, text: Any) -> str:
    """Return the hex digest of *text*."""
    return hashlib.new(algorithm, operands.raw(text)).hexdigest()


def authenticated(algorithm: str, text: Any, key: Any) -> str:
    """Return the hex HMAC of *text* under *key*."""
    return hmac.new(operands.raw(key), operands.raw(text), algorithm).hexdigest()


def hmac_equal(one: Any, other: Any) -> bool:
    """``crypto.hmac.equal``: in constant time."""
    return hmac.compare_digest(operands.raw(one), operands.raw(other))


def uuid_parse(text: Any) -> dict[str, Any]:
    """``uuid.parse``: version and variant; for versions 1 and 2 also time, node and clock."""
    written = operands.text(text)
    if len(written) not in {32, 36, 38, 45}:
        raise ValueError("no UUID")
    if len(written) == 45 and not written.lower().startswith("urn:uuid:"):
        raise ValueError("no UUID")
    plain = written[9:] if len(written) == 45 else written[1:-1] if len(written) == 38 else written
    if len(plain) == 36 and [at for at, sign in enumerate(plain) if sign == "-"] != [8, 13, 18, 23]:
        raise ValueError("no UUID")
    parsed = uuid.UUID(plain)
    version = (parsed.int >> 76) & 0xF
    found: dict[str, Any] = {"version": version, "variant": _variant(parsed.bytes[8])}
    if version in {1, 2}:
        node = parsed.bytes[10:]
        since_1582 = parsed.time
        found |= {
            "time": (since_1582 - GREGORIAN_TO_UNIX_100NS) * 100,
            "nodeid": "-".join(f"{byte:02x}" for byte in node),
            "macvariables": _mac(node[0]),
            "clocksequence": (parsed.clock_seq_hi_variant << 8 | parsed.clock_seq_low) & 0x3FFF,
        }
    if version == 2:
        domains = {0: "Person", 1: "Group", 2: "Org"}
        domain = parsed.bytes[9]
        found |= {"id": parsed.time_low, "domain": domains.get(domain, f"Domain{domain}")}
    return found


def _variant(byte: int) -> str:
    if byte & 0xC0 == 0x80:
        return "RFC4122"
    if byte & 0xE0 == 0xC0:
        return "Microsoft"
    return "Future" if byte & 0xE0 == 0xE0 else "Reserved"


def _mac(first: int) -> str:
    return f"{'local' if first & 2 else 'global'}:{'multicast' if first & 1 else 'unicast'}"


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f"crypto.{name}": partial(digest, name) for name in ("md5", "sha1", "sha256")},
    **{
        f"crypto.hmac.{name}": partial(authenticated, name)
        for name in ("md5", "sha1", "sha256", "sha512")
    },
    "crypto.hmac.equal": hmac_equal,
    "uuid.parse": uuid_parse,
}
