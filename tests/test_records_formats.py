"""Every importer against a small hand-made export of the same three outages.

North is down from 02:00 to 02:30 and again from 11:00, still down at noon; south from 05:00 to
07:00. The window is 2025-03-01, midnight to noon, UTC.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetwin.inputs.records import IMPORTERS, detect, open_source, read
from edgetwin.outages import Record

SAMPLES = Path(__file__).parent / "samples"
MIDNIGHT_S = 1_740_787_200
NOON_S = MIDNIGHT_S + 43_200
WINDOW_US = (MIDNIGHT_S * 10**6, NOON_S * 10**6)
THE_THREE = [
    ("north", 7_200, 9_000, ""),
    ("north", 39_600, None, "R"),
    ("south", 18_000, 25_200, ""),
]


def told(record: Record) -> list[tuple[str, float, float | None, str]]:
    """Return site, start and end (seconds after midnight) and letters of every outage."""
    return [
        (
            outage.site.rpartition("/")[2],
            outage.start_us / 1e6 - MIDNIGHT_S,
            None if outage.end_us is None else outage.end_us / 1e6 - MIDNIGHT_S,
            outage.censored,
        )
        for outage in record.outages
    ]


def samples(*names: str) -> list[Path]:
    return [SAMPLES / name for name in names]


WHOLE = {
    "prometheus": ("prometheus-1.json", "prometheus-2.json"),
    "kubectl": ("kubectl-events.json",),
    "upptime": ("upptime-git-log.txt",),
    "upptime issues": ("upptime-issues.json",),
    "uptime-kuma": ("uptime-kuma-important.json",),
    "ripe-atlas": ("ripe-atlas.ndjson", "ripe-atlas-probes.json"),
    "ioda": ("ioda-events.json",),
    "nagios": ("nagios.log",),
    "icingadb": ("icingadb-states.csv", "icingadb-downtimes.csv"),
    "zabbix": ("zabbix-events.json",),
    "statuspage": ("statuspage-incidents.json",),
    "cstate": ("cstate-1.md", "cstate-2.md", "cstate-3.md"),
    "aws-iot": ("aws-iot.ndjson",),
    "fta": ("event_trace.tab",),
    "last-seen": ("last-seen.csv",),
    "states": ("states.csv",),
    "matrix": ("matrix.csv",),
    "index": ("index.csv",),
    "csv": ("outages.csv",),
    "csv iso": ("iso.csv",),
}


@pytest.mark.parametrize("name", WHOLE)
def test_each_format_tells_the_same_three_outages(name):
    record = read(samples(*WHOLE[name]), window_us=WINDOW_US)

    detected = detect(open_source(SAMPLES / WHOLE[name][0])).NAME
    assert name.split()[0] == detected
    assert told(record) == THE_THREE


@pytest.mark.parametrize("name", WHOLE)
def test_a_format_that_is_named_is_read_like_one_that_is_detected(name):
    files = samples(*WHOLE[name])

    assert read(files, format=name.split()[0], window_us=WINDOW_US) == read(
        files, window_us=WINDOW_US
    )


def test_every_importer_has_a_sample():
    sampled = {detect(open_source(path)).NAME for path in sorted(SAMPLES.iterdir())}

    assert sampled == {importer.NAME for importer in IMPORTERS}


def test_several_query_results_join_and_what_is_absent_is_unknown():
    record = read(samples("prometheus-1.json", "prometheus-2.json"))

    assert told(record) == THE_THREE
    gaps = [(gap.site, gap.start_us - WINDOW_US[0], gap.end_us - WINDOW_US[0])
            for gap in record.unknown]  # fmt: skip
    assert gaps == [
        ("south", 10_800_000_000, 12_600_000_000), ("south", 32_400_000_000, 34_200_000_000),
    ]  # fmt: skip
    assert record.window_us == WINDOW_US
    assert record.outages[0].start_err_us == 1_800_000_000


def test_a_node_is_cut_forty_seconds_before_kubernetes_says_so():
    late = read(samples("kubectl-events.json"), window_us=WINDOW_US, grace_us=0)

    assert told(late)[0][1] == 7_240


def test_one_look_at_the_nodes_tells_only_what_is_open():
    record = read(samples("kubectl-nodes.json"), window_us=WINDOW_US)

    assert told(record) == [("north", 39_600, None, "R")]
    assert [(gap.site, gap.end_us // 10**6 - MIDNIGHT_S) for gap in record.unknown] == [
        ("south", 25_200)
    ]


def test_slow_and_down_are_two_states_of_upptime(tmp_path):
    times = [f"2025-03-01T0{hour}:00:00Z" for hour in range(1, 6)]
    states = ["experiencing degraded performance", "down", "degraded", "up", "down"]
    (tmp_path / "log.txt").write_text(
        "".join(f"{at}\t🟨 north is {state} (200 in 9 ms) [skip ci] [upptime]\n"
                for at, state in zip(times, states, strict=True))
    )  # fmt: skip

    record = read(tmp_path / "log.txt")

    assert [(o.kind, o.start_us // 3_600_000_000 % 24, o.censored) for o in sorted(
        record.outages, key=lambda outage: outage.start_us)] == [
        ("degraded", 1, ""), ("network", 2, ""), ("degraded", 3, ""), ("network", 5, "R"),
    ]  # fmt: skip


def test_minutes_a_day_of_upptime_join_over_full_days():
    record = read(samples("upptime-summary.json"))

    day = 86_400
    assert told(record) == [("north", day - 5_400, 2 * day + 3_600, "")]
    assert record.joined == 2
    assert record.sites == ("north", "south")


def test_a_state_file_of_upptime_is_one_look():
    record = read(samples("upptime-north.yml"))

    assert record.sites == ("upptime-north",)
    assert [outage.censored for outage in record.outages] == ["LR"]


def test_pending_belongs_to_the_outage_that_follows_and_empty_buckets_are_unknown():
    record = read(samples("uptime-kuma-page.json", "uptime-kuma-names.json"))

    # A beat each half hour. North's only beat of its first outage is pending, and an up follows;
    # its beat at 11:00 is pending, and a down follows.
    assert told(record) == [("north", 37_800, None, "R"), ("south", 18_000, 25_200, "")]


def test_a_problem_inside_a_scheduled_downtime_is_planned_and_a_soft_one_is_none():
    strict = read(samples("nagios.log"), window_us=WINDOW_US)
    soft = read(samples("nagios.log"), window_us=WINDOW_US, soft=True)
    icinga = read(samples(*WHOLE["icingadb"]), window_us=WINDOW_US)

    assert [outage.kind for outage in strict.outages] == ["network", "network", "planned"]
    assert [outage.kind for outage in icinga.outages] == ["network", "network", "planned"]
    assert ("south", 12_000, 12_060, "") in told(soft)
    assert any("never got HARD" in note for note in strict.notes)


def test_a_disk_problem_is_no_outage_unless_it_is_asked_for():
    usual = read(samples("zabbix-events.json"), window_us=WINDOW_US)
    asked = read(samples("zabbix-events.json"), window_us=WINDOW_US, match="Disk")

    assert any("do not match" in note for note in usual.notes)
    assert told(asked) == [("north", 600, None, "R")]


def test_maintenance_is_planned():
    record = read(samples("statuspage-maintenances.json"), window_us=WINDOW_US)

    assert told(record) == [("south", 28_800, 32_400, "")]
    assert record.outages[0].kind == "planned"


def test_a_lost_presence_event_leaves_unknown_time(tmp_path):
    text = (SAMPLES / "aws-iot.ndjson").read_text()
    lines = [line for line in text.splitlines() if '"south"' in line]
    kept = [line for line in lines if '"versionNumber": 1' not in line]
    (tmp_path / "events.ndjson").write_text("\n".join(kept) + "\n")

    record = read(tmp_path / "events.ndjson", window_us=WINDOW_US)

    assert record.outages == ()
    assert [(g.start_us, g.end_us) for g in record.unknown] == [
        (WINDOW_US[0], (MIDNIGHT_S + 25_200) * 10**6)
    ]


def test_rrdtool_rows_are_the_ends_of_their_slots_and_nan_is_unknown():
    record = read(samples("rrdtool_fetch_north.txt"))

    assert told(record) == THE_THREE[:2]
    assert len(record.unknown) == 1
    assert record.sites == ("north",)


def test_a_row_of_the_archive_without_length_is_counted():
    record = read(samples("event_trace.tab"))

    assert told(record) == THE_THREE
    assert record.rejected == 1
    assert record.groups == ("G/c1", "G/c1")
    assert record.outages[0].kind == "node"


def test_silence_of_a_second_is_an_outage_of_a_cellular_link():
    record = read(samples("drive.down"))

    assert [(o.start_us, o.end_us, o.kind) for o in record.outages] == [
        (951_000, 3_000_000, "cellular"), (4_961_000, 6_500_000, "cellular"),
    ]  # fmt: skip
    assert record.sites == ("drive.down",)


def test_low_throughput_is_an_outage_and_the_time_between_drives_is_unknown():
    record = read(samples("drive_1hz.csv"))

    assert told(record) == [("drive_1hz", 5, 8, "")]
    assert [(g.end_us - g.start_us) / 1e6 for g in record.unknown] == [40]


def test_a_gap_between_heartbeats_begins_with_the_first_that_did_not_come():
    record = read(samples("heartbeats.csv"))

    assert told(record) == [("heartbeats", 18_000 + 1_800, 25_200, "")]
    assert record.outages[0].kind == "scheduler"


def test_a_last_seen_table_begins_an_outage_when_the_site_was_last_seen():
    record = read(samples("last-seen.csv"))

    assert told(record) == THE_THREE
    assert record.outages[0].end_err_us == 1_800_000_000


def test_local_times_need_their_zone_and_dotted_dates_have_the_day_first():
    record = read(samples("lokal.csv"), zone="-03:00", window_us=WINDOW_US)

    assert told(record) == THE_THREE


def test_a_duration_stands_for_an_end_and_one_date_tells_the_order_of_all():
    record = read(samples("durations.tsv"), zone="UTC", window_us=WINDOW_US)

    assert told(record) == THE_THREE
    assert any("outside the window" in note for note in record.notes)


def test_hours_with_loss_become_minutes_next_to_their_neighbours():
    record = read(samples("loss_hourly.csv"))

    assert told(record) == [
        ("north", 7_200 + 900, 7_200 + 2_700, ""),
        ("north", 39_600, 43_200, ""),
        ("south", 18_000, 25_200, ""),
    ]
    assert [(gap.site, gap.start_us // 10**6 - MIDNIGHT_S) for gap in record.unknown] == [
        ("south", 25_200)
    ]


def test_blame_columns_give_kind_and_cause():
    record = read(samples("node-log.csv"), zone="UTC")

    assert [(o.site, o.kind, o.cause) for o in record.outages] == [
        ("sys8-n1", "power", "facilities:ups"), ("sys8-n2", "node", "hardware:memory_dimm"),
    ]  # fmt: skip
    assert record.rejected == 1


def test_planned_work_of_a_utility_is_told_from_faults():
    record = read(samples("utility.csv"))

    assert [(o.site, o.kind) for o in record.outages] == [("north", "power"), ("south", "planned")]


def test_an_operator_s_missing_end_is_estimated_or_open():
    record = read(samples("operator.csv"), zone="UTC", window_us=WINDOW_US)

    assert told(record) == [
        ("north", 7_200, 9_000, ""), ("north", 39_600, None, "R"), ("south", 18_000, 25_200, "E"),
    ]  # fmt: skip
    assert {outage.site for outage in record.outages} == {"tel/north", "tel/south"}


def test_records_of_several_formats_become_one(tmp_path):
    (tmp_path / "power.csv").write_text(
        "site,start,end,kind\n"
        f"south,{MIDNIGHT_S + 21_600},{MIDNIGHT_S + 28_800},power\n"
    )  # fmt: skip

    record = read([SAMPLES / "nagios.log", tmp_path / "power.csv"], window_us=WINDOW_US)

    kinds = [(outage.site, outage.kind) for outage in record.outages]
    assert kinds == [
        ("north", "network"), ("north", "network"), ("south", "planned"), ("south", "power"),
    ]  # fmt: skip
