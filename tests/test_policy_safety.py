"""Hostile modules and long lives: nothing crashes the process, leaks, or stays broken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetwin.policy import Limits, Policy, errors, load_bundle
from edgetwin.policy.compiled import Metering
from edgetwin.policy.interruption import interruptible
from policy.hostile import ENDLESS, hostile
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
        if number == 20_000:
            # By then the free lists hold what a patch needs, and the heap has been made afresh.
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


@pytest.mark.parametrize("public_api", [False, True])
@pytest.mark.parametrize("kind", ENDLESS)
def test_no_module_runs_on_past_its_deadline(kind, public_api):
    limits = Limits(deadline_us=50_000)
    bundle = load_bundle(hostile(ENDLESS[kind], builtins=True), name="hostile")
    policy = Policy(bundle, limits=limits, public_api=public_api, builtin_functions=TRACE)

    for _ in range(2):
        with pytest.raises(errors.PolicyTimeout, match="hostile: the decision took longer"):
            policy.decide("e")


TRACE = {"trace": lambda: True}


@pytest.mark.parametrize("public_api", [False, True])
def test_a_module_with_a_memory_of_its_own_is_interrupted_too(public_api):
    wasm = hostile(ENDLESS["a loop in a loop"], own_memory=True)
    limits = Limits(deadline_us=50_000)
    policy = Policy(load_bundle(wasm, name="hostile"), limits=limits, public_api=public_api)

    for _ in range(2):
        with pytest.raises(errors.PolicyTimeout):
            policy.decide("e")
    assert policy._instance.metering is Metering.EPOCH


def test_a_module_that_never_finishes_starting_is_refused():
    bundle = load_bundle(hostile(start=ENDLESS["a loop that does nothing"]), name="hostile")

    with pytest.raises(errors.ModuleError, match="hostile"):
        Policy(bundle, limits=Limits(deadline_us=50_000))


def test_a_module_that_reads_its_own_flag_as_set_is_not_taken_for_late():
    body = "(i32.store (i32.const 0) (i32.const 7)) (loop $l)"
    policy = Policy(load_bundle(hostile(body), name="hostile"))

    with pytest.raises(errors.PolicyTrapped):
        policy.decide("e")


@pytest.mark.parametrize("address", [0, 131_071, 131_072, 2**31, 2**32 - 1])
@pytest.mark.parametrize("public_api", [False, True])
def test_a_result_at_any_address_is_read_within_the_memory(address, public_api):
    signed = address - 2**32 if address >= 2**31 else address
    bundle = load_bundle(hostile(f"(return (i32.const {signed}))"), name="hostile")
    policy = Policy(bundle, public_api=public_api)

    with pytest.raises(errors.PolicyError):
        policy.decide("e")


def test_a_result_without_an_end_is_read_within_the_memory():
    fill = (
        "(local $at i32) (local.set $at (i32.const 100000))"
        "(loop $l (i32.store8 (local.get $at) (i32.const 91))"
        "(br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1)))"
        " (i32.const 131072))))(return (i32.const 100000))"
    )

    for public_api in (False, True):
        policy = Policy(load_bundle(hostile(fill), name="hostile"), public_api=public_api)
        with pytest.raises(errors.PolicyError):
            policy.decide("e")


def test_checks_are_put_in_and_change_no_answer():
    wasm = shipped("retail-authz-r1").wasm or b""

    checked = interruptible(wasm)

    assert checked is not None
    assert len(wasm) < len(checked) < 1.1 * len(wasm)
    assert Policy(load_bundle(wasm, name="own checks"))._instance.metering is Metering.DEADLINE


def test_a_module_whose_memory_is_laid_out_otherwise_is_left_to_wasmtimes_checks():
    high = b"\x00A\xf0\xa2\x04\x0b"  # an active segment at 70,000
    wasm = hostile(ENDLESS["a loop that does nothing"])
    text_at_70000 = wasm.rindex(high)
    moved = wasm[:text_at_70000] + b"\x00A\x80\x80\x00\x0b" + wasm[text_at_70000 + 6 :]
    own_memory = hostile("", own_memory=True)
    policy = Policy(load_bundle(wasm, name="high"), limits=Limits(deadline_us=50_000))

    assert interruptible(wasm) is not None
    assert interruptible(moved) is None
    assert interruptible(own_memory) is None
    assert policy._instance.metering is Metering.DEADLINE
