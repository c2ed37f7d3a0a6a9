"""What holds in every history, whatever happened: nothing appears from nowhere, nothing vanishes.

A history that breaks one of these laws is our bug, not the topology's: an AssertionError says
which law, where, and the values.
"""

import numpy as np
from numpy.typing import NDArray

from edgetwin.checks.storm import Flags, Storm
from edgetwin.history import OUTCOMES
from edgetwin.terms import Terms


def hold(terms: Terms, storm: Storm) -> None:
    """Raise AssertionError at the first law of conservation that the history breaks."""
    _spans_tile_the_run(storm)
    _requests_end_one_way(storm)
    _writes_are_somewhere(storm)
    _answers_to_writes_are_stored(terms, storm)
    _latencies_belong_to_answers(storm)
    _decisions_are_one_of_three(storm)
    _stale_times_add_up(storm)
    _logged_decisions_are_somewhere(storm)


def _law(storm: Storm, table: str, held: Flags, law: str) -> None:
    """Raise AssertionError with the first row of *table* in which *held* is false."""
    rows = np.flatnonzero(~held)
    if not len(rows):
        return
    row, history = int(rows[0]), storm.history
    site = str(history.text(table, "site")[row]) if "site" in history.tables[table] else ""
    values = {name: column[row].item() for name, column in history.tables[table].items()}
    raise AssertionError(
        f"{table}: {law}: broken in {len(rows)} rows, first in row {row} {site}: {values}"
    )


def _spans_tile_the_run(storm: Storm) -> None:
    history = storm.history
    site, start = storm.span_site, history.column("spans", "start_us")
    end = history.column("spans", "end_us")
    _law(storm, "spans", (site >= 0) & (start < end), "a span has a site and a length")
    if not len(site):
        return
    order = np.lexsort((start, site))
    inner = np.ones(len(site), dtype=np.bool_)
    same = site[order][1:] == site[order][:-1]
    inner[order[1:]] = np.where(same, start[order][1:] == end[order][:-1], start[order][1:] == 0)
    inner[order[0]] = start[order[0]] == 0
    _law(storm, "spans", inner, "the spans of a site follow one another from 0")
    last = np.append(~same, True)
    ends = np.ones(len(site), dtype=np.bool_)
    ends[order[last]] = end[order[last]] == storm.run_end_us
    _law(storm, "spans", ends, "a site's last span ends with the run")


def _requests_end_one_way(storm: Storm) -> None:
    history = storm.history
    spans = history.column("outcomes", "span")
    known = (spans >= 0) & (spans < history.rows("spans"))
    _law(storm, "outcomes", known, "the span exists")
    own = storm.span_site[spans] == storm.row_site
    _law(storm, "outcomes", own, "the span is the site's own")
    counts = [history.column("outcomes", name) for name in ("issued", *OUTCOMES)]
    _law(storm, "outcomes", np.min(counts, axis=0, initial=0) >= 0, "no count is negative")
    law = "issued = " + " + ".join(OUTCOMES)
    _law(storm, "outcomes", counts[0] == sum(counts[1:]), law)
    for name in ("wrongly_allowed", "wrongly_denied"):
        _law(storm, "outcomes", history.column("outcomes", name) >= 0, f"{name} >= 0")


def _writes_are_somewhere(storm: Storm) -> None:
    column = storm.history.tables["writes"]
    stored = column["acked"] + column["info"]
    places = [column[name] for name in ("delivered", "pending", "pruned", "kept")]
    lowest = np.min([stored, column["direct"], *places], axis=0, initial=0)
    _law(storm, "writes", lowest >= 0, "no count is negative")
    law = "acked + info = delivered + pending + pruned + kept"
    _law(storm, "writes", stored == sum(places), law)


