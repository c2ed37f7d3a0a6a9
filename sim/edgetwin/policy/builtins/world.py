"""Built-ins that look at the world: time, chance, the network, the host."""

from typing import Any

from edgetwin.policy.context import DecisionContext


def now_ns(context: DecisionContext) -> int:
    """``time.now_ns``: the simulated time, the same throughout a decision."""
    return context.now_ns


FUNCTIONS: dict[str, Any] = {}
CONTEXT_FUNCTIONS: dict[str, Any] = {"time.now_ns": now_ns}
