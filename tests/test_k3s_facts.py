"""The comparison with the fact sheet names tests that exist."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE / "k3s_facts.md").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"::(test_\w+)", PAGE)))
FILES = sorted(set(re.findall(r"test_\w+\.py", PAGE)))


@pytest.mark.parametrize("name", TESTS)
def test_each_test_that_the_page_names_exists(name):
    assert any(f"def {name}(" in (HERE / file).read_text(encoding="utf-8") for file in FILES)


def test_each_file_that_the_page_names_exists():
    assert not [file for file in FILES if not (HERE / file).exists()]
