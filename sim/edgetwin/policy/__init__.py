"""Real OPA policies, compiled to Wasm, decided in Python: usable without the rest of edgetwin.

    policy = Policy(load_bundle("policies/retail-authz-r1.tar.gz"))
    policy.decide("retail/authz/allow", {"role": "cashier", "action": "pay", ...})

What is measured and why it is built so: facts/opa-wasm.md.
"""

from typing import TYPE_CHECKING, Any

from edgetwin.policy import errors
from edgetwin.policy.bundle import Bundle, check_roots, load_bundle
from edgetwin.policy.context import DecisionContext, Network, NoNetwork
from edgetwin.policy.errors import BundleError, DecisionError, PolicyError
from edgetwin.policy.signature import Key
from edgetwin.policy.undefined import UNDEFINED

if TYPE_CHECKING:
    from edgetwin.policy.instance import Limits
    from edgetwin.policy.policy import FUEL_PER_US, Policy

__all__ = [
    "FUEL_PER_US",
    "UNDEFINED",
    "Bundle",
    "BundleError",
    "DecisionContext",
    "DecisionError",
    "Key",
    "Limits",
    "Network",
    "NoNetwork",
    "Policy",
    "PolicyError",
    "check_roots",
    "errors",
    "load_bundle",
]

_LAZY = {"Policy": "policy", "FUEL_PER_US": "policy", "Limits": "instance"}
"""What stands on wasmtime, whose import takes longer than all the rest."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
