"""First come, first served: columns against one row at a time."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetwin.engine.queueing import NO_LIMIT, Rules, first_killing, inside, lindley, serve


@dataclass(frozen=True)
class Row:
    arrival_us: int
    duration_us: int
    cold_us: int


@dataclass(frozen=True)
class Pod:
    free_us: int
    rows: tuple[Row, ...]


@st.composite
def pods(draw):
    made = []
    for _ in range(draw(st.integers(1, 4))):
        gaps = draw(st.lists(st.integers(0, 6), max_size=25))
        free_us = draw(st.integers(0, 30))
        arrivals = np.cumsum([draw(st.integers(0, 9)), *gaps])[: len(gaps)].tolist()
        rows = tuple(
            Row(arrival, draw(st.integers(0, 12)), draw(st.integers(0, 20))) for arrival in arrivals
        )
        made.append(Pod(free_us, rows))
    return made


@st.composite
def rules(draw):
    workers = draw(st.sampled_from([1, 1, 2, 3]))
    keep_alive_us = draw(st.integers(0, 6)) if workers == 1 else 0
    in_pod_max = draw(st.sampled_from([NO_LIMIT, workers, workers + 1, workers + 3]))
    return Rules(workers, in_pod_max, NO_LIMIT, keep_alive_us)


def one_by_one(pod: Pod, how: Rules) -> list[tuple[int, int, bool]]:
    """Return start, finish and whether it was rejected, of each row."""
    workers = [pod.free_us] * how.workers
    ended: list[tuple[int, int, bool]] = []
    for row in pod.rows:
        others = sum(finish > row.arrival_us for _, finish, _ in ended)
        if others >= how.in_pod_max:
            ended.append((row.arrival_us, row.arrival_us, True))
            continue
        free_us = min(workers)
        workers.remove(free_us)
        start_us = max(free_us, row.arrival_us)
        finish_us = start_us + row.duration_us
        if 0 < how.keep_alive_us < row.arrival_us - free_us:
            finish_us += row.cold_us
        workers.append(finish_us)
        ended.append((start_us, finish_us, False))
    return ended


def columns(found: list[Pod]):
    rows = [row for pod in found for row in pod.rows]
    first = np.cumsum([0, *(len(pod.rows) for pod in found)])
    return (
        np.array([row.arrival_us for row in rows], dtype=np.int64),
        np.array([row.duration_us for row in rows], dtype=np.int64),
        np.array([row.cold_us for row in rows], dtype=np.int64),
        first.astype(np.int64),
        np.array([pod.free_us for pod in found], dtype=np.int64),
    )


def idle(found: list[Pod], how: Rules) -> list[Pod]:
    """Several workers are all free when the first row arrives."""
    if how.workers == 1:
        return found
    return [
        Pod(min([pod.free_us, *(row.arrival_us for row in pod.rows[:1])]), pod.rows)
        for pod in found
    ]


@settings(max_examples=300)
@given(pods(), rules())
def test_columns_serve_as_one_row_at_a_time_does(found, how):
    found = idle(found, how)
    arrival_us, duration_us, cold_us, first, free_us = columns(found)
    nobody = np.zeros(len(found), dtype=np.int64)

    served = serve(arrival_us, duration_us, cold_us, first, free_us, nobody, how)

    expected = [ended for pod in found for ended in one_by_one(pod, how)]
    rows = [served.start_us.tolist(), served.finish_us.tolist(), served.rejected.tolist()]
    assert list(zip(*rows, strict=True)) == expected


@settings(max_examples=300)
@given(pods(), rules(), st.integers(0, 60))
def test_a_cut_in_time_changes_nothing(found, how, cut_us):
    found = idle(found, how)
    expected = [one_by_one(pod, how) for pod in found]
    went_on, old, durations = [], [], []
    for pod, ended in zip(found, expected, strict=True):
        before = [at for at, row in enumerate(pod.rows) if row.arrival_us < cut_us]
        stays = [at for at in before if ended[at][1] >= cut_us and not ended[at][2]]
        arrivals = [ended[at][0] if how.workers > 1 else pod.rows[at].arrival_us for at in stays]
        kept = [
            Row(arrival, ended[at][1] - ended[at][0], 0)
            for at, arrival in zip(stays, arrivals, strict=True)
        ]
        free_us = max([pod.free_us, *(ended[at][1] for at in before)])
        if stays:
            free_us = ended[stays[0]][0]
        went_on.append(Pod(free_us, (*kept, *pod.rows[len(before) :])))
        old.append(len(stays))
        durations.append(len(before))
    arrival_us, duration_us, cold_us, first, free_us = columns(went_on)

    served = serve(arrival_us, duration_us, cold_us, first, free_us, np.array(old), how)

    for at, (number, skipped) in enumerate(zip(old, durations, strict=True)):
        rows = slice(int(first[at]) + number, int(first[at + 1]))
        found_rows = zip(
            served.start_us[rows].tolist(),
            served.finish_us[rows].tolist(),
            served.rejected[rows].tolist(),
            strict=True,
        )
        assert list(found_rows) == expected[at][skipped:]


@given(pods())
def test_running_sums_are_lindleys_recursion(found):
    arrival_us, duration_us, _, first, free_us = columns(found)

    finish_us = lindley(arrival_us, duration_us, first, free_us)

    expected = []
    for pod in found:
        last = pod.free_us
        for row in pod.rows:
            last = max(last, row.arrival_us) + row.duration_us
            expected.append(last)
    assert finish_us.tolist() == expected


@settings(max_examples=200)
@given(pods(), rules())
def test_who_is_inside_came_before_and_leaves_after(found, how):
    found = idle(found, how)
    arrival_us, _, _, first, _ = columns(found)
    ended = [one_by_one(pod, how) for pod in found]
    finish_us = np.array([finish for pod in ended for _, finish, _ in pod], dtype=np.int64)

    counted = inside(arrival_us, finish_us, first)

    expected = [
        sum(finish > row.arrival_us for _, finish, _ in of[:at])
        for pod, of in zip(found, ended, strict=True)
        for at, row in enumerate(pod.rows)
    ]
    assert counted.tolist() == expected


@given(pods(), st.integers(0, 4), st.sampled_from([1, 2, 3]))
def test_the_first_over_the_memory_limit_kills_its_pod(found, limit, workers):
    how = Rules(workers, NO_LIMIT, limit)
    found = idle(found, how)
    arrival_us, _, _, first, _ = columns(found)
    ended = [one_by_one(pod, how) for pod in found]
    finish_us = np.array([finish for pod in ended for _, finish, _ in pod], dtype=np.int64)
    nobody = np.zeros(len(found), dtype=np.int64)

    killing = first_killing(arrival_us, finish_us, first, nobody, how).tolist()

    expected = []
    for number, (pod, of) in enumerate(zip(found, ended, strict=True)):
        for at, row in enumerate(pod.rows):
            if sum(finish > row.arrival_us for _, finish, _ in of[:at]) + 1 > limit:
                expected.append(int(first[number]) + at)
                break
    assert killing == expected


@pytest.mark.parametrize("memory", [2, 3, 10])
def test_a_queue_limit_within_the_memory_limit_kills_nobody(memory):
    how = Rules(1, 2, memory)
    arrival_us = np.array([0, 1, 2, 3], dtype=np.int64)
    duration_us = np.full(4, 10, dtype=np.int64)
    first, free_us, nobody = np.array([0, 4]), np.array([0]), np.array([0])

    served = serve(arrival_us, duration_us, duration_us, first, free_us, nobody, how)

    assert served.rejected.tolist() == [False, False, True, True]
    assert not first_killing(arrival_us, served.finish_us, first, nobody, how).size


def test_whoever_ends_as_another_arrives_has_left():
    how = Rules(1, 1)
    arrival_us, duration_us = np.array([0, 5], dtype=np.int64), np.array([5, 5], dtype=np.int64)

    served = serve(
        arrival_us, duration_us, duration_us, np.array([0, 2]), np.array([0]), np.array([0]), how
    )

    assert served.finish_us.tolist() == [5, 10]
    assert not served.rejected.any()
