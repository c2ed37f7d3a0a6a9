"""Decisions: what comes out, what is undefined, what is refused, and how it stays usable."""

import math
import warnings

import pytest

from edgetwin.policy import UNDEFINED, DecisionContext, Limits, Policy, errors, load_bundle
from policy.modules import PAYMENT, RETAIL, archive, as_abi, fixture, shipped


@pytest.fixture(scope="module")
def plain():
    return Policy(fixture("plain"))


def test_a_payment_over_the_offline_limit_is_refused_until_the_next_revision():
    dear = {**PAYMENT, "amount_cents": 6000}

    first, second = (Policy(shipped(f"retail-authz-{revision}")) for revision in ("r1", "r2"))

    assert first.decide(RETAIL, PAYMENT) is True
    assert first.decide(RETAIL, dear) is False
    assert second.decide(RETAIL, dear) is True


def test_undefined_is_neither_false_nor_null(plain):
    found = plain.decide("plain/conflict", {})

    assert found is UNDEFINED
    assert repr(found) == "UNDEFINED"
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(found)


def test_no_input_is_not_a_null_input(plain):
    assert plain.decide("plain/echo") is UNDEFINED
    assert plain.decide("plain/echo", None) is None


def test_a_set_comes_out_in_opas_order(plain):
    found = plain.decide("plain/members", {"list": ["b", 3, "a", None, 10, True, [1], {"a": 1}, 3]})

    assert found == [None, True, 3, 10, "a", "b", [1], {"a": 1}]


@pytest.mark.parametrize("big", [2**63, -(2**70), 10**400, 123456789012345678901234567890])
def test_integers_of_any_size_come_back_exact(plain, big):
    assert plain.decide("plain/echo", {"big": big}) == {"big": big}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (math.nan, "no JSON"),
        ({"a": [math.inf]}, "no JSON"),
        ("\ud800", "no JSON"),
        ({1: 2}, "no JSON"),
        ({"a": {1, 2}}, "no JSON"),
        (object(), "no JSON"),
        (b"raw", "no JSON"),
    ],
)
def test_what_is_no_json_never_reaches_the_module(plain, wrong, said):
    with pytest.raises(errors.InputError, match=said):
        plain.decide("plain/unclaimed", wrong)
    with pytest.raises(errors.InputError, match=said):
        plain.decide_many("plain/unclaimed", [{}, wrong])


def test_malformed_json_text_is_refused_and_not_taken_for_no_input(plain):
    assert plain.decide("plain/unclaimed", {}) is True

    with pytest.raises(errors.InputError, match="not JSON"):
        plain.decide_json("plain/unclaimed", b'{"claimed": tr')
    assert plain.decide_json("plain/unclaimed", b'{"claimed": true}') is UNDEFINED


def test_an_input_that_nests_too_deep_is_refused(plain):
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(errors.InputError, match="too deep"):
        plain.decide("plain/echo", deep)


def test_an_input_of_a_hundred_megabytes_is_refused_by_its_size(plain):
    with pytest.raises(errors.InputTooLargeError, match="at most 8388608"):
        plain.decide("plain/echo", "x" * 100_000_000)


def test_an_unknown_entrypoint_names_the_nearest(plain):
    with pytest.raises(errors.EntrypointError, match="did you mean 'plain/echo'"):
        plain.decide("plain/ecko")


def test_an_abort_gives_opas_place_and_leaves_the_policy_usable(plain):
    with pytest.raises(errors.PolicyAborted) as caught:
        plain.decide("plain/conflict", {"first": 1, "second": 1})

    assert caught.value.location == "plain.rego:12:1"
    assert "var assignment conflict" in str(caught.value)
    assert plain.decide("plain/conflict", {"first": 1}) == 1


def test_the_first_failing_input_of_many_is_named_by_its_index(plain):
    wrong = {"first": 1, "second": 1}

    with pytest.raises(errors.PolicyAborted) as caught:
        plain.decide_many("plain/conflict", [{"first": 1}] * 700 + [wrong] + [{}] * 5)

    assert caught.value.index == 700


def test_a_bundle_without_module_says_how_to_get_one():
    with pytest.raises(errors.ModuleError, match="opa build -t wasm"):
        Policy(load_bundle(archive({"data.json": "{}"}), name="data-only"))


def test_missing_builtins_are_refused_at_load_by_name():
    with pytest.raises(errors.MissingBuiltinsError) as caught:
        Policy(fixture("lacking"))

    assert caught.value.names == ("graphql.parse_query", "rego.parse_module")


def test_a_builtin_of_your_own_takes_the_place_of_a_missing_one():
    own = {
        "graphql.parse_query": lambda query: {"asked": query},
        "rego.parse_module": lambda name, module: [name, module],
    }

    policy = Policy(fixture("lacking"), builtin_functions=own)

    assert policy.decide("lacking/tree", {"query": "{a}"}) == {"asked": "{a}"}
    assert policy.decide("lacking/parsed", {"module": "x"}) == ["a.rego", "x"]
    assert not policy.pure


