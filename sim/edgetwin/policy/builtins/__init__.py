"""The built-in functions that OPA leaves to the host, each looked up when a module asks for it.

A family is a module of this package with a dict ``FUNCTIONS`` from Rego names to functions over
Rego values, and ``CONTEXT_FUNCTIONS`` for those that look at the world. A ValueError raised by one
makes the expression undefined, as an error of a built-in does in OPA. A family that stands on an
optional library names it in ``REQUIRES``; without it, its built-ins are refused with the remedy.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from edgetwin.policy.context import DecisionContext

IMPURE = frozenset(
    {
        "http.send", "io.jwt.decode_verify", "io.jwt.encode_sign", "io.jwt.encode_sign_raw",
        "net.lookup_ip_addr", "opa.runtime", "rand.intn", "time.now_ns", "uuid.rfc4122",
    }
)  # fmt: skip
"""What OPA calls nondeterministic (capabilities/v1.20.2.json): their policies are not memoised."""

FAMILIES = (
    "text", "clock", "quantities", "structures", "patterns", "addresses", "digests", "encodings",
    "tokens", "schemas", "world",
)  # fmt: skip
"""Modules of this package, in the order in which they are asked."""


class Unavailable(Exception):  # noqa: N818
    """A built-in that is not there; the text is the remedy."""


def find(name: str, context: Callable[[], DecisionContext]) -> Callable[..., Any]:
    """Return the built-in *name*; *context* gives the world of the present decision.

    Raises Unavailable, with the remedy, if this host does not have it.
    """
    for family in FAMILIES:
        module = import_module(f"{__name__}.{family}")
        pure: dict[str, Callable[..., Any]] = module.FUNCTIONS
        worldly: dict[str, Callable[..., Any]] = getattr(module, "CONTEXT_FUNCTIONS", {})
        if name not in pure and name not in worldly:
            continue
        if hasattr(module, "REQUIRES") and find_spec(module.REQUIRES) is None:
            raise Unavailable("pip install 'edgetwin[policy]'")
        if name in pure:
            return pure[name]
        return partial(_with_context, worldly[name], context)
    raise Unavailable("this host does not have it; pass your own as builtin_functions")


def _with_context(
    function: Callable[..., Any], context: Callable[[], DecisionContext], *operands: Any
) -> Any:
    return function(context(), *operands)
