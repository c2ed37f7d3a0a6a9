"""Exports that were cut off, re-ordered, duplicated or damaged never crash an importer and never
become silent uptime."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgetwin.errors import ScenarioError
from edgetwin.inputs.records import read
from edgetwin.outages import Record, apart

SAMPLES = Path(__file__).parent / "samples"
FILES = sorted(path.name for path in SAMPLES.iterdir())

LISTS = {
    "kubectl-events.json": ("items",),
    "upptime-summary.json": (),
    "upptime-issues.json": (),
    "uptime-kuma-important.json": ("heartbeatList",),
    "ioda-events.json": ("data",),
    "zabbix-events.json": ("result",),
    "statuspage-incidents.json": ("incidents",),
    "prometheus-1.json": ("data", "result", 0, "values"),
    "prometheus-2.json": ("data", "result", 1, "values"),
}
"""Where the rows of a JSON export stand."""

HEADED = ("last-seen.csv", "states.csv", "matrix.csv", "index.csv", "outages.csv", "iso.csv",
          "icingadb-states.csv", "loss_hourly.csv", "drive_1hz.csv", "utility.csv",
          "heartbeats.csv", "event_trace.tab")  # fmt: skip
LINES = ("ripe-atlas.ndjson", "aws-iot.ndjson", "nagios.log", "upptime-git-log.txt")
ROWED = (*LISTS, *HEADED, *LINES)

fuzzed = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def rows_of(name: str) -> tuple[str, list[Any], Any]:
    """Return what stands before the rows, the rows, and the document they belong to."""
    text = (SAMPLES / name).read_text(encoding="utf-8")
    if name in LISTS:
        document = found = json.loads(text)
        for key in LISTS[name]:
            found = found[key]
        return "", found, document
    lines = text.splitlines(keepends=True)
    return ("", lines, None) if name in LINES else (lines[0], lines[1:], None)


def with_rows(name: str, rows: list[Any]) -> str:
    head, _, document = rows_of(name)
    if name not in LISTS:
        return head + "".join(rows)
    holder = document
    if not LISTS[name]:
        return json.dumps(rows)
    for key in LISTS[name][:-1]:
        holder = holder[key]
    holder[LISTS[name][-1]] = rows
    return json.dumps(document)


def said(record: Record) -> tuple[Any, ...]:
    return record.outages, record.unknown, record.sites, record.window_us


def lawful(record: Record) -> bool:
    """Tell whether a record keeps its own laws, whatever it was read from."""
    low, high = record.window_us
    unknown_and_down = any(
        gap.site == outage.site
        and gap.start_us < record.end_us(outage)
        and outage.start_us < gap.end_us
        for gap in record.unknown
        for outage in record.outages
    )
    return (
        low < high
        and apart(record)
        and not unknown_and_down
        and all(low <= o.start_us < record.end_us(o) <= high for o in record.outages)
        and all(low <= gap.start_us < gap.end_us <= high for gap in record.unknown)
        and {o.site for o in record.outages} <= set(record.sites)
        and list(record.sites) == sorted(set(record.sites))
    )


def copy(folder: Path, name: str, text: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("name", ROWED)
@fuzzed
@given(shuffle=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_and_repeating_them_changes_nothing(
    tmp_path, name, shuffle
):
    _, rows, _ = rows_of(name)
    mixed = [*rows, *shuffle.sample(rows, k=min(3, len(rows)))]
    shuffle.shuffle(mixed)

    whole = read(SAMPLES / name, zone="UTC")
    other = read(copy(tmp_path / "mixed", name, with_rows(name, mixed)), zone="UTC")

    assert said(other) == said(whole)


@pytest.mark.parametrize("name", FILES)
@fuzzed
@given(share=st.floats(0, 1), skip_bad=st.booleans())
def test_a_file_that_is_cut_off_is_refused_or_keeps_the_laws(tmp_path, name, share, skip_bad):
    content = (SAMPLES / name).read_bytes()
    path = copy(tmp_path / "cut", name, content[: int(share * len(content))])

    try:
        record = read(path, zone="UTC", skip_bad=skip_bad)
    except ScenarioError:
        return
    assert lawful(record)


@pytest.mark.parametrize("name", FILES)
@fuzzed
@given(seed=st.integers(0, 2**32), damages=st.integers(1, 8), skip_bad=st.booleans())
def test_a_damaged_file_is_refused_or_keeps_the_laws(tmp_path, name, seed, damages, skip_bad):
    rng = random.Random(seed)
    content = bytearray((SAMPLES / name).read_bytes())
    for _ in range(damages):
        place = rng.randrange(len(content) or 1)
        if not content:
            break
        how = rng.randrange(3)
        if how == 0:
            content[place] = rng.randrange(256)
        elif how == 1:
            content[place] = rng.choice(b'0123456789,;:{}[]"-\nTZ')
        else:
            del content[place : place + rng.randrange(1, 40)]
    path = copy(tmp_path / "damaged", name, bytes(content))

    try:
        record = read(path, zone="UTC", skip_bad=skip_bad)
    except ScenarioError:
        return
    assert lawful(record)


@pytest.mark.parametrize("name", [n for n in ROWED if n != "upptime-git-log.txt"])
@fuzzed
@given(place=st.integers(0, 10**6))
def test_a_row_that_cannot_be_read_is_named_and_counted(tmp_path, name, place):
    _, rows, _ = rows_of(name)
    place %= len(rows)
    rows[place] = "@@@" if name in LISTS else "@@@\n"
    path = copy(tmp_path / "row", name, with_rows(name, rows))

    with pytest.raises(ScenarioError) as refused:
        read(path, zone="UTC")
    record = read(path, zone="UTC", skip_bad=True)

    told = [p for p in refused.value.problems if str(path) == p.file and (p.line or p.place)]
    assert len(told) == 1
    assert record.rejected >= 1
    assert any(str(path) in note for note in record.notes)


@pytest.mark.parametrize("name", ["ripe-atlas.ndjson", "aws-iot.ndjson", "states.csv"])
def test_a_site_that_was_first_seen_to_recover_was_down_before(tmp_path, name):
    _, rows, _ = rows_of(name)
    kept = [row for row in rows if not _is_first_of_north(name, row)]

    record = read(copy(tmp_path / "lost", name, with_rows(name, kept)), zone="UTC",
                  window_us=(1_740_787_200_000_000, 1_740_830_400_000_000))  # fmt: skip

    first = next(o for o in record.outages if o.site in ("north", "50001"))
    assert (first.start_us, first.censored) == (1_740_787_200_000_000, "L")


def _is_first_of_north(name: str, row: str) -> bool:
    """The lines that say that north was up, and then down at 02:00."""
    if name == "states.csv":
        return "north" in row and row.split(",")[0] in ("1740787200", "1740794400")
    event = json.loads(row)
    north = event.get("clientId") == "north" or event.get("prb_id") == 50001
    early = event["timestamp"] in (1_740_787_200_000, 1_740_794_400_000, 1_740_794_400)
    return north and early
