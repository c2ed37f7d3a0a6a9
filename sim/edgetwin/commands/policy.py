"""``edgetwin policy ...``: look at bundles, ask them, measure, build and test them."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

HELP = "inspect, evaluate, test, measure and build OPA policies"

_EXAMPLE = "such as policies/retail-authz-r1.tar.gz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to *parser*."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    inspect = actions.add_parser("inspect", help="say what is in a bundle")
    _bundle(inspect)
    inspect.add_argument("--json", action="store_true", help="as JSON")

    evaluate = actions.add_parser("eval", help="ask a bundle one question; OPA's result shape")
    _bundle(evaluate)
    _entrypoint(evaluate)
    evaluate.add_argument("-i", "--input", metavar="FILE", help="the input as JSON; - is stdin")
    evaluate.add_argument("-d", "--data", metavar="FILE", help="JSON in place of the bundle's data")
    evaluate.add_argument("--time", metavar="NS", type=int, help="what time.now_ns() gives")
    evaluate.add_argument("--seed", type=int, default=0, help="what rand.intn() draws from")

    bench = actions.add_parser("bench", help="measure decisions on this machine")
    _bundle(bench)
    _entrypoint(bench)
    bench.add_argument("-i", "--input", metavar="FILE", help="the input as JSON; - is stdin")
    bench.add_argument("--seconds", type=float, default=1.0, help="for each way of asking")

    build = actions.add_parser("build", help="build bundles from Rego with the real opa")
    build.add_argument("folder", metavar="DIR", nargs="?", default="policies",
                       help="the folder with bundles.yaml (policies)")  # fmt: skip
    build.add_argument("--check", action="store_true",
                       help="build, write nothing, fail if anything differs")  # fmt: skip
    build.add_argument("--locked", action="store_true",
                       help="with --check: compare digests with the lock, without opa")  # fmt: skip

    test = actions.add_parser("test", help="run decision tables")
    test.add_argument("paths", metavar="PATH", nargs="+",
                      help="*_test.yaml, or a folder with some in it")  # fmt: skip


def _bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", help=f".tar.gz or .wasm, {_EXAMPLE}")
    parser.add_argument("--key", metavar="FILE", help="PEM key or secret that it must be signed by")
    parser.add_argument("--key-id", metavar="ID", default="default", help="the key's id (default)")
    parser.add_argument("--algorithm", default="RS256", help="the key's algorithm (RS256)")


def _entrypoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--entrypoint", metavar="ENTRYPOINT",
                        help="such as retail/authz/allow; needed if there are several")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Carry out the action; 0, or 1 if a test failed or a build differs."""
    from edgetwin.errors import ScenarioError
    from edgetwin.policy.errors import PolicyError

    action = {"inspect": _inspect, "eval": _eval, "bench": _bench, "build": _build, "test": _test}
    try:
        return action[arguments.action](arguments)
    except PolicyError as error:
        raise ScenarioError([error.problem]) from None


def _load(arguments: argparse.Namespace) -> Any:
    """Return the bundle that the arguments name, verified if they give a key."""
    from edgetwin.policy import Key, load_bundle

    keys = None
    if arguments.key:
        text = _read(arguments.key).decode("utf-8", "replace")
        keys = {arguments.key_id: Key(text, arguments.algorithm)}
    return load_bundle(_read(arguments.bundle), name=os.path.basename(arguments.bundle), keys=keys)


def _read(path: str) -> bytes:
    """Return the bytes of the file *path*, or of stdin for ``-``."""
    from edgetwin.errors import Problem, ScenarioError

    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise ScenarioError([Problem(path, 0, "", f"cannot be read: {error.strerror}")]) from None


def _json(path: str) -> Any:
    """Return the JSON value in the file *path*."""
    from edgetwin.errors import Problem, ScenarioError
    from edgetwin.policy.values import parse_json

    try:
        return parse_json(_read(path))
    except (ValueError, RecursionError) as error:
        raise ScenarioError([Problem(path, 0, "", f"is not JSON: {error}")]) from None


def _chosen(policy: Any, entrypoint: str | None) -> str:
    """Return the entrypoint to ask: the one given, else the only one there is."""
    from edgetwin.errors import UsageError

    if entrypoint is not None:
        return entrypoint
    if len(policy.entrypoints) == 1:
        return str(policy.entrypoints[0])
    raise UsageError(f"say which entrypoint with -e: {', '.join(policy.entrypoints)}")


