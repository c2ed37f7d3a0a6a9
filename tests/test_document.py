"""YAML keeps its lines, and garbage does no harm."""

import pickle
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgetwin.inputs import document
from edgetwin.inputs.element import place_text

WORDS = st.text("abcdefgh-_.é0 :#'\"[]{}*&!|>%@,?\\", min_size=0, max_size=12)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**12), WORDS,
    st.floats(allow_nan=False, allow_infinity=False, width=32),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=25,
)


def parsed(text):
    problems = []
    documents = document.parse(text.encode(), "t.yaml", problems)
    return documents, [str(problem) for problem in problems]


@given(st.lists(TREES.filter(lambda tree: tree is not None), max_size=3), st.booleans())
def test_what_pyyaml_writes_is_read_back(trees, flow):
    text = yaml.safe_dump_all(trees, allow_unicode=True, default_flow_style=flow)

    documents, problems = parsed(text)

    assert problems == []
    assert [each.data for each in documents] == trees


def laid_out(tree, line, path, places, indent):
    """Return *tree* as YAML lines from *line* on, noting in *places* where each key stands."""
    pad = "  " * indent
    if isinstance(tree, dict) and tree:
        lines = []
        for key, value in tree.items():
            places[(*path, key)] = line + len(lines)
            if isinstance(value, dict | list) and value:
                lines.append(f"{pad}{key}:  # a comment")
                lines += laid_out(value, line + len(lines), (*path, key), places, indent + 1)
            else:
                lines += [f"{pad}{key}: {value if value else '{}'}", ""]
        return lines
    lines = []
    for number, value in enumerate(tree):
        places[(*path, number)] = line + len(lines)
        lines.append(f"{pad}- {value}")
    return lines


KEYS = st.text("abcxyz", min_size=1, max_size=5)
LAYOUTS = st.recursive(
    st.integers(1, 99) | st.lists(st.integers(1, 99), min_size=1, max_size=3),
    lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=4),
    max_leaves=20,
).filter(lambda tree: isinstance(tree, dict))


@given(LAYOUTS, st.sampled_from(["\n", "\r\n"]), st.integers(0, 3))
def test_every_key_and_item_knows_its_line(tree, line_end, blank):
    places = {}
    lines = [""] * blank + laid_out(tree, blank + 1, (), places, 0)

    documents, problems = parsed(line_end.join(lines))
    (found,) = documents

    assert problems == []
    assert {path: found.line(path) for path in places} == places
    assert dict(found.lines()) == {place_text(path): line for path, line in places.items()}


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_with_a_line(content):
    problems = []

    document.parse(content, "t.yaml", problems)

    for problem in problems:
        assert 0 <= problem.line <= content.count(b"\n") + content.count(b"\r") + 1


@given(st.text("ab:-[]{}&*!|>'\"#,?%@ \n\t<~1.", max_size=80))
def test_any_text_is_read_or_refused_with_a_line(text):
    documents, problems = parsed(text)

    for each in documents:
        assert list(each.lines()) is not None
        pickle.loads(pickle.dumps(each))
    for problem in problems:
        assert problem.startswith("t.yaml:")


def test_a_key_that_stands_twice_is_a_problem_at_the_second():
    documents, problems = parsed("a:\n  b: 1\n  c: 2\n  b: 3\n")

    assert problems == ["t.yaml:4: a.b: key 'b' stands twice, first in line 2; keep one of the two"]
    assert documents[0].data == {"a": {"b": 1, "c": 2}}


def test_a_merged_key_may_be_overridden_and_keeps_the_line_it_was_written_in():
    documents, problems = parsed("x: &x\n  a: 1\n  b: 2\ny:\n  <<: *x\n  b: 3\n")

    assert problems == []
    assert documents[0].data["y"] == {"a": 1, "b": 3}
    assert documents[0].line(("y", "a")) == 2
    assert documents[0].line(("y", "b")) == 6


