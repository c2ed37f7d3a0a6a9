"""The start-up profiles: what ships is what was measured, and the terms around a start hold."""

import argparse
import csv
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import startup_tables
from edgetwin import profiles
from edgetwin.commands import profile as command
from edgetwin.errors import UsageError
from edgetwin.profiles import Level, Quantiles, profile
from edgetwin.profiles.tables import starts

DATA = os.environ.get("EDGETWIN_DATA")
MEASURED = Path(DATA, "data/startup") if DATA else Path()
needs_measurements = pytest.mark.skipif(
    not DATA or not MEASURED.is_dir(),
    reason="EDGETWIN_DATA has no data/startup",
)


@needs_measurements
@pytest.mark.parametrize("table", sorted(startup_tables.TABLES))
def test_the_shipped_table_is_derived_from_the_measurements(table):
    derived = startup_tables.TABLES[table](MEASURED)

    assert derived == (startup_tables.SHIPPED / table).read_text(encoding="utf-8")


def test_the_shipped_tables_are_small():
    assert sum(path.stat().st_size for path in startup_tables.SHIPPED.iterdir()) < 300_000


@needs_measurements
@pytest.mark.parametrize(
    ("name", "file", "key"),
    [
        ("wasmedge-slim-aot", "cri_pod.csv", ("cri-pod-bridge", "handler-aot")),
        ("container-python", "cri_pod.csv", ("cri-pod-bridge", "python-handler")),
        ("container-static-oci", "oci_run.csv", ("oci-run", "static-handler")),
        ("wasmedge-aot-process", "process.csv", ("process-aot", "handler")),
        ("wasmedge-aot-prewarmed", "inproc.csv", ("inproc-aot-prewarmed", "handler")),
    ],
)
def test_resampled_starts_lie_within_two_percent_of_the_measured_distribution(name, file, key):
    with (MEASURED / file).open() as rows:
        measured_us = sorted(
            round(float(row["cold_start_ms"]) * 1000)
            for row in csv.DictReader(rows)
            if (row["runtime"], row["mode"], row["workload"]) == (profile(name).runtime, *key)
        )
    resampled_us = np.sort(profile(name).start_us((np.arange(20_000) + 0.5) / 20_000))

    every_us = np.unique([*measured_us, *resampled_us])
    shares = [
        np.searchsorted(sample, every_us, side="right") / len(sample)
        for sample in (measured_us, resampled_us)
    ]

    assert len(measured_us) >= 120
    assert abs(shares[0] - shares[1]).max() < 0.02


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=20))
def test_a_start_never_gets_shorter_as_its_quantile_grows(shares):
    for name in profiles.names():
        durations = profile(name).start_us(np.array(sorted(shares)))
        assert durations.dtype == np.int64
        assert (np.diff(durations) >= 0).all()
        assert durations[0] >= profile(name).start.us[0] > 0


@given(st.floats(0, 1, exclude_max=True))
def test_one_quantile_and_an_array_of_it_give_the_same_start(u):
    made = profile("container-node")

    assert made.start_us(u) == made.start_us(np.array([u]))[0]
    assert made.cold_start_us(u) == made.start_us(u) + made.cold_extra_us
    assert profiles.kubelet_us(u) == profiles.kubelet_us(np.array([u]))[0]
    assert profiles.boot_us(u) == profiles.boot_us(np.array([u]))[0]


@pytest.mark.parametrize(
    ("name", "p50_ms", "p90_ms", "p99_ms"),
    [
        ("container-static", 186.9, 228.2, 246.5),
        ("container-python", 205.0, 245.5, 275.4),
        ("container-node", 281.3, 318.3, 353.8),
        ("wasmedge-aot", 178.1, 221.1, 242.9),
        ("wasmedge-slim-aot", 163.9, 202.3, 231.8),
        ("wasmedge-slim-aot-process", 4.267, 5.797, 6.656),
        ("wasmedge-aot-process", 17.45, 23.19, 27.30),
        ("container-python-oci", 53.23, 63.98, 71.89),
    ],
)
def test_profiles_have_the_quantiles_of_the_fact_sheet(name, p50_ms, p90_ms, p99_ms):
    quantiles_ms = [profile(name).start_us(u) / 1000 for u in (0.5, 0.9, 0.99)]

    assert quantiles_ms == pytest.approx([p50_ms, p90_ms, p99_ms], rel=0.001)


