"""``edgetwin trace``: import, show, generate and fit, as a user calls them."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import pytest

from edgetwin.cli import main
from edgetwin.commands import trace
from edgetwin.inputs.records import read
from edgetwin.inputs.storm_file import read as read_settings
from edgetwin.outages import Record, apart
from edgetwin.record_tables import seconds, write
from edgetwin.storms import StormSpec, generate

SAMPLES = Path(__file__).parent / "samples"
DATA = Path(os.environ.get("EDGETWIN_DATA", "/nowhere")) / "data"
NOON = "2025-03-01T00:00:00Z/2025-03-01T12:00:00Z"


def trace_(*words: object) -> int:
    return main(["trace", *map(str, words)])


def test_an_import_writes_the_record_its_sites_and_what_is_unknown(tmp_path, capsys):
    target = tmp_path / "outages.csv"

    code = trace_("import", SAMPLES / "prometheus-1.json", SAMPLES / "prometheus-2.json",
                  "-o", target)  # fmt: skip

    said = capsys.readouterr()
    assert code == 0
    assert target.read_text().splitlines() == [
        "site,start,end,kind,cause,censored,start_err_s,end_err_s",
        "north,1740794400,1740796200,network,,,1800,1800",
        "north,1740826800,,network,,R,1800,0",
        "south,1740805200,1740812400,network,,,1800,1800",
    ]
    assert (tmp_path / "unknown.csv").read_text() == (
        "site,start,end\nsouth,1740798000,1740799800\nsouth,1740819600,1740821400\n"
    )
    assert "north,,1740787200,1740830400" in (tmp_path / "sites.csv").read_text()
    assert "3 outages at 2 sites" in said.out
    assert said.err == ""


def test_what_was_imported_is_read_back_the_same(tmp_path):
    first = read(sorted(SAMPLES.glob("prometheus-*.json")))
    write(first, tmp_path / "outages.csv")

    again = read(tmp_path / "outages.csv")

    assert (again.outages, again.unknown, again.sites, again.window_us) == (
        first.outages, first.unknown, first.sites, first.window_us,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_a_drawn_record_is_read_back_the_same(tmp_path, seed):
    spec = StormSpec.model_validate({"resolution": "1us", "kinds": {"network": 0.5, "power": 0.5}})
    drawn = generate(spec, {f"s{k}": f"d{k % 2}" for k in range(6)}, 1_735_689_600_123_456,
                     90 * 86_400_000_000, seed)  # fmt: skip

    write(drawn, tmp_path / "outages.csv")
    again = read(tmp_path / "outages.csv")

    assert again.outages == drawn.outages
    assert (again.sites, again.groups, again.window_us) == (
        drawn.sites, drawn.groups, drawn.window_us,
    )  # fmt: skip


def test_without_a_file_the_record_goes_to_stdout_and_the_rest_to_stderr(capsys):
    code = trace_("import", SAMPLES / "lokal.csv", "--zone=-03:00", "--window", NOON)

    said = capsys.readouterr()
    assert code == 0
    assert said.out.splitlines()[1] == "north,1740794400,1740796200,network,,,0,0"
    assert "3 outages at 2 sites" in said.err


def test_an_older_unknown_file_of_ours_goes_and_a_stranger_s_stays(tmp_path, capsys):
    target = tmp_path / "outages.csv"
    (tmp_path / "unknown.csv").write_text("site,start,end\nnorth,1740787200,1740787300\n")
    assert trace_("import", SAMPLES / "iso.csv", "-o", target) == 0
    assert not (tmp_path / "unknown.csv").exists()

    (tmp_path / "sites.csv").write_text("name,street\nnorth,High Street\n")
    assert trace_("import", SAMPLES / "iso.csv", "-o", target) == 2
    assert "not one of ours" in capsys.readouterr().err
    assert "High Street" in (tmp_path / "sites.csv").read_text()


def test_bad_input_is_exit_two_with_every_line(tmp_path, capsys):
    path = tmp_path / "bad.csv"
    path.write_text("site,start,end\na,1740794400,1740794000\na,x,y\nb,1740794400,1740795400\n")

    assert trace_("import", path, "-o", tmp_path / "o.csv") == 2
    said = capsys.readouterr().err
    assert f"{path}:2: end: ends before it starts" in said
    assert f"{path}:3:" in said
    assert "--skip-bad" in said
    assert not (tmp_path / "o.csv").exists()

    assert trace_("import", path, "--skip-bad", "-o", tmp_path / "o.csv") == 0
    assert "2 rejected" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["import"], "name the files"),
        (["import", "x.csv", "--window", "yesterday"], "--window"),
        (["import", "x.csv", "--window", "2025-03-02T00:00Z/2025-03-01T00:00Z"], "ends before"),
        (["import", "x.csv", "--kind", "netwrok"], "--kind"),
        (["import", "x.csv", "--step", "5"], "--step"),
        (["import", "x.csv", "--match", "("], "--match"),
        (["import", "x.csv", "--zone", "Mars"], "unknown zone"),
        (["generate", "--duration", "0s"], "no length"),
        (["generate", "--sites", "0"], "at least one"),
        (["generate", "--start", "someday"], "--start"),
        (["show", "x.csv", "--local", "CET"], "--local"),
        (["show", "x.csv", "-o", "pdf"], "unknown format"),
        (["fit", "x.csv", "--runs", "3"], "--runs"),
    ],
)
def test_wrong_usage_is_exit_two_and_names_the_option(tmp_path, monkeypatch, capsys, words, word):
    monkeypatch.chdir(tmp_path)
    Path("x.csv").write_text((SAMPLES / "outages.csv").read_text())

    assert trace_(*words) == 2
    assert word in capsys.readouterr().err


def test_the_formats_are_listed(capsys):
    assert trace_("import", "--format", "list") == 0

    assert "nagios" in capsys.readouterr().out


def test_show_tells_the_figures_in_words_and_as_json(capsys):
    assert trace_("show", SAMPLES / "outages.csv", "--window", NOON) == 0
    text = capsys.readouterr().out
    assert "3 outages at 2 sites" in text
    assert "availability" in text

    assert trace_("show", SAMPLES / "outages.csv", "--window", NOON, "-o", "json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["sites"], figures["outages"]) == (2, 3)
    assert figures["downtime_us"] == (1_800 + 7_200 + 3_600) * 10**6
    assert figures["availability_mean"] == pytest.approx(1 - 12_600 / 86_400)


def test_show_of_a_record_without_outages_is_no_error(tmp_path, capsys):
    values = [[1_740_787_200 + 60 * k, "1"] for k in range(9)]
    data = {"resultType": "matrix", "result": [{"metric": {"instance": "a"}, "values": values}]}
    (tmp_path / "up.json").write_text(json.dumps({"status": "success", "data": data}))

    assert trace_("show", tmp_path / "up.json", "--plot", tmp_path / "up.vl.json") == 0

    assert "0 outages at 1 sites" in capsys.readouterr().out


def test_a_plot_is_vega_lite_and_is_drawn_where_the_extra_is(tmp_path, capsys):
    drawn = generate(StormSpec(), {f"s{k}": "d" for k in range(9)}, 0, 90 * 86_400_000_000, 1)
    write(drawn, tmp_path / "outages.csv")

    assert trace_("show", tmp_path / "outages.csv", "--plot", tmp_path / "p.json") == 0
    chart = json.loads((tmp_path / "p.json").read_text())
    assert chart["$schema"].endswith("vega-lite/v5.json")
    assert len(chart["vconcat"]) == 3

    assert trace_("show", tmp_path / "outages.csv", "--plot", tmp_path / "p.pdf") == 2
    assert ".svg" in capsys.readouterr().err

    pytest.importorskip("vl_convert", reason="drawing needs the png extra")
    assert trace_("show", tmp_path / "outages.csv", "--plot", tmp_path / "p.svg") == 0
    assert trace_("show", tmp_path / "outages.csv", "--plot", tmp_path / "p.png") == 0
    assert (tmp_path / "p.svg").read_text().startswith("<svg")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_without_the_extra_a_plot_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "vl_convert", None)

    assert trace_("show", SAMPLES / "outages.csv", "--plot", tmp_path / "p.png") == 2

    assert "edgetwin[png]" in capsys.readouterr().err


def test_generate_draws_by_seed_for_the_sites_that_are_named(tmp_path, capsys):
    (tmp_path / "fleet.csv").write_text("site,group\nnorth,east\nsouth,east\n")
    words = ["generate", "--sites-from", tmp_path / "fleet.csv", "--duration", "360d",
             "--seed", "5", "-o"]  # fmt: skip

    assert trace_(*words, tmp_path / "one.csv") == 0
    assert trace_(*words, tmp_path / "two.csv") == 0

    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    record = read(tmp_path / "one.csv")
    assert record.sites == ("north", "south")
    assert record.groups == ("east", "east")
    assert record.window_us[1] - record.window_us[0] == 360 * 86_400_000_000
    assert "not a record of anything that happened" in capsys.readouterr().out


def test_fit_writes_settings_from_which_generate_draws(tmp_path, capsys):
    drawn = generate(StormSpec(), {f"s{k}": "d" for k in range(40)}, 1_735_689_600_000_000,
                     180 * 86_400_000_000, 2)  # fmt: skip
    write(drawn, tmp_path / "outages.csv")
    settings = tmp_path / "storm.yaml"

    code = trace_("fit", tmp_path / "outages.csv", "--runs", "30", "-o", settings)

    said = capsys.readouterr().out
    assert code in (0, 1)
    assert ("OUTSIDE" in said) == (code == 1)
    assert "start together" in said
    assert read_settings(settings).shared.share > 0
    assert trace_("generate", settings, "--sites", "7", "-o", tmp_path / "again.csv") == 0
    assert apart(read(tmp_path / "again.csv"))


def test_fit_of_too_little_says_so(capsys):
    assert trace_("fit", SAMPLES / "outages.csv") == 2

    assert "too few" in capsys.readouterr().err


def test_seconds_are_written_exactly():
    assert seconds(1_740_787_200_000_001) == "1740787200.000001"
    assert seconds(0) == "0"


def test_every_option_has_help():
    parser = argparse.ArgumentParser()

    trace.add_arguments(parser)

    (actions,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for name, action in actions.choices.items():
        for option in action._actions:
            assert option.help, (name, option.dest)


@pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set EDGETWIN_DATA")
def test_the_real_fleet_is_shown_with_its_published_figures(capsys):
    assert trace_("show", DATA / "smokeping-rs-brazil" / "outages.csv", "--local=-03:00") == 0

    text = capsys.readouterr().out
    assert "1842 outages at 96 sites" in text
    assert "p50 20m, p90 6h40m" in text
    assert "most at 15:00, 2.3 times the mean" in text
    assert "45% of sites under 99 %" in text


def test_an_import_never_loses_a_site(tmp_path):
    first: Record = read(SAMPLES / "states.csv")
    write(first, tmp_path / "o.csv")

    assert read(tmp_path / "o.csv").sites == first.sites
