"""A policy with many rules, and inputs for it: nothing of it is indexed in Wasm.

usage: python tests/benchmarks/policy_rules.py FOLDER [RULES]

Writes ``rules.rego`` and ``rules.json`` (a list of inputs) into FOLDER.
"""

import json
import sys
from pathlib import Path

RULES = 200


def rego(rules: int = RULES) -> str:
    """Return a package ``many`` whose entrypoint ``many/allow`` has *rules* bodies."""
    bodies = "\n\n".join(
        f'allow if {{\n\tinput.site == "site-{n}"\n\tinput.role == "role-{n % 7}"\n'
        f"\tinput.amount_cents <= {1000 + n * 10}\n}}"
        for n in range(rules)
    )
    head = "package many\n\n# METADATA\n# entrypoint: true\ndefault allow := false\n\n"
    return f"{head}{bodies}\n"


def inputs(rules: int = RULES, count: int = 100) -> list[dict[str, object]]:
    """Return *count* inputs of which some two thirds are allowed."""
    return [
        {
            "user": f"u{n}", "site": f"site-{n * 7 % rules}", "role": f"role-{n * 7 % rules % 7}",
            "action": "pay", "amount_cents": n * 61 % 4000, "device": f"till-{n % 5}",
        }
        for n in range(count)
    ]  # fmt: skip


if __name__ == "__main__":
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else RULES
    (folder / "rules.rego").write_text(rego(count))
    (folder / "rules.json").write_text(json.dumps(inputs(count)))