def _answers_to_writes_are_stored(terms: Terms, storm: Storm) -> None:
    """Each `ok` to a write is an acknowledged write, and no write is acknowledged unasked.

    An answer that came late is acknowledged too, one that never came is not: late ones lie between.
    """
    history = storm.history
    collections = list(dict.fromkeys(terms.writers.values()))
    place = {name: number for number, name in enumerate(collections)}
    labels = history.names["class"]
    of_class = np.array([place.get(terms.writers.get(x, ""), -1) for x in labels] + [-1])
    of_row = of_class[history.column("outcomes", "class")]
    shape = len(storm.sites), len(collections)
    ok, late = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    writing = of_row >= 0
    at = storm.row_site[writing], of_row[writing]
    np.add.at(ok, at, history.column("outcomes", "ok")[writing])
    np.add.at(late, at, history.column("outcomes", "late")[writing])
    stored = np.zeros(shape, dtype=np.int64)
    names = history.text("writes", "collection")
    for row, site in enumerate(storm.site_of("writes").tolist()):
        column = history.tables["writes"]
        if (name := str(names[row])) in place:
            stored[site, place[name]] += column["acked"][row] + column["direct"][row]
    for site, number in np.argwhere((stored < ok) | (stored > ok + late)).tolist():
        raise AssertionError(
            f"writes: ok <= acked + direct <= ok + late: broken at {storm.sites[site]}, "
            f"{collections[number]}: {ok[site, number]} ok, {late[site, number]} late, "
            f"{stored[site, number]} acknowledged"
        )


def _latencies_belong_to_answers(storm: Storm) -> None:
    history = storm.history
    count = history.column("latency", "count")
    _law(storm, "latency", count >= 0, "no count is negative")
    answers: NDArray[np.int64] = storm.by_site(
        storm.row_site, storm.outcome("ok", "denied", "late")
    )
    measured = storm.by_site(storm.site_of("latency"), count)
    for site in np.flatnonzero(measured > answers).tolist():
        raise AssertionError(
            f"latency: no more latencies than answers: broken at {storm.sites[site]}: "
            f"{measured[site]} latencies, {answers[site]} answers"
        )


def _decisions_are_one_of_three(storm: Storm) -> None:
    column = storm.history.tables["decisions"]
    parts = column["allowed"] + column["denied"] + column["undefined"]
    _law(storm, "decisions", column["asked"] == parts, "asked = allowed + denied + undefined")


def _stale_times_add_up(storm: Storm) -> None:
    history = storm.history
    column, site = history.tables["freshness"], storm.site_of("freshness")
    since, active, lag = column["since_us"], column["active_us"], column["lag_us"]
    until = np.where(active >= 0, active, storm.run_end_us)
    held = (site >= 0) & (lag >= 0) & (column["stopped_us"] >= 0)
    held &= lag == until - since - column["stopped_us"]
    law = "lag = active (or the end of the run) - since - stopped, none negative"
    _law(storm, "freshness", held, law)
    wrong = [column[name] for name in ("wrongly_allowed", "wrongly_denied", "undecided")]
    held = (np.min(wrong, axis=0, initial=0) >= 0) & (sum(wrong) <= column["stale"])
    _law(storm, "freshness", held, "wrong decisions are stale ones")
    policy = column["policy"]
    told = set(
        zip(
            storm.site_of("activations").tolist(),
            history.column("activations", "policy").tolist(),
            history.column("activations", "time_us").tolist(),
            strict=True,
        )
    )
    ends = zip(site.tolist(), policy.tolist(), active.tolist(), strict=True)
    held = np.array([end in told or end[2] < 0 for end in ends], dtype=np.bool_)
    _law(storm, "freshness", held, "what became active is an activation")
    released = np.flatnonzero(history.text("freshness", "cause") == "release")
    _, release = np.unique(
        np.stack((policy[released], column["released_us"][released])), axis=1, return_inverse=True
    )
    release = release.reshape(-1)
    _, pair, twice = np.unique(
        release * len(storm.sites) + site[released], return_inverse=True, return_counts=True
    )
    held = np.ones(len(site), dtype=np.bool_)
    held[released] = (twice[pair] == 1) & (np.bincount(release)[release] == len(storm.sites))
    _law(storm, "freshness", held, "a release has a row at every site, and only one")


def _logged_decisions_are_somewhere(storm: Storm) -> None:
    column = storm.history.tables["decision_logs"]
    parts = [column[name] for name in ("uploaded", "lost", "buffered")]
    held = np.min([*parts, column["duplicated"]], axis=0, initial=0) >= 0
    _law(storm, "decision_logs", held, "no count is negative")
    law = "made = uploaded + lost + buffered"
    _law(storm, "decision_logs", column["made"] == sum(parts), law)
