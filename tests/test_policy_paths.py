"""The fast path, the public path and blocks give the same answers to the same questions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetwin.policy import Policy, errors, values
from edgetwin.policy.direct import DirectGuest, _examine, guest_class
from edgetwin.policy.guest import PublicGuest
from policy.modules import RETAIL, fixture, shipped

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)
ANYTHING = JSON | st.floats() | st.text(st.characters(categories=["Cs", "Ll"]))


@pytest.fixture(scope="module")
def paths():
    return [Policy(fixture("plain"), memo_entries=0, public_api=public) for public in (False, True)]


def answer(decide, *arguments):
    try:
        return decide(*arguments)
    except errors.DecisionError as error:
        return type(error), error.fault


def test_the_direct_path_is_in_use_here():
    assert guest_class() is DirectGuest
    assert _examine(DirectGuest) == _examine(PublicGuest)


@settings(deadline=None)
@given(JSON)
def test_any_json_value_comes_back_as_it_was(value):
    policy = _fast()

    assert values.equal(values.parse_json(values.json_bytes(value)), value)
    assert values.equal(policy.decide("plain/echo", value), value)


def _fast(cache: list[Policy] = []) -> Policy:  # noqa: B006 - one instance for all examples
    if not cache:
        cache.append(Policy(fixture("plain"), memo_entries=0))
    return cache[0]


@settings(deadline=None)
@given(st.lists(ANYTHING, max_size=5))
def test_paths_and_blocks_agree_on_any_input(paths, inputs):
    fast, public = paths

    for entrypoint in ("plain/echo", "plain/conflict", "plain/unclaimed"):
        one_by_one = [answer(fast.decide, entrypoint, value) for value in inputs]
        assert one_by_one == [answer(public.decide, entrypoint, value) for value in inputs]
        together = answer(fast.decide_many, entrypoint, inputs)
        faults = [found for found in one_by_one if _is_fault(found)]
        assert together == (faults[0] if faults else one_by_one)


def _is_fault(found: object) -> bool:
    return isinstance(found, tuple)


@pytest.mark.parametrize("depth", [1, 100, 253, 254, 255, 400])
def test_paths_agree_on_deep_nesting(paths, depth):
    deep: object = 1
    for _ in range(depth):
        deep = [deep]

    assert [policy.decide("plain/echo", deep) for policy in paths] == [deep, deep]
    assert paths[0].decide_many("plain/echo", [deep] * 3) == [deep] * 3


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 1000])
def test_blocks_of_any_size_answer_in_order(size):
    policy = Policy(shipped("retail-authz-r1"), memo_entries=0)
    inputs = [
        {"role": "cashier", "action": "pay", "amount_cents": place * 37 % 9000, "offline": True}
        for place in range(size)
    ]

    assert policy.decide_many(RETAIL, inputs) == [policy.decide(RETAIL, one) for one in inputs]


@pytest.mark.parametrize("length", [10, 1000, 70_000, 300_000, 3_000_000])
def test_blocks_of_inputs_and_results_that_outgrow_their_room_still_agree(length):
    policy = Policy(fixture("plain"), memo_entries=0)
    inputs = ["x" * length, "y" * (length // 2), 5, "z" * length]

    assert policy.decide_many("plain/echo", inputs) == inputs


def test_a_remembered_decision_is_the_decision():
    remembering, forgetful = Policy(fixture("plain")), Policy(fixture("plain"), memo_entries=0)
    inputs = [{"a": place % 7, "b": [place % 3]} for place in range(50)] * 3

    for policy in (remembering, forgetful):
        assert policy.decide_many("plain/echo", inputs) == inputs
        assert [policy.decide("plain/echo", one) for one in inputs] == inputs


def test_the_memory_of_decisions_is_bounded():
    policy = Policy(fixture("plain"), memo_entries=10)

    policy.decide_many("plain/echo", list(range(100)))
    for number in range(100):
        assert policy.decide("plain/echo", number) == number

    assert len(policy._memo) == 10


def test_new_data_forget_old_decisions():
    policy = Policy(fixture("plain"))
    policy.set_data({"document": 1})
    assert policy.decide("plain/document") == 1

    policy.patch_data([{"op": "replace", "path": "/document", "value": 2}])

    assert policy.decide("plain/document") == 2
    assert policy.decide_many("plain/document", [{}, {}]) == [2, 2]