def test_a_pod_takes_its_own_pages_and_those_of_its_shim_and_pause():
    mib = {name: profile(name).memory_bytes / 2**20 for name in profiles.pod_names()}

    assert mib["wasmedge-slim-aot"] == pytest.approx(3.8 + 4.6 + 0.6, abs=0.1)
    assert mib["wasmedge-aot"] == pytest.approx(9.3 + 4.7 + 0.6, abs=0.1)
    assert mib["container-python"] == pytest.approx(10.3 + 4.6 + 0.6, abs=0.1)
    assert mib["container-node"] == pytest.approx(48.6 + 4.6 + 0.6, abs=0.1)


def test_a_derived_interpreter_pod_says_so_and_is_slower_than_its_measured_sibling():
    derived, measured = profile("wasmedge-interp"), profile("wasmedge-aot")

    assert "derived" in derived.basis
    assert "derived" not in measured.basis
    assert derived.start.median_us - measured.start.median_us == pytest.approx(3_900, abs=100)
    assert profile("wasmedge-slim-interp-large").start.median_us > 400_000


def test_the_names_tell_the_levels_apart():
    for name in profiles.names():
        suffix = {
            Level.POD: "", Level.OCI: "-oci", Level.PROCESS: "-process",
            Level.IN_PROCESS: ("-in-process", "-prewarmed"),
        }[profile(name).level]  # fmt: skip
        assert name.endswith(suffix)


def test_a_runtime_class_finds_its_profile_and_the_topology_may_overrule_it():
    assert profiles.for_runtime_class("wasm").name == "wasmedge-aot"
    assert profiles.for_runtime_class(None).name == "container-python"
    assert profiles.for_runtime_class(None, "docker.io/library/node:20").name == "container-node"
    assert profiles.for_runtime_class(None, "prom/node-exporter").name == "container-python"
    overrides = {"wasm": "wasmedge-slim-interp", "kata": "container-static", "": "container-node"}
    assert profiles.for_runtime_class("wasm", "", overrides).name == "wasmedge-slim-interp"
    assert profiles.for_runtime_class("kata", "", overrides).name == "container-static"
    assert profiles.for_runtime_class(None, "", overrides).name == "container-node"


def test_a_runtime_class_that_nothing_was_measured_for_is_refused_with_what_there_is():
    with pytest.raises(UsageError, match=r"'kata'.*container-static"):
        profiles.for_runtime_class("kata")
    with pytest.raises(UsageError, match="did you mean 'container-python'"):
        profile("container-pyhton")


@needs_measurements
def test_bursts_are_processor_sharing_within_the_recorded_error():
    ways = {
        ("crun-1.21+wasmedge-0.14.1-nollvm", "handler"): "wasmedge-slim-aot-oci",
        ("runc-1.1.15", "python-handler"): "container-python-oci",
        ("runc-1.1.15", "static-handler"): "container-static-oci",
        ("wasmedge-0.14.1-dynllvm", "handler"): "wasmedge-aot-process",
        ("wasmedge-0.14.1-nollvm", "handler"): "wasmedge-slim-aot-process",
    }
    last_ms: dict[tuple[str, str, int, str], float] = defaultdict(float)
    with (MEASURED / "burst.csv").open() as rows:
        for row in csv.DictReader(rows):
            key = row["runtime"], row["workload"], int(row["n"]), row["run"]
            last_ms[key] = max(last_ms[key], float(row["cold_start_ms"]))

    for (runtime, workload), name in ways.items():
        for n, error_share in ((4, 0.28), (8, 0.20), (16, 0.20)):
            recorded_ms = median(
                ms for key, ms in last_ms.items() if key[:3] == (runtime, workload, n)
            )
            modelled_ms = profile(name).burst_us(n, cores=2) / 1000
            assert modelled_ms == pytest.approx(recorded_ms, rel=error_share), (name, n)


