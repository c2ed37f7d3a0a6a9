"""OPA's own cases, where they have been compiled: EDGETWIN_OPA_CASES names the folder."""

import os
import sys
from pathlib import Path

import pytest

from policy import conformance

FOLDER = os.environ.get("EDGETWIN_OPA_CASES")


@pytest.mark.skipif(not FOLDER, reason="EDGETWIN_OPA_CASES names no folder of compiled cases")
def test_opas_own_cases_pass(capsys):
    tally = conformance.run(Path(FOLDER or ""))

    with capsys.disabled():
        print(f"\n{conformance.summary(tally)}", file=sys.stderr)
    assert tally.failed == []
    assert len(tally.passed) >= conformance.LEAST


def test_every_refusal_has_a_reason():
    builtins, cases = conformance.refusals()

    assert all(builtins.values())
    assert all(cases.values())
