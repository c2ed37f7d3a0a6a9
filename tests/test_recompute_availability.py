from dataclasses import replace

import pytest

from edgetwin.checks import check
from made_histories import TERMS, edited, made

pytest.importorskip("pandas", reason="pandas is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from recompute_availability import availability


def test_pandas_finds_the_same_availability_of_every_site(tmp_path):
    history = made(sites=4, outages=120, offline={"unavailable": 3, "late": 2, "denied": 1})
    ok, error = (history.column("outcomes", name).copy() for name in ("ok", "error"))
    ok[5], error[5] = 0, ok[5]
    history = edited(history, "outcomes", ok=ok, error=error)
    history = edited(history, "latency", count=history.column("latency", "count") // 2)
    history.save(tmp_path / "run")

    again = availability(tmp_path / "run")

    summaries = check(replace(TERMS, writers={}), history).sites["cut"]
    assert len(again) == len(summaries) == 4
    for summary in summaries:
        row = again.loc[summary.site]
        assert row["issued"] == summary.requests
        assert row["availability"] == summary.availability_share
        assert row["offline_availability"] == summary.offline_availability_share
