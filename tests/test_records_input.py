"""Exports that are wrong are refused with the place and with what to do about it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from edgetwin.errors import ScenarioError, UsageError
from edgetwin.inputs.records import read, source
from edgetwin.inputs.records.instants import Clock, epoch_us, iso_us, zone_of

HEAD = "site,start,end,kind\n"


def write(folder: Path, content: str | bytes, name: str = "outages.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def problems(path: Path, **options: object) -> list[str]:
    with pytest.raises(ScenarioError) as refused:
        read(path, **options)  # type: ignore[arg-type]
    return [str(problem) for problem in refused.value.problems]


def test_every_bad_row_is_named_with_its_line(tmp_path):
    path = write(
        tmp_path,
        HEAD
        + "a,1727762400,1727760000,network\n"
        + "a,1727770000,1727780000,netwrok\n"
        + "a,yesterday,1727780000,network\n"
        + ",1727770000,1727780000,network\n"
        + "a,1727790000,1727790600,network\n"
        + "a,1727770000\n",
    )

    told = problems(path)

    assert [text.split(":")[1] for text in told] == ["2", "3", "4", "5", "7"]
    assert "ends before it starts" in told[0]
    assert "did you mean 'network'?" in told[1]
    assert "yesterday" in told[2]
    assert "no site is named" in told[3]
    assert "2 cells under 4 headings" in told[4]


def test_bad_rows_can_be_left_out_and_are_counted_and_named(tmp_path):
    path = write(
        tmp_path,
        HEAD
        + "a,1727750000,1727750600,network\n"
        + "a,1727762400,1727760000,network\n"
        + "a,1727790000,1727790600,network\n"
        + "a,x,y,network\n",
    )

    record = read(path, skip_bad=True)

    assert len(record.outages) == 2
    assert record.rejected == 2
    assert [note.split(":")[1] for note in record.notes if "left out" in note] == ["3", "5"]
    # What happened between the two instants of the reversed row nobody knows: not uptime.
    assert [(gap.start_us, gap.end_us) for gap in record.unknown] == [
        (1_727_760_000_000_000, 1_727_762_400_000_000)
    ]


def test_a_thousand_bad_rows_are_told_by_the_first_fifty(tmp_path):
    path = write(tmp_path, HEAD + "a,x,y,network\n" * 1_000)

    told = problems(path)

    assert len(told) == 51
    assert any("950 more rows are wrong" in text for text in told)


def test_a_row_without_length_is_counted_and_no_error(tmp_path):
    path = write(
        tmp_path,
        HEAD + "a,1727790000,1727790000,network\na,1727791000,1727792000,network\n",
    )

    record = read(path)

    assert (len(record.outages), record.rejected) == (1, 1)


def test_dates_that_could_be_either_are_refused_and_one_that_cannot_decides(tmp_path):
    head = "site,start,end\n"
    either = write(tmp_path, head + "a,03/04/2024 10:00,03/04/2024 11:00\n")
    assert any("--dates" in text for text in problems(either, zone="UTC"))

    told = read(either, zone="UTC", dates="dmy")
    assert told.outages[0].start_us == iso_us("2024-04-03T10:00:00Z", None)

    decided = write(
        tmp_path,
        head + "a,03/04/2024 10:00,03/04/2024 11:00\n" + "a,3/25/2024 1:00 PM,3/25/2024 2:00 PM\n",
    )
    assert read(decided, zone="UTC").outages[1].start_us == iso_us("2024-03-25T13:00:00Z", None)

    both = write(tmp_path, head + "a,13/04/2024 10:00,04/13/2024 11:00\n")
    assert any("neither order fits" in text for text in problems(both, zone="UTC"))


def test_a_missing_zone_is_asked_for_once(tmp_path):
    path = write(tmp_path, "site,start,end\n" + "a,2024-10-01 06:00,2024-10-01 07:00\n" * 9)

    told = problems(path)

    assert len(told) == 1
    assert "--zone" in told[0]


@pytest.mark.parametrize(
    ("unit", "scale"), [("seconds", 1), ("milliseconds", 1_000), ("microseconds", 10**6)]
)
def test_the_unit_of_epochs_is_told_by_their_size(tmp_path, unit, scale):
    path = write(tmp_path, f"site,start,end\na,{1727762400 * scale},{1727766000 * scale}\n")

    (outage,) = read(path).outages

    assert (outage.start_us, outage.end_us) == (1_727_762_400_000_000, 1_727_766_000_000_000)


def test_a_row_in_another_unit_is_refused(tmp_path):
    path = write(
        tmp_path,
        HEAD
        + "a,1727762400,1727766000,network\n"
        + "a,1727772400,1727776000,network\n"
        + "a,1727782400000,1727786000000,network\n",
    )

    assert any("not in the unit of the other times (s)" in text for text in problems(path))


def test_seconds_from_the_start_of_a_trace_are_taken_as_such(tmp_path):
    record = read(write(tmp_path, HEAD + "a,0.5,1.056,cellular\n"))

    assert (record.outages[0].start_us, record.outages[0].end_us) == (500_000, 1_056_000)
    assert any("since the trace began" in note for note in record.notes)


def test_a_cut_off_last_line_is_no_open_outage(tmp_path):
    whole = HEAD.replace(",kind", "") + "a,1727762400,1727766000\na,1727772400,"
    assert any("cut off" in text for text in problems(write(tmp_path, whole)))

    ended = read(write(tmp_path, whole + "\n"))
    assert ended.outages[1].end_us is None


def reply(result_type: str, result: object, status: str = "success") -> str:
    return json.dumps(
        {"status": status, "data": {"resultType": result_type, "result": result}}
    )  # fmt: skip


def test_a_prometheus_vector_is_refused_with_the_query_to_ask(tmp_path):
    vector = reply("vector", [{"metric": {"instance": "a"}, "value": [1727762400, "1"]}])

    (told,) = problems(write(tmp_path, vector, "reply.json"))

    assert "a vector, not a matrix" in told
    assert "query_range" in told


def test_a_refused_query_says_why(tmp_path):
    text = json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error"})

    assert "bad_data: parse error" in problems(write(tmp_path, text, "reply.json"))[0]


def test_a_rate_is_no_state_and_a_wrong_label_lists_the_right_ones(tmp_path):
    matrix = reply("matrix", [{"metric": {"instance": "a"}, "values": [[1727762400, "0.5"]]}])
    path = write(tmp_path, matrix, "reply.json")

    assert "neither 0 nor 1" in problems(path)[0]
    assert "one of instance" in problems(path, site_label="target")[0]


def test_prometheus_times_in_milliseconds_are_refused(tmp_path):
    values = [[1727762400000, "1"], [1727762700000, "1"]]
    path = write(tmp_path, reply("matrix", [{"metric": {"instance": "a"}, "values": values}]))

    assert any("it reads as ms" in text for text in problems(path))


def test_an_edge_that_fills_its_gaps_later_is_warned_of(tmp_path):
    values = [[1727762400 + 60 * k, "1"] for k in range(9)]
    path = write(tmp_path, reply("matrix", [{"metric": {"instance": "a"}, "values": values}]))

    record = read(path)

    assert record.outages == ()
    assert any("remote write" in note for note in record.notes)


def test_samples_that_disagree_are_unknown(tmp_path):
    def series(state: str) -> str:
        values = [[1727762400 + 60 * k, state if k == 4 else "1"] for k in range(9)]
        return reply("matrix", [{"metric": {"instance": "a"}, "values": values}])

    record = read([write(tmp_path, series("0"), "1.json"), write(tmp_path, series("1"), "2.json")])

    assert record.outages == ()
    assert [(g.end_us - g.start_us) / 1e6 for g in record.unknown] == [60]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", "web page"),
        ('{"status": "success", "data": {"resultType": "matr', "not valid JSON"),
        ("", "empty"),
        (b"site,start\xff,end\n", "UTF-8"),
        (b"site\x00,start,end\n", "not a text file"),
        (b"SQLite format 3\x00" + b"\x00" * 84, "sqlite3 -json"),
        (b"\x1f\x8b\x08\x00broken", "gzip"),
        ("hello world\nthis is no export\n", "not a format that is known"),
    ],
)
def test_what_is_no_export_is_refused_with_a_remedy(tmp_path, content, word):
    (told,) = problems(write(tmp_path, content, "export.json"))

    assert word in told
    assert ";" in told


def test_a_cut_off_gzip_file_is_refused(tmp_path):
    whole = gzip.compress((HEAD + "a,1727762400,1727766000,network\n" * 999).encode())

    assert "cut off" in problems(write(tmp_path, whole[: len(whole) // 2], "o.csv.gz"))[0]


def test_a_gzip_bomb_stops_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "FILE_BYTES_MAX", 1 << 20)
    bomb = gzip.compress(b"0" * (1 << 24))
    assert len(bomb) < 20_000

    assert "MiB after decompression" in problems(write(tmp_path, bomb, "o.csv.gz"))[0]


def test_json_nested_beyond_reason_is_refused(tmp_path):
    assert problems(write(tmp_path, "[" * 100_000, "deep.json"))


def test_a_file_that_is_not_there_and_a_format_that_is_not_known(tmp_path):
    assert "cannot be read" in problems(tmp_path / "nothing.csv")[0]
    with pytest.raises(UsageError, match="did you mean 'nagios'"):
        read(write(tmp_path, HEAD), format="nagiso")
    with pytest.raises(UsageError, match="no file"):
        read([])


def test_every_file_that_is_wrong_is_named_in_one_go(tmp_path):
    files = [write(tmp_path, "", f"{k}.csv") for k in range(3)]

    with pytest.raises(ScenarioError) as refused:
        read(files)

    assert len(refused.value.problems) == 3


def test_most_sites_down_in_one_slot_are_the_prober_s_own_outage(tmp_path):
    sites = [f"s{k}" for k in range(12)]
    rows = ["epoch," + ",".join(sites)]
    for slot in range(6):
        states = ["0" if slot == 3 or (k == 0 and slot == 2) else "1" for k in range(12)]
        rows.append(f"{1727762400 + 600 * slot}," + ",".join(states))
    path = write(tmp_path, "\n".join(rows) + "\n")

    record = read(path)
    kept = read(path, vantage_share=1.0)

    assert [(o.site, o.censored) for o in record.outages] == [("s0", "R")]
    assert len(record.unknown) == 12
    assert len(kept.outages) == 12


def test_values_need_a_limit(tmp_path):
    path = write(tmp_path, "epoch,a,b\n1727762400,3,20\n1727762700,0,0\n1727763000,0,0\n")

    assert any("--above" in text for text in problems(path))
    assert [o.site for o in read(path, above=15).outages] == ["b"]


def test_sites_and_unknown_time_beside_a_table_are_read(tmp_path):
    write(tmp_path, "site,group,obs_start,obs_end\na,g,1727760000,1727800000\n"
          "b,g,1727770000,1727800000\n", "sites.csv")  # fmt: skip
    write(tmp_path, "site,start,end\na,1727780000,1727781000\n", "unknown.csv")

    record = read(write(tmp_path, HEAD + "a,1727762400,1727766000,network\n"))

    assert record.sites == ("a", "b")
    assert record.groups == ("g", "g")
    assert record.window_us == (1_727_760_000_000_000, 1_727_800_000_000_000)
    gaps = [(g.site, g.start_us // 10**6, g.end_us // 10**6) for g in record.unknown]
    assert gaps == [("a", 1_727_780_000, 1_727_781_000), ("b", 1_727_760_000, 1_727_770_000)]


def test_a_zone_is_an_offset_or_a_name():
    winter = iso_us("2024-01-15 12:00", zone_of("Europe/Zurich"))
    assert winter == iso_us("2024-01-15T11:00:00Z", None)
    assert iso_us("2024-01-15 12:00", zone_of("-03:00")) == iso_us("2024-01-15T15:00Z", None)
    for wrong in ("Mars/Olympus", "3 hours", "+25:00", "../../etc/passwd"):
        with pytest.raises(UsageError):
            zone_of(wrong)


@pytest.mark.parametrize("value", ["1e999", "nan", "-5", "999999999999999999999", "٣", True, None])
def test_a_time_that_is_none_is_no_crash(value):
    with pytest.raises(ValueError):
        epoch_us(value)


def test_a_column_s_clock_is_decided_by_most_of_it():
    clock = Clock(["1727762400", "1727762401", "garbage"])

    assert clock.us("1727762400") == 1_727_762_400_000_000
    with pytest.raises(ValueError, match="garbage"):
        clock.us("garbage")
