"""Every case of the vector files gives what it expects, the merge policies in the real Wasm host.

``pytest tests -k vectors --vectors FILE`` runs another file of the same format.
"""

from pathlib import Path

from vector_file import Case, compiled, differences, run


def test_vectors_of_conflicts_end_as_expected(conflict_case: Case, tmp_path: Path) -> None:
    sources = conflict_case.vector.get("policies", {})
    if conflict_case.case["strategy"] != "rego":
        sources = {}
    policies = {name: compiled(tmp_path, name, source) for name, source in sources.items()}

    outcome = run(conflict_case, policies)

    assert differences(conflict_case, outcome) == []
