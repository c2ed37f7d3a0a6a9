"""Real exports, where they are at hand: the format samples against their truth, and every native
file against the counts of its README. Set EDGETWIN_DATA to the folder that holds `data`."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path

import pytest

from edgetwin.inputs.records import read
from edgetwin.outages import Outage, Record, grid_error_us, merge

ROOT = Path(os.environ.get("EDGETWIN_DATA", "/nowhere")) / "data"

pytestmark = pytest.mark.skipif(
    not (ROOT / "datasets.yaml").is_file(),
    reason="no real data: set EDGETWIN_DATA to the folder that holds data/datasets.yaml",
)

Interval = tuple[str, float, float]


def truth(name: str) -> list[Interval]:
    """Return site, start and end (s) of the table *name*, in order."""
    path = ROOT / name
    with gzip.open(path, "rt") if name.endswith(".gz") else path.open() as file:
        rows = list(csv.DictReader(file))
    return sorted((row["site"], float(row["start"]), float(row["end"])) for row in rows)


def merged_truth(name: str) -> list[Interval]:
    """The same with rows of one site that touch or overlap made one, as every importer does."""
    with gzip.open(ROOT / name, "rt") if name.endswith(".gz") else (ROOT / name).open() as file:
        rows = [
            Outage(row["site"], round(float(row["start"]) * 10**6),
                   round(float(row["end"]) * 10**6), row["kind"])
            for row in csv.DictReader(file)
        ]  # fmt: skip
    rows = [row for row in rows if row.end_us and row.end_us > row.start_us]
    return sorted((o.site, o.start_us / 1e6, (o.end_us or 0) / 1e6) for o in merge(rows)[0])


def told(record: Record) -> list[Interval]:
    return sorted((o.site, o.start_us / 1e6, record.end_us(o) / 1e6) for o in record.outages)


def import_(name: str, **options: object) -> Record:
    return read(ROOT / name, **options)  # type: ignore[arg-type]


# ---- the same fifty outages in fifteen formats ---------------------------------------------------

SAMPLES = {
    "prometheus_probe_success_matrix.json": 0,
    # The node was silent for the grace period before it was called NotReady.
    "kubectl_events.json": 40,
    "uptime_kuma_important_heartbeats.json": 0,
    "upptime_git_log.txt": 0,
    "ripe_atlas_7000.ndjson": 0,
    "ioda_events.json": 0,
    "nagios.log": 0,
    "zabbix_event_get.json": 0,
    "icingadb_sla_history_state.csv": 0,
    "statuspage_incidents.json": 0,
    "aws_iot_lifecycle.ndjson": 0,
    "csv_iso8601_utc.csv": 0,
    "csv_semicolon_local_minus03.csv": 0,
    "csv_state_changes_epoch.csv": 0,
    "csv_last_seen.csv": 0,
}
"""The file and the seconds by which a start may be off."""


@pytest.mark.parametrize("name", SAMPLES)
def test_a_format_sample_imports_to_the_truth(name):
    folder = ROOT / "format-samples"
    window = json.loads((folder / "window.json").read_text())
    files = [folder / name]
    if name.startswith("ripe"):
        files.append(folder / "ripe_atlas_probes.json")

    record = read(
        files,
        zone="-03:00" if "local" in name else None,
        window_us=(window["start"] * 10**6, window["end"] * 10**6),
    )

    # Kubernetes names are lower case.
    found = sorted((site.lower(), start, end) for site, start, end in told(record))
    right = sorted((site.lower(), start, end) for site, start, end in truth(
        "format-samples/truth.csv"))  # fmt: skip
    assert len(found) == len(right) == 50
    for (site, start, end), (right_site, right_start, right_end) in zip(found, right, strict=True):
        assert site == right_site
        assert abs(start - right_start) <= SAMPLES[name]
        assert end == right_end
    censored = sorted(o.censored for o in record.outages if o.censored)
    assert censored == ["L", "R"]
    assert [site.lower() for site in record.sites] == sorted(s.lower() for s in window["sites"])


def test_the_two_hours_without_samples_are_unknown():
    record = import_("format-samples/prometheus_probe_success_matrix.json")

    assert [(g.site, (g.end_us - g.start_us) / 1e6) for g in record.unknown] == [
        ("FURG-SLourenco", 7_200)
    ]


# ---- derived tables, as every folder has them ----------------------------------------------------

TABLES = {
    "smokeping-rs-brazil/outages.csv": (1_842, 96, 300),
    "grid5000-fta/outages.csv.gz": (35_345, 353, 1),
    "lanl-hpc-nodes/outages.csv.gz": (8_320, 3_423, 60),
    "web-reachability-2001/outages.csv": (20_619, 75, 600),
    "bchydro-power-2024/outages.csv.gz": (14_072, 270, 1),
    "telecom-sweden/outages.csv": (872, 22, 1),
    "ipobs-hurricane-laura-2020/outages.csv": (64, 216, 3_600),
    "mahimahi-cellular/outages.csv": (161, 6, 0.001),
    "starlink-cellular-drive/outages.csv": (541, 2, 1),
    "ci-heartbeats/outages.csv": (24, 1, 1),
}
"""Rows and sites that the README states, and the grid of the instants in seconds."""


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_a_table_is_taken_joined_merged_or_named(name):
    record = import_(name)

    rows, sites, grid_s = TABLES[name]
    assert record.rows == rows
    assert len(record.outages) + record.joined + record.merged + record.rejected == rows
    assert told(record) == merged_truth(name) or _clipped(record, name)
    assert len(record.sites) == sites
    assert grid_error_us(record) == grid_s * 10**6


def _clipped(record: Record, name: str) -> bool:
    """Tell whether the record is the truth cut at the window, as seven power outages are."""
    end = record.window_us[1] / 1e6
    cut = [(s, a, min(b, end)) for s, a, b in merged_truth(name) if a < end]
    return told(record) == cut


# ---- native files --------------------------------------------------------------------------------


def test_the_failure_trace_archive_gives_every_interval_of_length():
    record = import_("grid5000-fta/event_trace.tab.gz")

    renamed = [(s.removeprefix("G1/"), a, b) for s, a, b in told(record)]
    # Of 35,345 rows four have no length, and two touch their neighbour: 35,339 outages.
    assert renamed == merged_truth("grid5000-fta/outages.csv.gz")
    assert (len(record.outages), record.joined, record.rejected) == (35_339, 2, 4)
    assert sum(bool(o.censored) for o in record.outages) == 184
    assert len(record.sites) == 353


def test_the_node_log_gives_every_failure_that_took_time():
    record = import_("lanl-hpc-nodes/lanl_raw.csv.gz", zone="+00:00")

    # 8,320 rows, 120 of zero minutes; 47 touch or overlap another of their node and kind.
    assert told(record) == told(import_("lanl-hpc-nodes/outages.csv.gz"))
    assert (record.rows, record.rejected) == (8_320, 120)


def test_the_node_log_s_local_times_need_a_zone():
    from edgetwin.errors import ScenarioError

    with pytest.raises(ScenarioError, match="zone"):
        import_("lanl-hpc-nodes/lanl_raw.csv.gz")


def test_power_outages_are_those_of_the_table_but_for_ids_that_stand_twice():
    record = import_("bchydro-power-2024/power_outages.csv.gz", kind="power")

    # The table has a row an id; 112 more rows repeat an id with other times.
    found, right = set(told(record)), set(merged_truth("bchydro-power-2024/outages.csv.gz"))
    assert record.rows == 14_072 + 112
    assert (len(found - right), len(right - found)) == (9, 2)


def test_planned_work_is_a_third_of_the_power_outages():
    record = import_("bchydro-power-2024/power_outages.csv.gz")
    planned = sum(o.kind == "planned" for o in record.outages)

    assert 0.25 < planned / len(record.outages) < 0.45


def test_dirty_incidents_are_taken_by_the_rules_of_their_readme():
    record = import_("telecom-sweden/incidents_raw.csv", zone="UTC")

    # 876 rows; the table leaves the four over 180 days out, and calls no region `nan`.
    assert record.rows == 876
    assert len(record.sites) == 22
    covered = told(record)
    for site, start, end in merged_truth("telecom-sweden/outages.csv"):
        name = site.removesuffix("/nan")
        assert any(s == name and a <= start and b >= end - 1 for s, a, b in covered)


def test_a_regional_index_gives_the_hours_below_half_the_median():
    record = import_("ipobs-hurricane-laura-2020/connectivity_hourly.csv.gz")

    assert told(record) == truth("ipobs-hurricane-laura-2020/outages.csv")
    assert len(record.sites) == 216
    assert sum(bool(o.censored) for o in record.outages) == 2


def test_delivery_opportunities_give_every_gap_of_a_second():
    files = sorted((ROOT / "mahimahi-cellular").glob("*.gz"))

    record = read(files)

    # The millisecond of an opportunity is up, so that gaps on both sides of one do not touch.
    right = truth("mahimahi-cellular/outages.csv")
    assert len(record.outages) == len(right) == 161
    for (site, start, end), (right_site, right_start, right_end) in zip(
        told(record), right, strict=True
    ):
        assert site == right_site
        assert abs(start - right_start) < 0.0015
        assert end == right_end


def test_throughput_gives_the_runs_below_a_tenth_of_a_megabit():
    folder = ROOT / "starlink-cellular-drive"

    record = read(sorted(folder.glob("*.csv.gz")))

    found = {(s.split("_udp")[0], a, b) for s, a, b in told(record)}
    right = set(truth("starlink-cellular-drive/outages.csv"))
    # The kept file rounds to 0.1: eight runs with a second of 0.09 or so lose it or end there.
    assert len(found & right) == 533
    assert (len(found), len(right)) == (535, 541)


def test_heartbeats_give_every_silence_of_an_hour():
    record = import_(
        "ci-heartbeats/heartbeats.csv.gz", gap_us=3_600 * 10**6, step_us=1_800 * 10**6,
        site="ci-cron",
    )  # fmt: skip

    assert told(record) == truth("ci-heartbeats/outages.csv")


def test_hourly_loss_gives_the_outages_of_the_fleet():
    record = import_("smokeping-rs-brazil/loss_hourly.csv.gz")

    right = truth("smokeping-rs-brazil/outages.csv")
    assert len(record.outages) == len(right) == 1_842
    # The kept file rounds the loss to three decimals: fifteen hours are a slot longer or shorter.
    assert len(set(told(record)) & set(right)) >= 1_827
    for (_, start, end), (_, right_start, right_end) in zip(told(record), right, strict=True):
        assert max(abs(start - right_start), abs(end - right_end)) <= 300


def test_five_minute_loss_gives_the_episodes_that_the_readme_counts():
    record = import_("smokeping-rs-brazil/loss_5min.csv.gz", above=15)

    minutes = sum(record.end_us(o) - o.start_us for o in record.outages) / 60e6
    assert len(record.outages) == 154
    assert minutes == pytest.approx(23_340, abs=30)


def test_the_same_site_says_the_same_by_prometheus_by_rrdtool_and_by_matrix():
    prometheus = import_("smokeping-rs-brazil/prometheus_query_range.json")
    rrd = import_("smokeping-rs-brazil/rrdtool_fetch_IFRS-Erechim.txt")
    matrix = import_("smokeping-rs-brazil/loss_5min.csv.gz", above=15)

    def of(record: Record) -> list[Interval]:
        return [row for row in told(record) if row[0] == "IFRS-Erechim"]

    assert of(rrd) == of(matrix) == of(prometheus) != []


def test_half_days_of_loss_show_the_flood():
    record = import_("smokeping-rs-brazil/loss_12h.csv.gz", above=0.5)

    may = 1_714_521_600
    flood = [o for o in record.outages if may <= o.start_us / 1e6 < may + 31 * 86_400]
    assert len(record.sites) == 96
    assert len(flood) > len(record.outages) / 12


def test_a_last_seen_table_of_hours_shows_no_outage_where_there_is_none():
    record = import_("ttn-zurich-gateways/ttn_measurements.preview.csv", zone="Europe/Zurich")

    assert (record.rows, record.sites, record.outages) == (99, ("16",), ())


def test_minutes_down_a_day_become_outages_of_days():
    record = import_("upptime-m17/summary.json")

    assert len(record.sites) == 3
    longest = max(record.end_us(o) - o.start_us for o in record.outages)
    assert longest > 30 * 86_400 * 10**6


def test_a_state_file_is_one_look():
    record = import_("upptime-m17/m17-202.yml")

    assert [(o.site, o.end_us) for o in record.outages] == [("m17-202", None)]
