from dataclasses import replace

import pytest

from edgetwin.checks import Result
from edgetwin.terms import CollectionTerms, RoomTerms
from edgetwin.units import DAY_US, MINUTE_US
from made_histories import TERMS, edited, judged, made


@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        ("volumes", {"full_us": [0, 60_000_000, 0]}, "volume full for 1m"),
        ("volumes", {"used_bytes_max": [0, 11 * 2**30, 0]}, "its claim asks for 10.0Gi"),
        ("pods", {"killed": [0, 3, 0]}, "killed 3 times"),
        ("pods", {"memory_bytes_max": [0, 2**30, 0]}, "limit 512.0Mi"),
    ],
)
def test_a_shortage_fails_and_is_named_with_its_site(table, columns, words):
    verdict = judged("capacity", edited(made(), table, **columns))

    assert verdict.result is Result.FAIL
    assert words in verdict.evidence[0].what
    assert verdict.evidence[0].site == "store-002"


def test_an_outage_longer_than_the_retention_fails():
    short = {
        "sales": CollectionTerms(data_class="internal", retention_us=2 * MINUTE_US, synced=True)
    }

    verdict = judged("capacity", made(), replace(TERMS, collections=short))

    assert verdict.result is Result.FAIL
    assert "retention of sales is 2m, the longest outage 5m" in verdict.evidence[0].what


def test_what_would_be_stored_in_the_rest_of_the_retention_counts():
    history = made(sites=1, outages=30)
    daily = edited(history, "writes", stored_bytes=[2 * 2**30, 0])
    long = {
        "sales": CollectionTerms(data_class="internal", retention_us=1_000 * DAY_US, synced=True)
    }

    verdict = judged("capacity", daily, replace(TERMS, collections=long))

    assert verdict.result is Result.FAIL
    assert "within the retention" in verdict.evidence[0].what
    assert judged("capacity", history).result is Result.PASS


def test_requests_above_what_the_nodes_have_fail():
    room = {
        "store": RoomTerms(cores_requested=5, cores=4, memory_bytes_requested=1, memory_bytes=2**33)
    }

    verdict = judged("capacity", made(), replace(TERMS, rooms=room))

    assert verdict.result is Result.FAIL
    assert "request 5 cores, its nodes have 4" in verdict.reason
