"""Every case of the vector files ends as it expects, merge policies in the real Wasm host.

``pytest tests -k vectors --vectors FILE`` runs another file of the same format.
"""

from vector_file import Case, differences, run


def test_vectors_of_conflicts_end_as_expected(conflict_case: Case) -> None:
    outcome = run(conflict_case)

    assert differences(conflict_case, outcome) == []
