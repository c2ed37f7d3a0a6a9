"""Built-ins over network addresses and URIs; none of them uses a network."""

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any

from edgetwin.policy.builtins import operands
from edgetwin.policy.builtins.encodings import unescaped
from edgetwin.policy.values import RegoSet, pairs_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

ADDRESSES_MAX = 1_000_000
"""Addresses that one block may be expanded to. Chosen: OPA stops at its deadline."""


def block(text: Any) -> Network:
    """Return the CIDR block *text*; raise ValueError unless it has a prefix length."""
    written = operands.text(text)
    if not re.fullmatch(r"[0-9a-fA-F:.]+/\d{1,3}", written):
        raise ValueError(f"invalid CIDR address: {written}")
    return ipaddress.ip_network(written, strict=False)


def _contains(outer: Network, inner: Any) -> bool:
    try:
        first = last = ipaddress.ip_address(operands.text(inner))
    except ValueError:
        network = block(inner)
        first, last = network.network_address, network.broadcast_address
    return first.version == outer.version and first in outer and last in outer


def _numbered(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (CIDR, what stands for it in the result) for the forms that an operand may have."""
    pairs = pairs_of(value)
    if isinstance(value, str):
        yield value, value
    elif isinstance(value, list):
        yield from ((_first(item), place) for place, item in enumerate(value))
    elif isinstance(value, RegoSet):
        yield from ((_first(item), item) for item in value)
    elif pairs is not None:
        yield from ((_first(item), key) for key, item in pairs)


def _first(item: Any) -> Any:
    if isinstance(item, list) and item:
        return item[0]
    if isinstance(item, str):
        return item
    raise ValueError("element must be string or non-empty array")


def contains_matches(blocks: Any, inner: Any) -> RegoSet:
    """``net.cidr_contains_matches``: all pairs of which the first contains the second."""
    return RegoSet(
        [index, other_index]
        for cidr, index in _numbered(blocks)
        for other, other_index in _numbered(inner)
        if _contains(block(cidr), other)
    )


def expand(cidr: Any) -> RegoSet:
    """``net.cidr_expand``: every address of a block."""
    network = block(cidr)
    if network.num_addresses > ADDRESSES_MAX:
        raise ValueError(f"more than {ADDRESSES_MAX} addresses")
    return RegoSet(str(address) for address in network)


def is_valid(cidr: Any) -> bool:
    """``net.cidr_is_valid``."""
    try:
        block(cidr)
    except ValueError:
        return False
    return True


def merge(blocks: Any) -> RegoSet:
    """``net.cidr_merge``: the fewest blocks for the same addresses."""
    ranges = sorted((_range(item) for item in operands.items(blocks)), key=lambda r: r[:3])
    merged: list[tuple[int, int, int, str | None]] = []
    for version, last, first, shown in ranges:
        while merged and merged[-1][0] == version and first - 1 <= merged[-1][1]:
            _, _, other_first, _ = merged.pop()
            first, shown = min(first, other_first), None
        merged.append((version, last, first, shown))
    result: list[str] = []
    for version, last, first, shown in merged:
        kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
        whole = ipaddress.summarize_address_range(kind(first), kind(last))
        result += [shown] if shown is not None else [str(network) for network in whole]
    return RegoSet(result)


def _range(item: Any) -> tuple[int, int, int, str | None]:
    """Return (version, last, first address, as written) of a block, or an address of its class."""
    written = operands.text(item)
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        network = block(written)
        shown = str(network)
    else:
        if address.version == 6:
            raise ValueError("IPv6 invalid: needs prefix length")
        top = int(address) >> 24
        bits = 8 if top < 128 else 16 if top < 192 else 24
        network, shown = ipaddress.ip_network((address, bits), strict=False), f"{address}/{bits}"
    bounds = int(network.broadcast_address), int(network.network_address)
    return network.version, *bounds, shown


_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*:")
_HOST = re.compile(r"(\[[^\]]*\]|(?!\[)[^:]*)(?::([0-9]*))?")
_HOST_CHARACTERS = re.compile(r"[a-zA-Z0-9\-_.~!$&'()*+,;=:\[\]<>\"%\x80-\U0010ffff]*")


def uri_parse(text: Any) -> dict[str, str]:
    """``uri.parse``: scheme, hostname, port, path, raw_path, raw_query, fragment, if not empty."""
    rest = operands.text(text)
    if any(character < " " or character == "\x7f" for character in rest):
        raise ValueError("invalid control character in URL")
    rest, _, fragment = rest.partition("#")
    found = {"fragment": unescaped(fragment)}
    scheme = _SCHEME.match(rest)
    if scheme:
        found["scheme"], rest = scheme.group()[:-1].lower(), rest[scheme.end() :]
    elif rest.startswith(":"):
        raise ValueError("missing protocol scheme")
    rest, _, found["raw_query"] = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            rest = ""  # opaque, such as mailto:someone
        elif ":" in rest.split("/", 1)[0]:
            raise ValueError("first path segment in URL cannot contain colon")
    if rest.startswith("//") and not (not scheme and rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        _authority(authority, found)
        rest = slash + path
    found["path"] = unescaped(rest)
    found["raw_path"] = rest if _needs_raw(found["path"], rest) else found["path"]
    return {key: value for key, value in found.items() if value}


def _authority(authority: str, found: dict[str, str]) -> None:
    user, at, host = authority.rpartition("@")
    if at and not re.fullmatch(r"[a-zA-Z0-9\-._:~!$&'()*+,;=%@]*", user):
        raise ValueError("net/url: invalid userinfo")
    unescaped(user)
    match = _HOST.fullmatch(host)
    if not match or not _HOST_CHARACTERS.fullmatch(match[1]):
        raise ValueError(f"invalid host {host!r}")
    name = match[1]
    if name.startswith("["):
        address, _, zone = name[1:-1].partition("%25")
        ipaddress.IPv6Address(address)
        name = f"{address}%{unescaped(zone)}" if zone else address
    elif re.search(r"%(?![89a-fA-F][0-9a-fA-F]|25)", name):
        # Go lets a host escape only what is not ASCII.
        raise ValueError("invalid URL escape in host")
    else:
        name = unescaped(name)
    found["hostname"], found["port"] = name, match[2] or ""


_UNESCAPED_IN_PATH = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~$&+,/:;=@"
)


def _needs_raw(path: str, written: str) -> bool:
    """Tell whether escaping *path* the default way does not give back *written*."""
    default = "".join(
        c if c in _UNESCAPED_IN_PATH else "".join(f"%{byte:02X}" for byte in c.encode())
        for c in path
    )
    return default != written


def uri_is_valid(text: Any) -> bool:
    """``uri.is_valid``."""
    try:
        return bool(operands.text(text)) and uri_parse(text) is not None
    except ValueError:
        return False


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "net.cidr_contains_matches": contains_matches,
    "net.cidr_expand": expand,
    "net.cidr_is_valid": is_valid,
    "net.cidr_merge": merge,
    "uri.parse": uri_parse,
    "uri.is_valid": uri_is_valid,
}
