"""Built-ins that look at the world: time, chance, the network, the host. The context answers."""

import ipaddress
import uuid
from collections.abc import Callable
from typing import Any

from edgetwin.policy.builtins import operands
from edgetwin.policy.builtins.text import printed
from edgetwin.policy.context import DecisionContext
from edgetwin.policy.values import RegoSet, to_json


def now_ns(context: DecisionContext) -> int:
    """``time.now_ns``: the simulated time, the same throughout a decision."""
    return context.now_ns


def intn(context: DecisionContext, key: Any, limit: Any) -> int:
    """``rand.intn``: the same number for the same key and limit within a decision."""
    name, size = operands.text(key), abs(operands.integer(limit))
    return context.draw("rand.intn", name, str(size)) % size if size else 0


def rfc4122(context: DecisionContext, key: Any) -> str:
    """``uuid.rfc4122``: a random UUID, the same for the same key within a decision."""
    bits = context.draw("uuid.rfc4122", operands.text(key))
    return str(uuid.UUID(int=bits, version=4))


def runtime(context: DecisionContext) -> dict[str, Any]:
    """``opa.runtime``: what the caller says of the host."""
    return dict(context.environment)


def lookup(context: DecisionContext, name: Any) -> RegoSet:
    """``net.lookup_ip_addr`` over the simulated network; an address is its own answer."""
    host = operands.text(name)
    try:
        return RegoSet([str(ipaddress.ip_address(host))])
    except ValueError:
        pass
    try:
        found = context.once(("lookup", host), lambda: context.network.lookup(host))
        return RegoSet(found)
    except ConnectionError as error:
        raise ValueError(str(error)) from None


def send(context: DecisionContext, request: Any) -> Any:
    """``http.send`` over the simulated network; with ``raise_error: false`` it never fails."""
    asked = to_json(operands.record(request))
    for needed in ("method", "url"):
        operands.text(asked.get(needed))
    key = ("send", repr(sorted(asked.items())))
    try:
        return context.once(key, lambda: dict(context.network.send(asked)))
    except ConnectionError as error:
        if asked.get("raise_error", True):
            raise ValueError(str(error)) from None
        fault = {"code": "eval_http_send_network_error", "message": str(error)}
        return {"status_code": 0, "error": fault}


def print_(context: DecisionContext, parts: Any) -> Any:
    """``internal.print``: what ``print(...)`` compiles to, if the compiler was asked to keep it."""
    if context.printed is not None:
        context.printed(" ".join(printed(part) for part in operands.array(parts)))
    return True


def trace(context: DecisionContext, note: Any) -> bool:
    """``trace``: a note for who debugs a policy."""
    if context.printed is not None:
        context.printed(operands.text(note))
    return True


FUNCTIONS: dict[str, Callable[..., Any]] = {}
CONTEXT_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "time.now_ns": now_ns,
    "rand.intn": intn,
    "uuid.rfc4122": rfc4122,
    "opa.runtime": runtime,
    "net.lookup_ip_addr": lookup,
    "http.send": send,
    "internal.print": print_,
    "trace": trace,
}
