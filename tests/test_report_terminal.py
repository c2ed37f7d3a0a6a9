import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetwin.checks import check
from edgetwin.report.content import report_of
from edgetwin.report.terminal import WIDTH, percent, render
from made_histories import TERMS, aimed, made


def report(histories, terms=TERMS, **extra):
    verdicts = check(terms, histories)
    return report_of(terms, histories, verdicts, path="shop", version="0.1.0", **extra)


BAD = {"offline": {"unavailable": 20}, "serving": False}


@pytest.mark.parametrize(
    "histories",
    [
        {"cut": made(sites=12, outages=240)},
        {"cut": made(), "power": made(**BAD), "mixed": made(offline={"late": 10})},
        {"cut": made(outages=0)},
    ],
)
def test_no_line_is_wider_than_a_hundred_columns(histories):
    text = render([report(histories, notes=("a note " * 40, "/a/path/that/has/no/end" * 3))])

    assert max(map(len, text.splitlines())) <= WIDTH
    assert "\x1b" not in text


def test_the_table_stops_at_ten_sites_and_counts_the_rest():
    text = render([report({"cut": made(sites=12, outages=240)})])

    assert text.count("store-0") == 10
    assert "and 2 more sites: 2 unknown" in text


def test_each_check_has_its_word_its_value_and_its_target():
    text = render([report({"cut": made()})])

    assert re.search(r"✓ PASS +offline_availability  100%  \(target ≥ 99%\)", text)
    assert re.search(r"✓ PASS +response_time  12\.2ms  \(target ≤ 50ms\)", text)
    assert "seed 0, one draw" in text
    assert "✓ PASS: 9 pass  (exit code 0)" in text


def test_a_failure_shows_its_evidence():
    text = render([report({"cut": made(**BAD)})])

    assert "✗ FAIL" in text
    assert re.search(r"store-00\d  2024-\d\d-\d\d \d\d:\d\d:\d\d \+5m  20 of 20 requests", text)


def test_readings_stand_side_by_side():
    text = render([report({"cut": made(), "power": made(**BAD)})])

    assert "offl. cut  offl. power" in text
    assert "cut: 100% PASS   power: 0% FAIL" in text
    assert "PASS if the record means link cuts, FAIL if the record means power losses" in text


def test_without_targets_it_says_that_nothing_was_judged():
    text = render([report({"cut": made()}, aimed())])

    assert "nothing was judged" in text
    assert "PASS" not in text
    assert "exit code" not in text


def test_colour_changes_nothing_but_colour():
    one = report({"cut": made(**BAD)})

    plain, colored = render([one]), render([one], color=True)

    assert "\x1b[1;31m✗ FAIL\x1b[0m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_a_terminal_without_glyphs_gets_ascii():
    assert render([report({"cut": made(**BAD)})], ascii_only=True).isascii()


@given(st.floats(0, 1))
def test_no_share_is_rounded_to_a_whole_it_is_not(share):
    assert (percent(share) == "100%") == (share == 1.0)
    assert (percent(share) == "0%") == (share == 0.0)
