"""Recompute each site's availability from a saved history with pandas alone.

``python tests/recompute_availability.py HISTORY`` prints a row a site: requests issued during the
replayed record, the share answered within budget (ok or denied), and the same of the requests
issued while the site was offline. It imports nothing of edgetwin.
"""

import json
import sys
from pathlib import Path

import pandas as pd


def availability(folder: Path) -> pd.DataFrame:
    storm_end_us = json.loads((folder / "meta.json").read_text())["storm_end_us"]
    sites = pd.read_parquet(folder / "sites.parquet")["site"].astype(str)
    spans = pd.read_parquet(folder / "spans.parquet")[["start_us", "offline"]]
    outcomes = pd.read_parquet(folder / "outcomes.parquet").join(spans, on="span")
    storm = outcomes[outcomes["start_us"] < storm_end_us].assign(
        site=lambda rows: rows["site"].astype(str),
        issued_offline=lambda rows: (rows["issued"] - rows["in_flight"]) * rows["offline"],
        answered=lambda rows: rows["ok"] + rows["denied"],
        answered_offline=lambda rows: (rows["ok"] + rows["denied"]) * rows["offline"],
    )
    counts = ["issued", "answered", "issued_offline", "answered_offline"]
    total = storm.groupby("site")[counts].sum().reindex(sites, fill_value=0)
    total["availability"] = total["answered"] / total["issued"]
    total["offline_availability"] = total["answered_offline"] / total["issued_offline"]
    return total


if __name__ == "__main__":
    print(availability(Path(sys.argv[1])).to_string())
