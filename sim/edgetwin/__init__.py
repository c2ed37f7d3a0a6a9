"""edgetwin: what happens to K3s edge sites while they are cut off from their cloud.

>>> scenario = load("topologies/smart-retail")  # doctest: +SKIP
>>> verdicts = check(scenario, simulate(scenario, seed=7))  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgetwin.errors import Problem, ScenarioError, UsageError

if TYPE_CHECKING:
    from edgetwin.checks import Result, Verdict, Verdicts, check
    from edgetwin.engine.run import simulate
    from edgetwin.history import History
    from edgetwin.history import load as load_history
    from edgetwin.inputs.scenario import load
    from edgetwin.model import Scenario, Targets, Topology

__version__ = "0.1.0"

__all__ = [
    "History",
    "Problem",
    "Result",
    "Scenario",
    "ScenarioError",
    "Targets",
    "Topology",
    "UsageError",
    "Verdict",
    "Verdicts",
    "check",
    "load",
    "load_history",
    "simulate",
]

_PLACES = {
    "History": "edgetwin.history:History",
    "Result": "edgetwin.checks:Result",
    "Scenario": "edgetwin.model:Scenario",
    "Targets": "edgetwin.model:Targets",
    "Topology": "edgetwin.model:Topology",
    "Verdict": "edgetwin.checks:Verdict",
    "Verdicts": "edgetwin.checks:Verdicts",
    "check": "edgetwin.checks:check",
    "load": "edgetwin.inputs.scenario:load",
    "load_history": "edgetwin.history:load",
    "simulate": "edgetwin.engine.run:simulate",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: `edgetwin --help` needs none of them."""
    if name not in _PLACES:
        raise AttributeError(f"module 'edgetwin' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
