"""Files of changing capacity: mahimahi's delivery opportunities, and throughput a second."""

from __future__ import annotations

from pathlib import Path

from edgetwin.capacity import Capacity, of_opportunities, of_throughput
from edgetwin.inputs.records import mahimahi, throughput
from edgetwin.inputs.records.gathered import Gathered
from edgetwin.inputs.records.options import Options
from edgetwin.inputs.records.source import open_source


def read(path: str | Path) -> Capacity:
    """Return the capacity in the trace *path*, plain or gzip.

    Raises ScenarioError if it is neither a mahimahi trace nor a table of epoch and mbit_s.
    """
    source = open_source(Path(path))
    try:
        if throughput.recognises(source):
            gathered = Gathered(Options())
            found = throughput.rates(source, Options(), gathered)
            gathered.raise_if_wrong()
            if len(found) != 1:
                raise source.wrong(1, f"{len(found)} sites in one trace", "give one a file")
            return of_throughput(next(iter(found.values())))
        if mahimahi.recognises(source):
            return of_opportunities(mahimahi.opportunities_ms(source))
    except ValueError as fault:
        raise source.wrong(0, str(fault), "give a longer trace") from None
    raise source.wrong(
        0, "no trace of capacity", "give mahimahi's milliseconds, or columns epoch and mbit_s"
    )
