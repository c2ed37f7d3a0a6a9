"""Makes the start-up tables that edgetwin ships from the raw measurements, byte for byte.

    python tests/startup_tables.py MEASUREMENTS [TABLES]

MEASUREMENTS is the folder of raw CSV files (``startup`` under ``EDGETWIN_DATA``); TABLES defaults
to the folder that ships. Four small files replace 4 MB: what they keep of each profile is its
quantiles at every percent, so that a start is drawn from the measurements themselves (most of the
short starts have two humps, which no fitted law has: facts/startup.md, section 4).
"""

import csv
import io
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

SHIPPED = Path(__file__).parents[1] / "sim/edgetwin/profiles/startup"
RUNS = (
    "process.csv", "process_busy.csv", "inproc.csv", "oci_run.csv", "oci_run_busy.csv",
    "oci_run_cpu500m.csv", "ctr_run.csv", "cri_pod.csv", "coldcache.csv",
)  # fmt: skip


def starts(measurements: Path) -> str:
    """Quantiles of every measured profile, in microseconds, with its processor time and size."""
    cpu_ms = {
        (row["runtime"], row["mode"], row["workload"]): row["cpu_ms_p50"]
        for row in read(measurements / "fits.csv")
    }
    runs: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    peak_kib: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    image_bytes: dict[tuple[str, str, str], str] = {}
    for name in RUNS:
        for row in read(measurements / name):
            key = row["runtime"], row["mode"], row["workload"]
            runs[key].append(float(row["cold_start_ms"]))
            image_bytes[key] = row["image_bytes"]
            if row["peak_rss_kib"]:
                peak_kib[key].append(int(row["peak_rss_kib"]))
    percents = [f"q{percent}_us" for percent in range(101)]
    header = ["runtime", "mode", "workload", "n", "cpu_us", "peak_rss_kib", "image_bytes"]
    return write(
        header + percents,
        (
            (
                *(*key, len(runs[key]), round(float(cpu_ms[key]) * 1000) if cpu_ms[key] else ""),
                *(round(median(peak_kib[key])), image_bytes[key], *quantiles_us(runs[key])),
            )
            for key in sorted(runs)
        ),
    )


def quantiles_us(runs_ms: Sequence[float]) -> list[int]:
    """The 0th to the 100th percentile of *runs_ms* in whole microseconds."""
    return [int(us) for us in np.rint(np.percentile(runs_ms, range(101)) * 1000)]


def pods(measurements: Path) -> str:
    """Medians of what each Pod's process, its pause and its shim take, over both networks."""
    columns = (
        "app_rss_kib", "app_private_kib", "pause_private_kib", "shim_rss_kib", "shim_private_kib",
    )  # fmt: skip
    sampled: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in read(measurements / "pod_memory.csv"):
        sampled[row["runtime"], row["workload"]].append(row)
    return write(
        ["runtime", "workload", "n", *columns],
        (
            [
                *key,
                len(rows),
                *(round(median(int(row[column]) for row in rows)) for column in columns),
            ]
            for key, rows in sorted(sampled.items())
        ),
    )


def instances(measurements: Path) -> str:
    """What one more instance in a running host process takes, over 100 instances."""
    return write(
        ["engine", "module", "format", "extra_bytes"],
        (
            (
                *(row["engine"], row["module"], row["format"]),
                round(float(row["rss_kib_per_extra_instance"]) * 1024),
            )
            for row in read(measurements / "density.csv")
        ),
    )


def images(measurements: Path) -> str:
    """Sizes of each image, uncompressed and compressed, and its median unpack time, if timed."""
    timed: dict[str, list[float]] = defaultdict(list)
    for row in read(measurements / "image_import.csv"):
        timed[row["image"]].append(float(row["import_unpack_ms"]))
    return write(
        ["image", "files_bytes", "layer_gzip_bytes", "unpack_us"],
        (
            (
                *(row["image"], row["files_bytes"], row["layer_gzip_bytes"]),
                round(median(timed[row["image"]]) * 1000) if timed[row["image"]] else "",
            )
            for row in read(measurements / "images.csv")
        ),
    )


TABLES = {"starts.csv": starts, "pods.csv": pods, "instances.csv": instances, "images.csv": images}


def read(path: Path) -> list[dict[str, str]]:
    """The rows of the CSV file *path*."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """*header* and *rows* as CSV text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    source = Path(sys.argv[1])
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else SHIPPED
    for table, derive in TABLES.items():
        (target / table).write_text(derive(source), encoding="utf-8")