@pytest.mark.parametrize("public_api", [False, True])
def test_a_fault_in_a_builtin_of_your_own_comes_through_as_it_is(public_api):
    def broken(*_operands):
        raise LookupError("not an error of the policy")

    own = {"graphql.parse_query": broken, "rego.parse_module": broken}
    policy = Policy(fixture("lacking"), builtin_functions=own, public_api=public_api)

    for _ in range(3):
        with pytest.raises(LookupError, match="not an error of the policy"):
            policy.decide("lacking/tree", {"query": ""})


@pytest.mark.parametrize("public_api", [False, True])
def test_builtins_of_the_host_take_and_give_sets(public_api):
    policy = Policy(fixture("calling"), public_api=public_api)
    asked = {"blocks": ["10.0.0.0/8", "192.168.0.0/16"], "addresses": {"till": "10.1.2.3"}}

    assert policy.pure
    assert policy.decide("calling/within", asked) == [[0, "till"]]
    assert policy.decide("calling/written", {"user": "é", "cents": 5}) == "é paid 5"
    assert policy.decide("calling/missing", {"digits": "zz"}) is UNDEFINED


# Data.


def test_data_are_patched_without_touching_the_rest(plain):
    plain.set_data({"document": {"a": {"b": 1}, "list": [1, 2, 3]}})

    plain.patch_data([
        {"op": "upsert", "path": "/document/a/c/d", "value": {"e": "é"}},
        {"op": "remove", "path": "/document/a/b"},
        {"op": "replace", "path": "/document/list/1", "value": 20},
        {"op": "upsert", "path": "/document/list/-", "value": 4},
        {"op": "upsert", "path": "/document/x~1y", "value": None},
    ])  # fmt: skip

    wanted = {"a": {"c": {"d": {"e": "é"}}}, "list": [1, 20, 3, 4], "x/y": None}
    assert plain.decide("plain/document") == wanted
    assert plain.data == {"document": wanted}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/document/nothing"},
        {"op": "replace", "path": "/document/nothing/below", "value": 1},
        {"op": "upsert", "path": "/document/list/9", "value": 1},
        {"op": "upsert", "path": "/document/list/0/x", "value": 1},
        {"op": "remove", "path": "/"},
    ],
)
def test_a_patch_that_cannot_be_applied_changes_nothing(plain, operation):
    plain.set_data({"document": {"list": [1]}})
    good = {"op": "upsert", "path": "/document/list/0", "value": 7}

    with pytest.raises(errors.PatchError):
        plain.patch_data([good, operation])

    assert plain.decide("plain/document") == {"list": [1]}


def test_a_patch_of_the_whole_document_replaces_it(plain):
    plain.patch_data([{"op": "upsert", "path": "/", "value": {"document": 5}}])

    assert plain.decide("plain/document") == 5


def test_a_delta_bundle_patches_and_an_empty_one_wipes(plain):
    plain.set_data({"document": {"a": 1}})
    change = '{"data": [{"op": "upsert", "path": "/document/b", "value": 2}]}'

    plain.apply_delta(load_bundle(archive({"patch.json": change})))
    after = plain.decide("plain/document")
    plain.apply_delta(load_bundle(archive({"patch.json": '{"data": []}'})))

    assert after == {"a": 1, "b": 2}
    assert plain.decide("plain/document") is UNDEFINED


def test_one_instance_holds_the_documents_of_many_nodes():
    policy = Policy(fixture("plain"), memo_entries=0)
    policy.set_data({"document": 0})
    numbers = [policy.add_document({"document": place}) for place in range(1, 50)]

    policy.patch_data([{"op": "replace", "path": "/document", "value": "new"}], document=7)

    found = [policy.decide("plain/document", document=number) for number in numbers]
    assert found == ["new" if place == 7 else place for place in range(1, 50)]
    assert policy.decide("plain/document") == 0


def test_data_that_is_no_json_is_refused_and_the_old_kept(plain):
    plain.set_data({"document": "old"})

    for wrong in ({"document": math.nan}, {"document": {1: 2}}, {"document": "\udc00"}):
        with pytest.raises(errors.DataError):
            plain.set_data(wrong)

    assert plain.decide("plain/document") == "old"


def test_changing_what_was_given_or_got_changes_no_later_decision(plain):
    given = {"document": {"a": [1]}}
    plain.set_data(given)

    plain.decide("plain/document")["a"].append(2)
    given["document"]["a"].append(3)

    assert plain.decide("plain/document") == {"a": [1]}


# The world.


