"""``edgetwin figures``: the guide's own figures for two runtimes, beside its claims."""

import argparse

HELP = "compare two runtimes on the same storms, beside what the guide claims"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to *parser*."""
    parser.add_argument("path", metavar="TOPOLOGY", help="scenario folder, or its topology.yaml")
    parser.add_argument(
        "--runtimes",
        default="wasmedge-aot,container-python",
        metavar="A,B",
        help="start-up profiles, see `edgetwin profile show`; default %(default)s",
    )
    parser.add_argument(
        "--reading",
        choices=("cut", "power", "mixed"),
        default="power",
        help="what a `network` row of the record means; default power, so that pods must start",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default 0")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="as in `edgetwin check`"
    )
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="default text"
    )


def run(arguments: argparse.Namespace) -> int:
    """Simulate once for each runtime and print the table; 0."""
    import json
    import textwrap

    from edgetwin.analysis.figures import figures
    from edgetwin.inputs.scenario import load

    runtimes = [name.strip() for name in arguments.runtimes.split(",") if name.strip()]
    scenario = load(arguments.path, settings=arguments.set)
    lines, measured = figures(scenario, runtimes, seed=arguments.seed, reading=arguments.reading)
    if arguments.output == "json":
        rows = [
            {
                "figure": line.name,
                **dict(zip(runtimes, line.values, strict=True)),
                "claim": line.claim,
                "source": line.source,
            }
            for line in lines
        ]
        print(json.dumps({"figures": rows, "measured": measured}, indent=1))
        return 0
    for line in lines:
        print("\n".join(textwrap.wrap(line.name, 96)))
        for runtime, value in zip(runtimes, line.values, strict=True):
            print(f"    {runtime:<28} {value}")
        if line.claim:
            print(f"    {'the guide claims':<28} {line.claim}")
        print(f"    {'from':<28} {line.source}")
    for policy, wall_us in sorted(measured["policy_wall_us"].items()):
        print(f"measured here: {policy} decides in {wall_us:.1f} us, by a wall clock, first asked")
    return 0