def test_documents_are_told_apart_and_empty_ones_left_out():
    documents, problems = parsed("---\na: 1\n---\n# nothing\n---\nb: 2\n")

    assert problems == []
    assert [each.data for each in documents] == [{"a": 1}, {"b": 2}]
    assert documents[1].line(("b",)) == 6


def test_a_step_that_does_not_exist_gives_the_line_around_it():
    documents, _ = parsed("a:\n  b:\n    c: 1\n")

    assert documents[0].line(("a", "b", "missing")) == 2
    assert documents[0].line(("a", "UnionTag", "b", "c")) == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True), ("off", False), ("~", None), ("017", 15), ("0x1F", 31), ("1_000", 1000),
        ("1.5", 1.5), ("12:30:45", "12:30:45"), ("2024-05-01", "2024-05-01"), ("'1'", "1"),
        ("1.30", 1.3), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_scalars_are_what_kubernetes_takes_them_for(text, value):
    documents, problems = parsed(f"a: {text}")

    assert problems == []
    assert documents[0].data == {"a": value}
    assert type(documents[0].data["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !!python/object/apply:os.system [ls]", "tag '!!python/object/apply:os.system'"),
        ("a: !include /etc/passwd", "tag '!include' is not read"),
        ("a: &a [*a]", "is part of itself"),
        ("a: *b", "alias '*b' is unknown"),
        ("? [a]\n: 1", "a key is a list or a mapping"),
        ("<<: 3", "'<<' merges mappings"),
        ("a: [1", "this is not YAML"),
        ("a: b: c", "this is not YAML"),
        ("a: \x07", "U+0007"),
        ("[" * 70, "nested more than 64 deep"),
    ],
)
def test_what_could_do_harm_is_refused(text, said):
    _, problems = parsed(text)

    assert len(problems) == 1
    assert said in problems[0]
    assert problems[0].startswith(("t.yaml:1:", "t.yaml:2:"))


@pytest.mark.parametrize("text", ["{", "{\n", "a:\n  b: [1,\n", "a: 'x\n\n\n"])
def test_what_ends_too_early_is_shown_at_the_last_line_that_says_something(text):
    _, problems = parsed(text)

    assert problems[0].startswith(f"t.yaml:{text.rstrip().count(chr(10)) + 1}: this is not YAML")


def test_aliases_cannot_multiply_without_end():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 30):
        tens = ", ".join([f"*a{level - 1}"] * 10)
        lines += [f"a{level}: &a{level} [{tens}]"]

    _, problems = parsed("\n".join(lines))

    assert len(problems) == 1
    assert "250,000 elements" in problems[0]


def test_aliases_cannot_nest_without_end():
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100))]

    _, problems = parsed("\n".join(lines))

    assert len(problems) == 1
    assert "nested more than 64 deep" in problems[0]


def test_a_file_that_is_too_large_or_missing_is_refused(tmp_path):
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (document.SIZE_BYTES_MAX + 1))
    problems = []

    assert document.read(large, problems) == []
    assert document.read(Path("nowhere.yaml"), problems) == []

    assert ["larger than 4 MiB" in str(problems[0]), "No such file" in str(problems[1])] == [
        True,
        True,
    ]


def test_bytes_that_are_not_utf8_are_refused_at_their_line():
    problems = []

    document.parse(b"a: 1\nb: \xff\n", "t.yaml", problems)

    assert str(problems[0]) == "t.yaml:2: this is not UTF-8 text; save it as UTF-8"


def test_places_with_dots_in_a_key_are_found():
    documents, _ = parsed("labels:\n  app.kubernetes.io/name: x\n  app: y\nlist:\n- a: 1\n")

    lines = documents[0].lines()

    assert lines["labels.app.kubernetes.io/name"] == 2
    assert lines["list[0].a"] == 5
    with pytest.raises(KeyError):
        lines["labels.nothing"]


def test_lines_are_counted_as_editors_count_them():
    documents, problems = parsed('a: "x\u2028y\u0085z"\nb: 1\n')

    assert problems == []
    assert documents[0].line(("b",)) == 2