class Cloud:
    """A network that answers, until it is cut."""

    cut = False

    def send(self, request):
        if self.cut:
            raise ConnectionError("cut")
        return {"status_code": 200, "body": {"asked": request["url"]}}

    def lookup(self, name):
        return ["10.0.0.1"]


def test_time_is_the_callers_and_the_same_throughout_a_decision():
    context = DecisionContext(time_us=5_000_000)
    policy = Policy(fixture("worldly"), context=context)

    first = policy.decide("worldly/now")
    context.time_us += 1
    second = policy.decide("worldly/now")

    assert first == [context.epoch_ns + 5_000_000_000] * 2
    assert second[0] - first[0] == 1000
    assert not policy.pure


def test_draws_are_the_same_for_a_key_within_a_decision_and_come_from_the_seed():
    def decisions(**context):
        policy = Policy(fixture("worldly"), context=DecisionContext(**context))
        return [policy.decide("worldly/drawn") for _ in range(3)]

    once = decisions(seed=1, name="node-1")

    assert all(a == b != c for a, b, c, _ in once)
    assert len({drawn[0] for drawn in once}) == 3
    assert once == decisions(seed=1, name="node-1")
    assert once != decisions(seed=2, name="node-1")
    assert once != decisions(seed=1, name="node-2")


def test_a_policy_reaches_the_network_as_far_as_the_simulated_one_does():
    cloud = Cloud()
    policy = Policy(fixture("worldly"), context=DecisionContext(network=cloud))

    before = policy.decide("worldly/fetched"), policy.decide("worldly/tried")
    cloud.cut = True
    after = policy.decide("worldly/fetched"), policy.decide("worldly/tried")

    assert before == ({"asked": "http://cloud/stock"}, 200)
    assert after == (UNDEFINED, 0)


def test_the_host_is_what_the_caller_says():
    context = DecisionContext(environment={"env": {"SITE": "shop-7"}})

    assert Policy(fixture("worldly"), context=context).decide("worldly/host") == "shop-7"


# ABI.


@pytest.mark.parametrize("minor", [0, 1, 2, 3])
@pytest.mark.parametrize("public_api", [False, True])
def test_every_version_of_the_abi_decides_alike(minor, public_api):
    wasm = as_abi(shipped("retail-authz-r1").wasm, minor)
    old = Policy(load_bundle(wasm, name=f"abi-1.{minor}"), public_api=public_api)
    old.set_data(shipped("retail-authz-r1").data)
    inputs = [{**PAYMENT, "amount_cents": cents} for cents in range(0, 9000, 1000)]

    assert old.abi_minor == minor
    found = old.decide_many(RETAIL, inputs)
    assert found == [cents <= 5000 for cents in range(0, 9000, 1000)]
    old.patch_data([{"op": "replace", "path": "/retail/limits/offline_limit_cents", "value": 0}])
    assert old.decide(RETAIL, PAYMENT) is False
    assert old.decide(RETAIL) is False


def test_a_later_minor_version_is_run_with_a_warning():
    wasm = as_abi(shipped("retail-authz-r1").wasm, 9)

    with pytest.warns(UserWarning, match=r"ABI 1\.9"):
        policy = Policy(load_bundle(wasm, name="newer"))

    assert policy.decide(RETAIL) is False


def test_a_module_without_a_version_is_refused():
    wasm = as_abi(shipped("retail-authz-r1").wasm, None)

    with pytest.raises(errors.AbiError, match="built before OPA"):
        Policy(load_bundle(wasm, name="old"))


def test_known_versions_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Policy(shipped("retail-authz-r1"))


# Cost.


def test_fuel_is_the_same_each_time_and_grows_with_the_work():
    policy = Policy(shipped("retail-authz-r1"))

    little, much = (policy.fuel(RETAIL, given) for given in ({}, PAYMENT))

    assert 0 < little < much
    assert much == policy.fuel(RETAIL, PAYMENT)
    assert much == Policy(shipped("retail-authz-r1"), limits=Limits(deadline_us=None)).fuel(
        RETAIL, PAYMENT
    )


def test_fuel_of_many_is_the_fuel_of_each():
    policy = Policy(shipped("retail-authz-r1"))
    inputs = [{}, PAYMENT, {}, {**PAYMENT, "amount_cents": 1}, PAYMENT]

    assert policy.fuel_many(RETAIL, inputs) == [policy.fuel(RETAIL, one) for one in inputs]


def test_asking_for_a_document_that_is_not_there_leaves_the_policy_usable(plain):
    plain.set_data({"document": 1})

    with pytest.raises(IndexError):
        Policy(fixture("plain"), memo_entries=0).decide("plain/document", {}, document=9)
    with pytest.raises(IndexError):
        plain.decide("plain/document", {}, document=9)

    assert plain._instance.ticket % 2 == 0
    assert plain.decide("plain/document") == 1