def _inspect(arguments: argparse.Namespace) -> int:
    """Print what a bundle holds; a bundle of data alone has no entrypoints."""
    from edgetwin.policy.policy import interface
    from edgetwin.policy.values import json_bytes
    from edgetwin.units import size_text

    bundle = _load(arguments)
    module = interface(bundle) if bundle.wasm is not None else None
    facts = {
        "name": bundle.name,
        "revision": bundle.revision,
        "sha256": bundle.sha256,
        "size_bytes": bundle.size_bytes,
        "roots": list(bundle.roots),
        "signed_by": bundle.signed_by,
        "data_bytes": len(json_bytes(bundle.data)),
        "delta_operations": None if bundle.patch is None else len(bundle.patch),
        "wasm_bytes": len(bundle.wasm or b""),
        "abi": module and f"1.{module.abi_minor}",
        "entrypoints": list(module.entrypoints) if module else [],
        "builtins": list(module.builtins) if module else [],
        "not_provided": list(module.missing) if module else [],
        "pure": module and module.pure,
        "memory_bytes": module and module.memory_bytes,
    }
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    for key, value in facts.items():
        if key.endswith("_bytes") and value is not None:
            shown = f"{value} ({size_text(value)})"
        elif isinstance(value, list):
            shown = ", ".join(item or repr(item) for item in value) or "none"
        else:
            shown = {None: "-", True: "yes", False: "no", "": "-"}.get(value, value)
        print(f"{key.removesuffix('_bytes').replace('_', ' '):<17} {shown}")
    return 0


def _eval(arguments: argparse.Namespace) -> int:
    """Print one decision as OPA does: ``{"result": ...}``, and ``{}`` for an undefined one."""
    from edgetwin.policy import UNDEFINED, DecisionContext, Policy
    from edgetwin.policy.builtins.encodings import go_json

    bundle = _load(arguments)
    context = DecisionContext(
        seed=arguments.seed, printed=lambda line: print(line, file=sys.stderr)
    )
    if arguments.time is not None:
        context.epoch_ns = arguments.time
    policy = Policy(bundle, context=context)
    if arguments.data:
        policy.set_data(_json(arguments.data))
    given = _json(arguments.input) if arguments.input else UNDEFINED
    result = policy.decide(_chosen(policy, arguments.entrypoint), given)
    print(go_json({} if result is UNDEFINED else {"result": result}, "  "))
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    """Print how long a decision takes here, in each way of asking for it."""
    from edgetwin.policy import FUEL_PER_US, UNDEFINED, Limits, Policy
    from edgetwin.policy.measuring import measure

    bundle = _load(arguments)
    given = _json(arguments.input) if arguments.input else UNDEFINED
    entrypoint = _chosen(Policy(bundle), arguments.entrypoint)
    ways = {
        "one by one": Policy(bundle, memo_entries=0),
        "no deadline": Policy(bundle, memo_entries=0, limits=Limits(deadline_us=None)),
        "public API": Policy(bundle, memo_entries=0, public_api=True),
        "remembered": Policy(bundle),
    }
    print(f"{'us a decision':<14} {'median':>9} {'p99':>9} {'in blocks':>10}")
    for name, policy in ways.items():
        timing = measure(policy, entrypoint, [given], arguments.seconds)
        print(f"{name:<14} {timing.median_us:>9.2f} {timing.p99_us:>9.2f} {timing.block_us:>10.2f}")
    fuel = ways["one by one"].fuel(entrypoint, given)
    print(f"fuel {fuel}, so {fuel / FUEL_PER_US:.1f} us of simulated time on an edge node")
    return 0


def _build(arguments: argparse.Namespace) -> int:
    """Build every bundle of the plan; with ``--check`` print what differs from what is there."""
    from edgetwin.policy import building

    folder = Path(arguments.folder)
    if arguments.check and arguments.locked:
        found = building.locked_differences(folder)
    else:
        bundles, lock = building.build(folder)
        if not arguments.check:
            building.write(folder, bundles, lock)
            for name, entry in lock["bundles"].items():
                print(f"{folder / name}.tar.gz  {entry['revision']}  {entry['bundle_sha256'][:12]}")
            return 0
        found = building.differences(folder, bundles, lock)
    for problem in found:
        print(problem)
    if not found:
        print(f"{folder}: every bundle is what its sources give")
    return 1 if found else 0


def _test(arguments: argparse.Namespace) -> int:
    """Run the tables; print what failed and how many passed."""
    from edgetwin.errors import Problem, ScenarioError
    from edgetwin.policy import UNDEFINED
    from edgetwin.policy.tables import read_tables, run_table

    files = [
        file
        for path in map(Path, arguments.paths)
        for file in (sorted(path.rglob("*_test.yaml")) if path.is_dir() else [path])
    ]
    if not files:
        found = "there is no *_test.yaml"
        raise ScenarioError([Problem(path, 0, "", found) for path in arguments.paths])
    passed = failed = 0
    for file in files:
        for table in read_tables(file):
            try:
                outcomes = run_table(table)
            except OSError as error:
                found = f"cannot read the bundle {table.bundle}: {error.strerror}"
                raise ScenarioError([Problem(str(file), 0, "bundle", found)]) from None
            for outcome in outcomes:
                if outcome.passed:
                    passed += 1
                    continue
                failed += 1
                wanted = outcome.case.result
                shown = "undefined" if wanted is UNDEFINED else json.dumps(wanted)
                print(f"FAIL {file}: {table.bundle.name} {outcome.case.note or outcome.case.input}")
                print(f"     expected {shown}, found {outcome.found!r}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0
