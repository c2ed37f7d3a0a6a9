import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgetwin import __version__, assessment
from edgetwin.cli import COMMANDS, main
from edgetwin.report import outputs
from edgetwin.terms import stored
from made_histories import TERMS, aimed, edited, made

pytest.importorskip("pyarrow", reason="pyarrow is not installed")


def saved(place: Path, history=None, terms=TERMS) -> Path:
    """Save *history* at *place* as ``check --save`` does."""
    history = history or made()
    assessment.save({"cut": replace(history, meta={**history.meta, "terms": stored(terms)})}, place)
    return place


FEW = {"sites": 1, "outages": 10}
BAD = {"offline": {"unavailable": 20}}


# ---- exit codes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "code", "word"),
    [(made(), 0, "PASS"), (made(**BAD), 1, "FAIL"), (made(**FEW), 3, "UNKNOWN")],
)
def test_the_exit_code_is_the_verdict_that_was_printed(tmp_path, capsys, history, code, word):
    assert main(["report", str(saved(tmp_path / "run", history))]) == code

    out, err = capsys.readouterr()
    assert f"{word}: " in out
    assert f"(exit code {code})" in out
    assert err == ""


def test_a_history_without_targets_is_shown_and_not_judged(tmp_path, capsys):
    assert main(["report", str(saved(tmp_path / "run", terms=aimed()))]) == 0

    assert "nothing was judged" in capsys.readouterr().out


def test_a_history_that_breaks_a_law_is_a_bug_of_ours(tmp_path, capsys, monkeypatch):
    history = made()
    broken = edited(history, "outcomes", issued=history.column("outcomes", "issued") + 1)
    place = str(saved(tmp_path / "run", broken))

    assert main(["report", place]) == 70
    short = capsys.readouterr().err
    assert main(["report", place, "-v"]) == 70
    long = capsys.readouterr().err
    monkeypatch.setenv("EDGETWIN_DEBUG", "1")
    assert main(["report", place]) == 70

    assert "issued = ok + denied" in short
    assert "Traceback" not in short
    assert "Traceback" in long
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["chekc", "x"], "did you mean 'check'?"),
        (["report", "nowhere"], "nowhere: meta.json: no saved history"),
        (["report", "nowhere", "-o", "jsn"], "did you mean 'json'?"),
        (["report", "nowhere", "-o", "json:"], "is no file"),
        (["report", "nowhere", "-o", "json:missing/x.json"], "there is no folder 'missing'"),
        (["report", "nowhere", "-o", "json", "-o", "text"], "two formats for standard output"),
        (["check", "nowhere", "--map", "rnak"], "did you mean 'rank'?"),
        (["check", "nowhere", "--span", "7"], "--span: '7' is not a duration"),
        (["check", "nowhere", "--record-error", "soon"], "--record-error: 'soon' is not"),
        (["check", "nowhere"], "nowhere"),
        (["check", "one", "two"], "two"),
    ],
)
def test_wrong_usage_is_2_and_says_what_would_be_right(tmp_path, capsys, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)

    assert main(words) == 2

    out, err = capsys.readouterr()
    assert says in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_problems_of_all_scenarios_are_said_in_one_go(tmp_path, capsys):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "topology.yaml").write_text(f"name: {name}\nstes: {{}}\n")

    assert main(["check", str(tmp_path / "one"), str(tmp_path / "two")]) == 2

    err = capsys.readouterr().err
    assert "did you mean 'sites'?" in err
    assert len([line for line in err.splitlines() if "one" in line]) >= 1
    assert len([line for line in err.splitlines() if "two" in line]) >= 1


def test_argparse_refusals_are_2():
    for words in (["check"], ["check", "x", "--jobs", "0"], ["check", "x", "--seed", "-1"]):
        with pytest.raises(SystemExit) as error:
            main(words)
        assert error.value.code == 2


# ---- what is written ---------------------------------------------------------------------------


def test_standard_output_carries_the_json_and_nothing_else(tmp_path, capsys):
    main(["report", str(saved(tmp_path / "run")), "-o", "json", "-v"])

    out, err = capsys.readouterr()
    assert json.loads(out)["verdict"] == "pass"
    assert err == ""


def test_formats_repeat_and_files_leave_the_text_on_standard_output(tmp_path, capsys):
    place = saved(tmp_path / "run")

    main(
        ["report", str(place), "-o", f"json:{tmp_path / 'a.json'}", "-o", f"text:{tmp_path}/a.txt"]
    )

    out = capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text())["verdict"] == "pass"
    assert (tmp_path / "a.txt").read_text() == out


def test_an_interruption_leaves_no_file_and_is_130(tmp_path, capsys, monkeypatch):
    place = saved(tmp_path / "run")
    monkeypatch.setitem(outputs.FORMATS, "interrupted", f"{__name__}:interrupt")

    code = main(["report", str(place), "-o", f"interrupted:{tmp_path / 'result.txt'}"])

    out, err = capsys.readouterr()
    assert code == 130
    assert "interrupted" in err
    assert out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def interrupt(reports):
    """A renderer that the user interrupts."""
    raise KeyboardInterrupt


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path):
    target = tmp_path / "result.json"
    target.write_text("old")

    with pytest.raises(UnicodeEncodeError):
        outputs.write_whole(target, "\ud800")

    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_several_readings_are_saved_and_shown_again_together(tmp_path, capsys):
    with_terms = {
        name: replace(history, meta={**history.meta, "terms": stored(TERMS)})
        for name, history in (("cut", made()), ("power", made(reading="power", **BAD)))
    }
    assessment.save(with_terms, tmp_path / "runs")

    assert main(["report", str(tmp_path / "runs")]) == 3

    assert "cut: 100% PASS   power: 0% FAIL" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        {"terms": None},
        {"terms": {"name": "x"}},
        {"terms": {**stored(TERMS), "targets": {"offline_availability": "lots"}}},
        {"seed": "x"},
        {"storm_end_us": None},
    ],
)
def test_a_saved_history_that_was_tampered_with_is_wrong_input(tmp_path, capsys, change):
    place = saved(tmp_path / "run")
    meta = json.loads((place / "meta.json").read_text())
    (place / "meta.json").write_text(json.dumps({**meta, **change}))

    assert main(["report", str(place)]) == 2

    assert "meta.json" in capsys.readouterr().err


# ---- help --------------------------------------------------------------------------------------


def test_help_lists_every_command_with_its_line(capsys):
    assert main(["--help"]) == 0

    out = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_of_its_own(command, capsys):
    with pytest.raises(SystemExit) as error:
        main([command, "--help"])

    assert error.value.code == 0
    assert f"edgetwin {command}" in capsys.readouterr().out


def test_the_module_and_the_version_are_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "edgetwin", "--version"], capture_output=True, text=True, check=True
    )

    assert done.stdout == f"edgetwin {__version__}\n"


def test_a_reader_that_closes_its_pipe_is_no_error(tmp_path):
    place = saved(tmp_path / "run")
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-m", "edgetwin", "report", str(place)],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)

    assert done.returncode == 0
    assert done.stderr == ""
