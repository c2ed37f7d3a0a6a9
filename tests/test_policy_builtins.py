"""Built-ins of the host, where OPA's own cases leave a question open or stand in no checkout."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetwin.policy import DecisionContext, builtins
from edgetwin.policy.builtins import FAMILIES, IMPURE, Unavailable, find
from edgetwin.policy.values import RegoSet


def call(name, *operands, **context):
    return find(name, lambda: DecisionContext(**context))(*operands)


def test_every_family_is_there_and_no_name_is_given_twice():
    names: list[str] = []
    for family in FAMILIES:
        module = __import__(f"{builtins.__name__}.{family}", fromlist=["FUNCTIONS"])
        names += [*module.FUNCTIONS, *getattr(module, "CONTEXT_FUNCTIONS", {})]

    assert len(names) == len(set(names)) > 90
    assert set(names) >= IMPURE


def test_an_unknown_builtin_is_unavailable_with_a_remedy():
    with pytest.raises(Unavailable, match="builtin_functions"):
        find("graphql.parse", DecisionContext)


@pytest.mark.parametrize(
    ("layout", "arguments", "text"),
    [
        ("%d%%", [5], "5%"),
        ("%s %v", ["a", RegoSet([1, "b"])], 'a {1, "b"}'),
        ("%05d|%-5d|%+d", [42, 42, 42], "00042|42   |+42"),
        ("%x %X %o %b", [255, 255, 8, 5], "ff FF 10 101"),
        ("%.2f %e %g", [3.14159, 1500.5, 0.00001], "3.14 1.500500e+03 1e-05"),
        ("%q %x", ['a"b', "hi"], '"a\\"b" 6869'),
        ("%[2]s %[1]s", ["a", "b"], "b a"),
        ("%*d", [5, 42], "   42"),
        ("%c %U", [233, 233], "é U+00E9"),
        ("%d", ["x"], "%!d(string=x)"),
        ("%s", [5], "%!s(int64=5)"),
        ("%d %d", [1], "1 %!d(MISSING)"),
        ("%d", [1, 2], "1%!(EXTRA int64=2)"),
        ("%", [], "%!(NOVERB)"),
        ("%d", [2**70], str(2**70)),
        ("%v %v", [None, True], "null true"),
        ("%v", [1000000.0], "1e+06"),
        ("%T", [1.5], "float64"),
    ],
)
def test_sprintf_writes_what_go_writes(layout, arguments, text):
    assert call("sprintf", layout, arguments) == text


@pytest.mark.parametrize(
    ("moment", "layout", "text"),
    [
        ([1_700_000_000_123_456_789, "UTC"], None, "2023-11-14T22:13:20.123456789Z"),
        ([1_700_000_000_000_000_000, "Europe/Berlin"], None, "2023-11-14T23:13:20+01:00"),
        ([0, "UTC"], "Monday, 02-Jan-06 15:04:05 MST", "Thursday, 01-Jan-70 00:00:00 UTC"),
        ([0, "UTC"], "_2 3:04PM .000", " 1 12:00AM .000"),
        ([0, "America/New_York"], "RFC1123Z", "Wed, 31 Dec 1969 19:00:00 -0500"),
        ([0, "UTC"], "2006-002 Z07:00", "1970-001 Z"),
    ],
)
def test_a_moment_is_written_as_the_layout_shows(moment, layout, text):
    assert call("time.format", [*moment, *([layout] if layout else [])]) == text


@settings(deadline=None)
@given(st.integers(-(2**62), 2**62))
def test_a_moment_that_is_written_reads_back(nanoseconds):
    assert call("time.parse_rfc3339_ns", call("time.format", nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("name", "operands", "result"),
    [
        ("time.parse_duration_ns", ["1h30m"], 5_400_000_000_000),
        ("time.parse_duration_ns", ["-1.5d"], -129_600_000_000_000),
        ("time.add_date", [1_698_710_400_000_000_000, 0, 1, 0], 1_701_388_800_000_000_000),
        ("time.diff", [1_700_000_000_000_000_000, 0], [53, 10, 13, 22, 13, 20]),
        ("time.weekday", [0], "Thursday"),
        ("units.parse", ["10Ki"], 10_240),
        ("units.parse", ["100m"], Decimal("0.1")),
        ("units.parse_bytes", ["1.5MiB"], 1_572_864),
        ("semver.compare", ["1.0.0-alpha.2", "1.0.0-alpha.10"], -1),
        ("semver.compare", ["1.0.0", "1.0.0-rc"], 1),
        ("semver.is_valid", ["1.0"], False),
        ("numbers.range_step", [10, 1, 4], [10, 6, 2]),
        ("strings.any_prefix_match", ["abc", ["x", "ab"]], True),
        ("indexof_n", ["ababa", "aba"], [0, 2]),
        ("net.cidr_merge", [["10.0.0.0/25", "10.0.0.128/25"]], RegoSet(["10.0.0.0/24"])),
        ("net.cidr_expand", ["10.0.0.0/30"],
         RegoSet(["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3"])),
        ("net.cidr_is_valid", ["10.0.0.0/255.0.0.0"], False),
        ("object.subset", [{"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}], True),
        ("object.subset", [[1, 2, 3], [2, 3]], True),
        ("object.subset", [[1, 2, 3], RegoSet([3, 1])], True),
        ("graph.reachable_paths", [{"a": ["b"], "b": ["a"]}, ["a"]], RegoSet([["a", "b"]])),
        ("json.patch", [{"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}]], {"a": [1, 2]}),
        ("json.patch", [{"a": RegoSet([1])}, [{"op": "add", "path": ["a", 2], "value": 2}]],
         {"a": RegoSet([1, 2])}),
        ("crypto.sha256", ["a"],
         "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("crypto.hmac.equal", ["a", "a"], True),
        ("hex.decode", ["6869"], "hi"),
        ("urlquery.encode_object", [{"b": ["1", "2"], "a": "x y"}], "a=x+y&b=1&b=2"),
        ("yaml.unmarshal", ["a: [1, yes]"], {"a": [1, True]}),
        ("yaml.marshal", [{"b": [1], "a": None}], "a: null\nb:\n- 1\n"),
        ("uri.parse", ["https://till:8443/a%2Fb?x=1#top"],
         {"scheme": "https", "hostname": "till", "port": "8443", "path": "/a/b",
          "raw_path": "/a%2Fb", "raw_query": "x=1", "fragment": "top"}),
        ("uuid.parse", ["2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d"],
         {"version": 1, "variant": "RFC4122", "time": 1_551_914_748_172_000_000,
          "nodeid": "9b-1d-eb-4d-3b-7d", "macvariables": "local:multicast",
          "clocksequence": 2989}),
        ("strings.render_template",
         ["{{range .a}}{{.n}},{{end}}{{if .b}}x{{else}}y{{end}}{{.c}}",
          {"a": [{"n": 1}, {"n": 2}], "b": False}], "1,2,y<undefined>"),
    ],
)  # fmt: skip
def test_a_builtin_gives_what_opa_gives(name, operands, result):
    assert call(name, *operands) == result


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("sprintf", [5, []]),
        ("hex.decode", ["6"]),
        ("time.parse_rfc3339_ns", ["2024-02-30T00:00:00Z"]),
        ("time.format", [2**70]),
        ("time.date", [[0, "Nowhere/Here"]]),
        ("units.parse", ["1 Ki"]),
        ("units.parse_bytes", ["1e9999999"]),
        ("net.cidr_expand", ["10.0.0.0/4"]),
        ("numbers.range_step", [0, 10**9, 1]),
        ("numbers.range_step", [0, 10, 0]),
        ("json.patch", [{}, [{"op": "remove", "path": "/a"}]]),
        ("json.patch", [[1], [{"op": "add", "path": "/01", "value": 1}]]),
        ("urlquery.decode", ["%zz"]),
        ("yaml.unmarshal", ["a: ["]),
        ("uuid.parse", ["not-a-uuid"]),
        ("strings.render_template", ["{{.a | printf}}", {}]),
        ("strings.render_template", ["{{if .a}}", {}]),
        ("net.lookup_ip_addr", ["cloud"]),
        ("cast_string", [5]),
    ],
)
def test_what_is_wrong_is_an_error_and_so_undefined(name, operands):
    with pytest.raises(ValueError):
        call(name, *operands)


def test_expressions_are_re2s_and_never_exponential():
    pytest.importorskip("re2", reason="needs edgetwin[policy]")

    assert call("regex.replace", "foo", "(o+)", "<$1>") == "f<oo>"
    assert call("regex.split", "a*", "xaay") == ["x", "y"]
    assert call("regex.find_n", "é.", "éaéb", -1) == ["éa", "éb"]
    assert call("regex.find_n", "(a*)*b", "a" * 5000, -1) == []
    assert call("regex.template_match", "urn:{[0-9]+}", "urn:12", "{", "}") is True
    with pytest.raises(ValueError):
        call("regex.find_n", r"(?=a)", "a", -1)


def test_documents_are_held_against_schemas():
    pytest.importorskip("jsonschema", reason="needs edgetwin[policy]")
    schema = {
        "properties": {"id": {"type": "integer"}, "n": {"pattern": "^a+$"}},
        "required": ["id"],
    }

    assert call("json.match_schema", {"id": 5}, json.dumps(schema)) == [True, []]
    assert call("json.match_schema", {"n": "b"}, schema) == [
        False,
        [
            {"error": "(root): id is required", "type": "required", "field": "(root)",
             "desc": "id is required"},
            {"error": "n: Does not match pattern '^a+$'", "type": "pattern", "field": "n",
             "desc": "Does not match pattern '^a+$'"},
        ],
    ]  # fmt: skip
    assert call("json.verify_schema", {"type": "colour"})[0] is False
    with pytest.raises(ValueError, match="not there"):
        call("json.match_schema", {}, {"$ref": "http://cloud/schema.json"})


def test_a_token_is_signed_decoded_and_verified_at_the_simulated_time():
    pytest.importorskip("jwt", reason="needs edgetwin[policy]")
    key = {"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0i"}
    token = call("io.jwt.encode_sign", {"alg": "HS256", "typ": "JWT"}, {"exp": 2_000_000_000}, key)

    header, payload, _signature = call("io.jwt.decode", token)

    assert (header["alg"], payload) == ("HS256", {"exp": 2_000_000_000})
    assert call("io.jwt.verify_hs256", token, "not the secret") is False


def test_a_token_expires_by_the_simulated_clock():
    pytest.importorskip("jwt", reason="needs edgetwin[policy]")
    key = {"kty": "oct", "k": "c2VjcmV0"}
    token = call("io.jwt.encode_sign", {"alg": "HS256"}, {"exp": 1000, "aud": "till"}, key)
    wanted = {"secret": "secret", "aud": "till"}

    at = [call("io.jwt.decode_verify", token, wanted, epoch_ns=ns * 10**9)[0] for ns in (999, 1000)]

    assert at == [True, False]
    assert call("io.jwt.decode_verify", token, {**wanted, "aud": "x"}, epoch_ns=0)[0] is False


def test_a_token_signed_with_none_is_never_valid():
    pytest.importorskip("jwt", reason="needs edgetwin[policy]")
    token = "eyJhbGciOiJub25lIn0.e30."

    assert call("io.jwt.decode_verify", token, {"secret": "s"})[0] is False


def test_what_is_printed_goes_where_the_caller_says():
    lines: list[str] = []

    call("internal.print", [RegoSet(["a"]), RegoSet(), 5], printed=lines.append)

    assert lines == ["a <undefined> 5"]


def test_marshalled_json_is_gos():
    assert call("json.marshal_with_options", {"b": "<", "a": [1]}, {"indent": " "}) == (
        '{\n "a": [\n  1\n ],\n "b": "\\u003c"\n}'
    )
    assert json.loads(call("json.marshal_with_options", {"a": {}}, {})) == {"a": {}}
