"""The rules of outage records: merging, assigning, readings, errors and replay."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetwin import outages
from edgetwin.errors import UsageError
from edgetwin.outages import Outage, Record, Unknown, apart, assign, cover, merge, without

HOUR = 3_600_000_000
WINDOW = (0, 1_000 * HOUR)

instants = st.integers(0, 999) | st.integers(0, 999 * HOUR)
spans = st.tuples(instants, instants).filter(lambda pair: pair[0] < pair[1])
raw_outages = st.builds(
    lambda site, span, kind, letters, errors, open_end: Outage(
        site, span[0], None if open_end else span[1], kind, "why", letters, *errors
    ),
    st.sampled_from("abc"),
    spans,
    st.sampled_from(("network", "power", "node")),
    st.sampled_from(("", "L", "R", "E", "LR")),
    st.tuples(st.integers(0, 2 * HOUR), st.integers(0, 2 * HOUR)),
    st.booleans(),
)


def record(rows: list[Outage], *, sites: tuple[str, ...] = ("a", "b", "c")) -> Record:
    kept, joined, merged = merge(rows)
    return Record(kept, (), sites, WINDOW, joined=joined, merged=merged)


records = st.lists(raw_outages, max_size=12).map(record)


def down_at(found: Record, site: str, kind: str, at: int) -> bool:
    return any(
        o.site == site and o.kind == kind and o.start_us <= at < found.end_us(o)
        for o in found.outages
    )


# ---- merging -------------------------------------------------------------------------------------


@given(st.lists(raw_outages, max_size=12), st.lists(instants, max_size=20), st.randoms())
def test_merging_keeps_every_instant_down_and_up_in_whatever_order(rows, at, shuffle):
    mixed = list(rows)
    shuffle.shuffle(mixed)
    found = record(rows)

    assert apart(found)
    assert [(o.site, o.start_us, o.end_us) for o in record(mixed).outages] == [
        (o.site, o.start_us, o.end_us) for o in found.outages
    ]
    for instant in at:
        for site in "abc":
            for kind in ("network", "power", "node"):
                alone = any(
                    o.site == site and o.kind == kind and o.start_us <= instant
                    and (o.end_us is None or instant < o.end_us)
                    for o in rows
                )  # fmt: skip
                assert down_at(found, site, kind, instant) == alone


@given(st.lists(raw_outages, max_size=12))
def test_every_row_is_kept_joined_or_merged(rows):
    found = record(rows)

    assert len(found.outages) + found.joined + found.merged == len(rows)


@given(records)
def test_merging_twice_changes_nothing(found):
    assert merge(found.outages) == (found.outages, 0, 0)


def test_touching_outages_join_and_overlapping_ones_merge():
    rows = [Outage("a", 0, 10, cause="x"), Outage("a", 10, 20, cause="y"), Outage("a", 15, 30)]

    kept, joined, merged = merge(rows)

    assert [(o.start_us, o.end_us, o.cause) for o in kept] == [(0, 30, "x; y")]
    assert (joined, merged) == (1, 1)


def test_the_letters_and_errors_of_the_ends_are_kept():
    rows = [Outage("a", 0, 10, censored="L", start_err_us=1, end_err_us=2),
            Outage("a", 5, 20, censored="E", start_err_us=3, end_err_us=4)]  # fmt: skip

    ((outage,), _, _) = merge(rows)

    assert (outage.censored, outage.start_err_us, outage.end_err_us) == ("LE", 1, 4)


def test_a_power_loss_inside_a_cut_stays_apart():
    found = record([Outage("a", 0, 10), Outage("a", 2, 4, "power")])

    assert len(found.outages) == 2


@given(st.lists(spans, max_size=8), st.lists(spans, max_size=8), st.lists(instants, max_size=20))
def test_what_is_without_is_the_whole_less_the_taken(whole, taken, at):
    rest = without(whole, taken)

    assert rest == cover(rest)
    for instant in at:
        inside = any(a <= instant < b for a, b in whole)
        gone = any(a <= instant < b for a, b in taken)
        assert any(a <= instant < b for a, b in rest) == (inside and not gone)


# ---- recorded sites become modelled ones ---------------------------------------------------------


def three() -> Record:
    return record([Outage("a", 0, HOUR), Outage("b", 2 * HOUR, 3 * HOUR), Outage("c", 5, 6)])


def test_by_name_keeps_what_is_named_and_says_what_is_not():
    found = assign(three(), ["b", "x"], rule="name")

    assert [o.site for o in found.outages] == ["b"]
    assert found.sites == ("b",)
    assert any("1 modelled sites have no record: x" in note for note in found.notes)
    assert any("2 of 3 recorded sites are not used" in note for note in found.notes)


def test_by_name_without_a_common_name_is_refused():
    with pytest.raises(UsageError, match="'sample'"):
        assign(three(), ["x", "y"], rule="name")


def test_by_rank_gives_the_kth_the_kth_and_begins_again():
    found = assign(three(), ["s2", "s1", "s4", "s3"], rule="rank")

    assert [(o.site, o.start_us) for o in found.outages] == [
        ("s1", 0), ("s2", 2 * HOUR), ("s3", 5), ("s4", 0),
    ]  # fmt: skip
    assert any("4 sites share the records of 3" in note for note in found.notes)


def test_sampling_takes_none_twice_before_all_are_used():
    found = assign(three(), [f"s{k}" for k in range(6)], rule="sample", seed=4)

    by_site = {site: [o.start_us for o in found.outages if o.site == site] for site in found.sites}
    assert sorted(by_site.values()) == sorted([[0], [5], [2 * HOUR]] * 2)


def test_a_further_site_changes_few_draws_of_others():
    many = record([Outage(f"r{k:02}", k, k + 1) for k in range(40)],
                  sites=tuple(f"r{k:02}" for k in range(40)))  # fmt: skip
    sites = [f"s{k:02}" for k in range(20)]

    before = assign(many, sites, rule="sample", seed=1)
    after = assign(many, ["s00a", *sites], rule="sample", seed=1)

    then = {o.site: o.start_us for o in after.outages}
    changed = [o.site for o in before.outages if then[o.site] != o.start_us]
    assert len(changed) <= 6


def test_a_mapping_may_make_one_site_of_two():
    found = assign(three(), ["x"], mapping={"a": "x", "b": "x"})

    assert [(o.site, o.start_us) for o in found.outages] == [("x", 0), ("x", 2 * HOUR)]
    with pytest.raises(UsageError, match="unknown site 'q'"):
        assign(three(), ["x"], mapping={"q": "x"})


def test_an_unknown_rule_is_refused():
    with pytest.raises(UsageError, match="did you mean 'rank'"):
        assign(three(), ["x"], rule="ranks")


# ---- errors and readings -------------------------------------------------------------------------


@settings(max_examples=200)
@given(records, st.integers(0, 5))
def test_drawn_instants_stay_within_their_error_and_in_order(found, seed):
    drawn = outages.with_drawn_errors(found, seed=seed)

    assert apart(drawn)
    assert len(drawn.outages) == len(found.outages)
    key = lambda o: (o.site, o.kind, o.start_us)  # noqa: E731
    for was, now in zip(
        sorted(found.outages, key=key), sorted(drawn.outages, key=key), strict=True
    ):
        assert abs(now.start_us - was.start_us) <= was.start_err_us
        assert now.start_us < drawn.end_us(now)
        assert (now.end_us is None) == (was.end_us is None)
        if was.end_us is not None and now.end_us is not None:
            assert abs(now.end_us - was.end_us) <= was.end_err_us
        if "L" in was.censored:
            assert now.start_us == was.start_us
        assert now.start_us >= min(WINDOW[0], was.start_us)


def test_errors_are_drawn_by_seed_and_a_site_s_draws_are_its_own():
    rows = [Outage(s, k * HOUR, k * HOUR + HOUR // 2, start_err_us=HOUR // 4, end_err_us=HOUR // 4)
            for s in "ab" for k in range(1, 20)]  # fmt: skip
    both, one = record(rows), record([row for row in rows if row.site == "a"])

    assert outages.with_drawn_errors(both, seed=1) == outages.with_drawn_errors(both, seed=1)
    assert outages.with_drawn_errors(both, seed=1) != outages.with_drawn_errors(both, seed=2)
    of_a = [o for o in outages.with_drawn_errors(both, seed=1).outages if o.site == "a"]
    assert of_a == list(outages.with_drawn_errors(one, seed=1).outages)


def test_a_reading_changes_only_what_is_ambiguous():
    found = record([Outage("a", k * HOUR, k * HOUR + 1, kind) for k, kind in enumerate(
        ["network"] * 400 + ["cellular", "node", "planned"])])  # fmt: skip

    cut, power = outages.read_as(found, "cut"), outages.read_as(found, "power")
    mixed = outages.read_as(found, "mixed", seed=3, mixed_share=0.25)

    assert cut == found
    assert [o.kind for o in power.outages] == ["power"] * 400 + ["cellular", "node", "planned"]
    share = sum(o.kind == "power" for o in mixed.outages) / 400
    assert 0.17 < share < 0.33
    assert [o.kind for o in mixed.outages][-3:] == ["cellular", "node", "planned"]
    with pytest.raises(UsageError):
        outages.read_as(found, "both")


def test_a_reading_that_makes_neighbours_alike_keeps_the_record_s_law():
    found = record([Outage("a", 0, 10), Outage("a", 10, 20, "power")])

    read = outages.read_as(found, "power")

    assert [(o.start_us, o.end_us) for o in read.outages] == [(0, 20)]
    assert apart(read)


def test_the_grid_is_the_step_that_all_instants_share():
    five_minutes = 300_000_000
    found = record([Outage("a", 7 + k * five_minutes, 7 + (k + 2) * five_minutes)
                    for k in (0, 5, 11, 40)])  # fmt: skip

    assert outages.grid_error_us(found) == five_minutes
    assert outages.grid_error_us(record([Outage("a", 0, 1_001_001)])) == 1
    assert outages.grid_error_us(record([])) == 0


# ---- replay --------------------------------------------------------------------------------------


@given(records, st.integers(-(10**15), 10**15))
def test_shifting_there_and_back_is_nothing(found, by):
    assert outages.shifted(outages.shifted(found, by), -by) == found


@given(records, st.sampled_from((0.5, 2.0, 3.0, 0.001)))
def test_stretching_keeps_order_and_loses_no_site(found, factor):
    stretched = outages.stretched(found, factor)

    assert apart(stretched)
    assert len(stretched.outages) + stretched.joined + stretched.merged == (
        len(found.outages) + found.joined + found.merged
    )
    if factor >= 1:
        assert [round(o.start_us / factor) for o in stretched.outages] == [
            o.start_us for o in found.outages
        ]


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_a_factor_that_is_none_is_refused(factor):
    with pytest.raises(UsageError):
        outages.stretched(three(), factor)


@given(records, spans, st.lists(instants, max_size=20))
def test_a_window_keeps_what_happened_in_it_and_nothing_else(found, span, at):
    part = outages.windowed(found, *span)

    assert part.window_us == span
    assert apart(part)
    for instant in at:
        for site in "abc":
            here = span[0] <= instant < span[1]
            assert down_at(part, site, "network", instant) == (
                here and down_at(found, site, "network", instant)
            )


def test_an_outage_over_the_edge_of_a_window_is_censored_there():
    found = record([Outage("a", 0, 10 * HOUR, start_err_us=9, end_err_us=9)])

    (part,) = outages.windowed(found, HOUR, 5 * HOUR).outages

    assert part == Outage("a", HOUR, None, censored="LR")


def test_a_window_beyond_the_record_is_unknown_there():
    part = outages.windowed(three(), -5 * HOUR, WINDOW[1] + HOUR)

    assert part.unknown[:2] == (
        Unknown("a", -5 * HOUR, 0), Unknown("a", WINDOW[1], WINDOW[1] + HOUR),
    )  # fmt: skip
    assert [o.start_us for o in part.outages] == [o.start_us for o in three().outages]


def test_an_open_end_closes_where_the_record_did():
    found = record([Outage("a", 0, None, censored="R")])

    (part,) = outages.windowed(found, 0, WINDOW[1] + HOUR).outages

    assert part.end_us == WINDOW[1]
    assert part.censored == "R"


@given(records, st.lists(st.tuples(st.sampled_from("abc"), spans), max_size=5),
       st.lists(instants, max_size=20))  # fmt: skip
def test_what_nobody_watched_is_neither_up_nor_down(found, blind, at):
    gaps = [Unknown(site, *span) for site, span in blind]

    seen = outages.unwatched(found, gaps)

    assert apart(seen)
    for instant in at:
        for site in "abc":
            unseen = any(g.site == site and g.start_us <= instant < g.end_us for g in gaps)
            told = any(g.site == site and g.start_us <= instant < g.end_us for g in seen.unknown)
            assert told == unseen
            for kind in ("network", "power", "node"):
                assert down_at(seen, site, kind, instant) == (
                    down_at(found, site, kind, instant) and not unseen
                )


def test_an_outage_that_meets_a_gap_is_censored_there():
    found = record([Outage("a", 0, 10 * HOUR, censored="E")])

    seen = outages.unwatched(found, [Unknown("a", 2 * HOUR, 3 * HOUR)])

    assert [(o.start_us // HOUR, (o.end_us or 0) // HOUR, o.censored) for o in seen.outages] == [
        (0, 2, "R"), (3, 10, "LE"),
    ]  # fmt: skip


def test_power_and_network_join_and_half_a_view_is_no_proof_of_uptime():
    network = replace(record([Outage("a", HOUR, 2 * HOUR)], sites=("a",)), window_us=(0, 5 * HOUR))
    power = replace(
        record([Outage("a", 3 * HOUR, 9 * HOUR, "power")], sites=("a", "b")),
        window_us=(2 * HOUR, 10 * HOUR),
    )

    both = outages.joined([network, power])

    assert both.window_us == (0, 10 * HOUR)
    assert [(o.kind, o.start_us) for o in both.outages] == [("network", HOUR), ("power", 3 * HOUR)]
    # Down is known whoever saw it; up needs both.
    assert both.unknown == (
        Unknown("a", 0, HOUR), Unknown("a", 9 * HOUR, 10 * HOUR), Unknown("b", 0, 2 * HOUR),
    )  # fmt: skip


@given(records)
def test_joining_a_record_with_itself_changes_no_outage(found):
    assert outages.joined([found, found]).outages == found.outages


def test_the_summary_counts_what_there_is():
    text = outages.summary(record([Outage("a", 0, None, censored="R"), Outage("b", 0, 5)]))

    assert "2 outages at 3 sites" in text
    assert "1 censored (1 still open)" in text


SCRIPT = """
from edgetwin import outages
from edgetwin.outages import Outage, Record
rows = tuple(Outage(s, k * 10**9, k * 10**9 + 10**8, start_err_us=10**7) for s in "abc"
             for k in range(9))
found = Record(rows, (), ("a", "b", "c"), (0, 10**10))
found = outages.read_as(outages.with_drawn_errors(found, seed=5), "mixed", seed=6)
print(outages.assign(found, ["x", "y"], rule="sample", seed=7))
"""


def test_draws_do_not_hang_on_the_hash_seed():
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True, check=True, text=True,
        ).stdout
        for hash_seed in ("0", "4242")
    }  # fmt: skip

    assert len(said) == 1