@given(st.integers(1, 60), st.integers(1, 16))
def test_a_burst_never_ends_sooner_with_more_starts_or_fewer_cores(n, cores):
    made = profile("container-python")

    assert made.burst_us(n + 1, cores=cores) >= made.burst_us(n, cores=cores)
    assert made.burst_us(n, cores=cores + 1) <= made.burst_us(n, cores=cores)
    assert made.burst_us(1, cores=cores) == made.start.median_us


@pytest.mark.parametrize(
    ("launcher", "kind", "workload"),
    [
        ("runc-1.1.15", "", "node-handler"),
        ("runc-1.1.15", "", "node-httpserver"),
        ("crun-1.21+wasmedge-0.14.1-nollvm", "-interp", "gateway"),
        ("crun-1.21+wasmedge-0.14.1-dynllvm", "-interp", "gateway"),
    ],
)
def test_a_500m_limit_stretches_a_start_as_recorded(launcher, kind, workload):
    plain = launcher.partition("+")[0]
    outside_us = starts()[plain, "oci-run-busy", "static-hello"].start.median_us  # not limited
    inside_us = starts()[launcher, f"oci-run{kind}-busy", workload].start.median_us - outside_us
    recorded_us = starts()[launcher, f"oci-run-cpu500m{kind}", workload].start.median_us

    modelled_us = outside_us + np.mean(
        [
            profiles.throttled_us(inside_us, limit_cores=0.5, phase_us=phase_us)
            for phase_us in range(0, 100_000, 500)
        ]
    )

    assert modelled_us == pytest.approx(recorded_us, rel=0.08)


@given(st.integers(0, 2_000_000), st.floats(0.05, 4.0), st.integers(0, 99_999))
def test_throttled_work_uses_no_more_than_its_quota_in_any_period(cpu_us, limit_cores, phase_us):
    elapsed_us = profiles.throttled_us(cpu_us, limit_cores=limit_cores, phase_us=phase_us)

    periods_touched = -(-(phase_us + elapsed_us) // 100_000)
    assert elapsed_us >= cpu_us
    assert cpu_us <= round(min(limit_cores, 1) * 100_000) * max(1, periods_touched)


def test_unpacking_follows_the_recorded_images():
    recorded_ms = {"scratch-handler": 80, "busybox": 93, "python": 1_627, "node": 2_350}
    images = profiles.tables.images()

    for name, ms in recorded_ms.items():
        assert profiles.unpack_us(images[name].files_bytes) / 1000 == pytest.approx(ms, rel=0.08)


def test_a_slower_core_scales_the_start_and_says_that_this_is_assumed():
    slow = profile("wasmedge-aot").slower(5)

    assert slow.start.median_us == pytest.approx(5 * profile("wasmedge-aot").start.median_us, abs=3)
    assert "an assumption" in slow.basis


def test_a_fitted_law_has_the_quantiles_it_was_fitted_to():
    fitted = Quantiles.lognormal(shift_us=15_638, mu=5.2488 + np.log(1000), sigma=0.13817)

    assert fitted.median_us == pytest.approx(206_000, rel=0.01)
    assert fitted.at(0.99) == pytest.approx(278_000, rel=0.01)


def test_every_claim_is_looked_at_and_the_verdicts_are_those_of_the_fact_sheet():
    holding = {(found.claim, found.way): found.holds for found in profiles.claims()}
    by_claim = defaultdict(list)
    for (claim, _), holds in holding.items():
        by_claim[claim].append(holds)

    assert set(by_claim) == {
        "WasmEdge cold start < 10 ms", "container cold start 1-5 s", "Wasm starts 99.8 % faster",
        "Wasm memory < 5 MB", "container memory 10-50 MB", "Wasm image < 2 MB",
        "container image 10-100 MB",
    }  # fmt: skip
    assert holding["WasmEdge cold start < 10 ms", "instance in a running host, AOT"]
    assert not holding["WasmEdge cold start < 10 ms", "Pod, AOT, WasmEdge as packaged"]
    # Only between unlike levels does the factor hold: that is the finding.
    assert by_claim["Wasm starts 99.8 % faster"].count(True) == 1


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser


def test_profile_show_prints_profiles_claims_and_assumptions(parser, capsys):
    code = command.run(parser.parse_args(["show"]))

    out = capsys.readouterr().out
    assert code == 0
    assert all(name in out for name in profiles.names())
    assert all(found.way in out for found in profiles.claims())
    assert "Assumptions, not measured" in out


def test_profile_show_gives_the_same_as_data(parser, capsys):
    command.run(parser.parse_args(["show", "-o", "json"]))

    shown = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in shown["profiles"]] == list(profiles.names())
    assert len(shown["claims"]) == len(profiles.claims())


