"""Rego values: read, written, ordered."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetwin.policy import values
from edgetwin.policy.values import RegoObject, RegoSet

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(
    allow_nan=False, allow_infinity=False
) | st.text()  # fmt: skip
REGO = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(RegoSet)
        | st.lists(st.tuples(inner, inner)).map(values.make_object)
    ),
    max_leaves=15,
)


@settings(deadline=None)
@given(REGO)
def test_a_value_that_is_written_reads_back_equal(value):
    assert values.equal(values.parse(values.dump(value)), value)
    assert values.equal(values.parse(values.rego_text(value)), value)


@settings(deadline=None)
@given(REGO, REGO, REGO)
def test_the_order_is_total(one, two, three):
    first, second, third = map(values.order_key, (one, two, three))

    assert (first < second) + (first == second) + (first > second) == 1
    assert not (first <= second <= third) or first <= third


def test_kinds_come_in_opas_order():
    wanted = [None, False, True, -1, 0.5, 2, "", "a", [], {}, RegoSet()]

    backwards = list(reversed(wanted))

    assert sorted(backwards, key=values.order_key) == wanted


def test_true_is_not_one_and_one_is_one_point_nought():
    assert not values.equal(True, 1)
    assert values.equal(1, 1.0)
    assert len(RegoSet([1, 1.0, True, Decimal("1")])) == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("set()", RegoSet()),
        ("{}", {}),
        ('{"a", "b",}', RegoSet(["a", "b"])),
        ("[1, 2,]", [1, 2]),
        ('{{"a"}: 1, 2: set()}', RegoObject([(RegoSet(["a"]), 1), (2, RegoSet())])),
        ("1e400", Decimal("1e400")),
        ("123456789012345678901", 123456789012345678901),
        ('"\\u00e9\\n"', "é\n"),
    ],
)
def test_literals_are_read(text, value):
    assert values.parse(text) == value


@pytest.mark.parametrize("text", ["", "{", "[1 2]", '{"a":}', "tru", "1 2", '"\n', "{1: 2, 3}"])
def test_what_is_no_value_is_refused(text):
    with pytest.raises(ValueError):
        values.parse(text)


def test_plain_json_has_sets_as_sorted_lists_and_keys_as_text():
    value = values.parse('{{"b", "a"}: {2, 1}, 1: "x"}')

    assert values.to_json(value) == {"1": "x", '["a","b"]': [1, 2]}
