"""Hostile modules and long lives: nothing crashes the process, leaks, or stays broken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetwin.policy import Limits, Policy, errors, load_bundle
from policy.modules import PAYMENT, RETAIL, fixture, shipped


@pytest.mark.parametrize("public_api", [False, True])
def test_an_endless_policy_is_interrupted_and_the_next_decision_made(public_api):
    limits = Limits(deadline_us=100_000)
    policy = Policy(fixture("plain"), limits=limits, public_api=public_api)

    for _ in range(2):
        with pytest.raises(errors.PolicyTimeout, match="longer than 100000 us"):
            policy.decide("plain/endless")
        assert policy.decide("plain/echo", 5) == 5


def test_an_endless_policy_among_many_inputs_is_interrupted_too():
    policy = Policy(fixture("plain"), limits=Limits(deadline_us=100_000))

    with pytest.raises(errors.PolicyTimeout) as caught:
        policy.decide_many("plain/endless", [1, 2, 3])

    assert caught.value.index == 0
    assert policy.decide_many("plain/echo", [1, 2, 3]) == [1, 2, 3]


@pytest.mark.parametrize("public_api", [False, True])
def test_a_policy_that_hoards_memory_is_stopped_at_its_limit(public_api):
    limits = Limits(memory_bytes=16 * 2**20)
    policy = Policy(fixture("plain"), limits=limits, public_api=public_api)

    for _ in range(3):
        with pytest.raises(errors.PolicyOutOfMemory):
            policy.decide("plain/hoard")
        assert policy.decide("plain/echo", 5) == 5
    assert policy.memory_bytes <= 16 * 2**20


def test_data_and_inputs_that_do_not_fit_the_memory_are_refused():
    policy = Policy(fixture("plain"), limits=Limits(memory_bytes=4 * 2**20))
    policy.set_data({"document": "old"})

    with pytest.raises(errors.PolicyOutOfMemory):
        policy.set_data({"document": list(range(1_000_000))})
    with pytest.raises(errors.PolicyOutOfMemory):
        policy.decide("plain/echo", "x" * (5 * 2**20))

    assert policy.decide("plain/document") == "old"


def test_one_instance_survives_twenty_thousand_aborts_without_growing():
    policy = Policy(fixture("plain"), memo_entries=0)
    wrong = {"first": 1, "second": 1}
    aborts = 0

    for round_ in range(20_000):
        try:
            policy.decide("plain/conflict", wrong)
        except errors.PolicyAborted:
            aborts += 1
        if round_ == 100:
            early_bytes = policy.memory_bytes

    assert aborts == 20_000
    assert policy.rebuilds == 0
    assert policy.memory_bytes == early_bytes
    assert policy.decide("plain/echo", wrong) == wrong


def test_one_instance_survives_a_hundred_thousand_patches_without_growing():
    policy = Policy(fixture("plain"), memo_entries=0)
    policy.set_data({"document": {"stock": {f"item-{n}": n for n in range(50)}, "till": "open"}})

    for number in range(100_000):
        operation = {
            "op": "upsert",
            "path": f"/document/stock/item-{number % 60}",
            "value": {"level": number, "note": "x" * (number % 90)},
        }
        policy.patch_data([operation])
        if number == 5000:
            early_bytes = policy.memory_bytes

    assert policy.rebuilds == 0
    assert policy.memory_bytes == early_bytes
    assert policy.decide("plain/document")["stock"]["item-39"]["level"] == 99_999


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_corrupted_module_is_refused_or_runs_but_never_crashes(data):
    wasm = bytearray(shipped("retail-egress-r1").wasm)
    for _ in range(data.draw(st.integers(1, 8))):
        wasm[data.draw(st.integers(8, len(wasm) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del wasm[data.draw(st.integers(8, len(wasm) - 1)) :]

    try:
        limits = Limits(memory_bytes=32 * 2**20, deadline_us=300_000)
        policy = Policy(load_bundle(bytes(wasm), name="corrupt"), limits=limits)
        for entrypoint in policy.entrypoints:
            policy.decide(entrypoint, {"collection": "a", "class": "b"})
    except (errors.PolicyError, errors.DecisionError):
        pass


@pytest.mark.parametrize("size", [9, 100, 10_000, 100_000])
def test_a_truncated_module_is_refused(size):
    with pytest.raises(errors.ModuleError):
        Policy(load_bundle((shipped("retail-egress-r1").wasm or b"")[:size], name="cut"))


def test_a_bundle_that_is_refused_leaves_the_active_policy_as_it_was():
    active = Policy(shipped("retail-authz-r1"))

    with pytest.raises(errors.MissingBuiltinsError):
        Policy(fixture("lacking"))

    assert active.decide(RETAIL, PAYMENT) is True