def test_profile_measure_times_each_start_until_its_first_output(parser, capsys, tmp_path):
    script = "import sys, time; time.sleep(0.05); print('ready', flush=True); sys.stdin.read()"
    file = tmp_path / "starts.csv"
    words = ["measure", "-n", "12", "--warmup", "1", "--workload", "sleeper", "-o", str(file)]

    code = command.run(parser.parse_args([*words, "--", sys.executable, "-c", script]))

    measured = profiles.measured_on_node(file)
    [(key, quantiles)] = measured.items()
    assert code == 0
    assert file.read_text().splitlines()[0] == command.COLUMNS
    assert len(file.read_text().splitlines()) == 13
    assert key == (Path(sys.executable).name, "process", "sleeper")
    assert quantiles.us[0] >= 50_000
    with file.open() as rows:
        assert all(1_000 < int(row["peak_rss_kib"]) < 100_000 for row in csv.DictReader(rows))
    assert profile("container-python").timed(quantiles, "here").start_us(0.0) == quantiles.us[0]
    assert capsys.readouterr().out == ""


def test_profile_measure_kills_a_server_that_never_ends(parser, capsys, tmp_path):
    noted = tmp_path / "pid"
    script = (
        f"import os, time; open({str(noted)!r}, 'w').write(str(os.getpid()))\n"
        "print('listening', flush=True); time.sleep(60)"
    )
    words = ["measure", "-n", "1", "--warmup", "0", "--timeout", "1.5"]

    code = command.run(parser.parse_args([*words, "--", sys.executable, "-c", script]))

    assert code == 0
    assert capsys.readouterr().out.count("\n") == 2
    with pytest.raises(ProcessLookupError):
        os.kill(int(noted.read_text()), 0)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--", "/no/such/command"], "cannot be started"),
        (["--", sys.executable, "-c", "pass"], "without output"),
        (
            ["--timeout", "0.2", "--", sys.executable, "-c", "import time; time.sleep(9)"],
            "--timeout",
        ),
        (["-n", "0", "--", "true"], "--runs"),
        (["--image", "/no/such/image", "--", "true"], "no such file"),
    ],
)
def test_a_command_that_cannot_be_timed_is_refused(parser, words, remedy):
    with pytest.raises(UsageError, match=remedy):
        command.run(parser.parse_args(["measure", *words]))


def test_too_few_or_broken_measurements_are_refused(tmp_path):
    few, broken = tmp_path / "few.csv", tmp_path / "broken.csv"
    few.write_text(command.COLUMNS + "\n" + "r,process,w,0,1.0,,\n" * 9)
    broken.write_text(command.COLUMNS + "\nr,process,w,0,soon,,\n")

    with pytest.raises(UsageError, match="at least 10"):
        profiles.measured_on_node(few)
    with pytest.raises(UsageError, match=r"broken\.csv:2"):
        profiles.measured_on_node(broken)
