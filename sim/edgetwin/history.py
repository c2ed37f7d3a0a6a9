"""What happened in one run, in columns; nothing in it is judged.

A history is a set of tables. Every table is a set of equally long NumPy columns; columns of names
hold int32 codes into a vocabulary (-1: none). `SCHEMA` says what each column is, in which unit.
Times are integer microseconds from the start of the run; intervals are half-open.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgetwin.errors import Problem, ScenarioError, UsageError

if TYPE_CHECKING:
    import pandas

Columns = dict[str, NDArray[Any]]

OUTCOMES = (
    "ok",
    "denied",
    "late",
    "unavailable",
    "rejected",
    "store_full",
    "error",
    "in_flight",
)
"""How an issued request ended. Answered are ok and denied; `late` has an answer over its budget or
none before the client's timeout; `in_flight` had no end when the run ended."""

SCHEMA: dict[str, dict[str, tuple[str, str]]] = {
    "sites": {
        "site": ("names:site", "the site"),
        "kind": ("names:kind", "its kind in topology.yaml"),
        "control_plane": ("names:control_plane", "cloud, local or local-ha"),
    },
    "spans": {
        "site": ("names:site", "the site; rows are sorted by site, then time"),
        "start_us": ("int64", "start of a stretch in which nothing about the site changed"),
        "end_us": ("int64", "its end, exclusive"),
        "offline": ("bool", "no path to the cloud in at least one direction"),
        "degraded": ("bool", "a link of the way to the cloud is degraded; never while offline"),
        "powered": ("bool", "the site's nodes have power"),
        "serving": ("bool", "every class of request could be answered: pods, policy, room"),
        "endpoints": ("int32", "ready pods, over all services"),
        "uplink": ("names:uplink", "the uplink that carries the traffic; none: offline"),
        "store_full": ("bool", "the volume takes no more writes"),
        "outage": ("int32", "row of `outages` that holds the site offline, -1: none"),
    },
    "outcomes": {
        "span": ("int32", "row of `spans` in which the requests were issued"),
        "site": ("names:site", "the site"),
        "class": ("names:class", "class of request, as kind/group/class"),
        "issued": ("int64", "requests issued (first attempts)"),
        **{name: ("int64", f"of the issued: ended {name}") for name in OUTCOMES},
        "attempts": ("int64", "attempts, retries included"),
        "forwarded": ("int64", "attempts that were sent to the cloud"),
        "wrongly_allowed": ("int64", "allowed here, denied by the revision current in the cloud"),
        "wrongly_denied": ("int64", "denied here, not so by the revision current in the cloud"),
    },
    "latency": {
        "site": ("names:site", "the site"),
        "class": ("names:class", "class of request"),
        "offline": ("bool", "whether the site was offline when the requests were issued"),
        "le_us": ("int64", "upper edge of the bin, inclusive; edges are 1.6 % apart"),
        "count": ("int64", "requests with an answer (ok, denied, late) whose latency lies in it"),
    },
    "outages": {
        "site": ("names:site", "the site"),
        "start_us": ("int64", "start of the fault as replayed"),
        "end_us": ("int64", "its end"),
        "recorded_start_us": ("int64", "start in the record, before its error was drawn"),
        "recorded_end_us": ("int64", "end in the record"),
        "fault": ("names:fault", "cut, cut-up, cut-down, degraded, power, node, node-cut, ..."),
        "cause": ("names:cause", "cause in the record"),
        "event": ("int32", "number of the shared event: outages that start within 5 minutes"),
        "censored": ("names:censored", "letters of the record: L, R, E"),
    },
    "events": {
        "time_us": ("int64", "when"),
        "site": ("names:site", "where"),
        "entity": ("names:entity", "uplink, node, pod, policy, store, sync"),
        "kind": ("names:event", "cut, heal, crash, boot, started, activated, drained, ..."),
        "detail": ("names:detail", "the rest, in words"),
    },
    "starts": {
        "time_us": ("int64", "when the start began"),
        "site": ("names:site", "where"),
        "workload": ("names:workload", "which workload"),
        "profile": ("names:profile", "start-up profile"),
        "start_us": ("int64", "runtime cold start with kubelet work, image pull apart"),
    },
    "writes": {
        "site": ("names:site", "the site"),
        "collection": ("names:collection", "the collection"),
        "acked": ("int64", "writes stored at the site whose client got its answer"),
        "info": ("int64", "writes stored at the site whose client had given up"),
        "direct": ("int64", "writes that went to the cloud at once (forwarded), heard of or not"),
        "delivered": ("int64", "stored writes that reached the cloud"),
        "redelivered": ("int64", "deliveries of what the cloud already had (lost acknowledgement)"),
        "pending": ("int64", "stored writes that still wait at the end of the run"),
        "pruned": ("int64", "stored writes that retention removed before they were delivered"),
        "kept": ("int64", "stored writes that never leave: sensitive, or refused by egress policy"),
        "stored_bytes": ("int64", "bytes stored in the run, index overhead included"),
        "left_site": ("bool", "whether anything of the collection was sent to the cloud"),
    },
    "volumes": {
        "site": ("names:site", "the site"),
        "used_bytes_max": ("int64", "largest use of the volume"),
        "limit_bytes": ("int64", "what the disk has for it; the claim's size is not enforced"),
        "claim_bytes": ("int64", "size that the claim asks for, 0: no claim"),
        "full_us": ("int64", "how long it took no writes"),
    },
    "pods": {
        "site": ("names:site", "the site"),
        "workload": ("names:workload", "the workload"),
        "in_pod_max": ("int64", "most requests at once in one pod"),
        "memory_bytes_max": ("int64", "profile's memory plus that of its requests, at most"),
        "limit_bytes": ("int64", "memory limit of the pod, 0: none"),
        "killed": ("int64", "times the kernel killed a pod for memory"),
        "busy_us": ("int64", "worker time used, over all pods"),
    },
    "drains": {
        "site": ("names:site", "the site"),
        "heal_us": ("int64", "when the site's way to the cloud came back"),
        "backlog_writes": ("int64", "writes that waited then"),
        "backlog_bytes": ("int64", "their bytes on the wire"),
        "first_session_us": ("int64", "start of the first sync session after it, -1: none"),
        "drained_us": ("int64", "when the last of them was acknowledged, -1: cut again, or never"),
    },
    "conflicts": {
        "time_us": ("int64", "when the two sides met"),
        "site": ("names:site", "the site"),
        "collection": ("names:collection", "the collection"),
        "key": ("int64", "number of the key"),
        "strategy": ("names:strategy", "strategy that settled it"),
        "winner": ("names:winner", "edge, cloud, or both: siblings"),
        "edge_time_us": ("int64", "true time of the edge's last write of the key"),
        "cloud_time_us": ("int64", "true time of the cloud's last write of the key"),
        "lost_updates": ("int64", "acknowledged writes overwritten without having been seen"),
        "wrong_winner": ("bool", "the later write, in true time, lost"),
    },
    "decisions": {
        "policy": ("names:policy", "the policy"),
        "revision": ("names:revision", "bundle that decided, with its digest"),
        "offline": ("bool", "state that the input carried"),
        "distinct": ("int64", "distinct inputs decided, those only compared with included"),
        "asked": ("int64", "decisions asked for by requests"),
        "allowed": ("int64", "of the asked"),
        "denied": ("int64", "of the asked"),
        "undefined": ("int64", "of the asked"),
        "cost_us_mean": ("float64", "simulated duration: fuel over the calibrated rate, mean"),
        "cost_us_max": ("float64", "the same, largest"),
    },
    "activations": {
        "time_us": ("int64", "when"),
        "site": ("names:site", "where"),
        "policy": ("names:policy", "the policy"),
        "revision": ("names:revision", "what decides from then on; none: no bundle"),
        "released_us": ("int64", "when the cloud published it, -1: none"),
    },
    "freshness": {
        "site": ("names:site", "where something else than the cloud's revision decided"),
        "policy": ("names:policy", "the policy"),
        "revision": ("names:revision", "the revision that should have decided"),
        "cause": ("names:freshness", "release, or restart: the agent came up without it"),
        "released_us": ("int64", "when the cloud published that revision"),
        "since_us": ("int64", "when it began: the release, or the agent's start"),
        "active_us": ("int64", "when that revision, or a newer one, decided; -1: never"),
        "stopped_us": ("int64", "of the time between: the agent did not run"),
        "lag_us": ("int64", "the rest; to the end of the run where it never decided"),
        "stuck_us": ("int64", "never: since when the agent asks no more, for good; else -1"),
        "instead": ("names:revision", "what decided last before it; none: nothing"),
        "stale": ("int64", "decisions so, asked while the revision was the cloud's current one"),
        "wrongly_allowed": ("int64", "of them: allowed here, denied by the cloud's revision"),
        "wrongly_denied": ("int64", "of them: denied here, allowed by the cloud's revision"),
        "undecided": ("int64", "of them: no decision, undefined or no bundle"),
    },
    "decision_logs": {
        "site": ("names:site", "the site; only of policies whose decisions are logged"),
        "policy": ("names:policy", "the policy"),
        "made": ("int64", "decisions made by the site's agent"),
        "uploaded": ("int64", "of the made: reached the cloud"),
        "lost": ("int64", "of the made: dropped by a limit, or with the process"),
        "duplicated": ("int64", "reached the cloud once more"),
        "buffered": ("int64", "of the made: still in memory at the end of the run"),
    },
    "requests": {
        "site": ("names:site", "the site"),
        "class": ("names:class", "class of request"),
        "number": ("int64", "counter of the request in its stream"),
        "attempt": ("int32", "0: first; retries count up"),
        "issued_us": ("int64", "when this attempt was issued"),
        "finished_us": ("int64", "when it ended"),
        "outcome": ("names:outcome", "how this attempt ended"),
        "pod": ("int32", "the site's pod that took it, -1: none, -2: the cloud"),
    },
}
"""Every table, its columns, and what they hold. `requests` is filled only when asked for."""


_COLUMNS = {
    table: tuple(
        (column, kind.removeprefix("names:") if kind.startswith("names:") else "")
        for column, (kind, _) in schema.items()
    )
    for table, schema in SCHEMA.items()
}


@dataclass(frozen=True)
class History:
    """One run in columns, with the vocabularies of its name columns and what made it."""

    meta: Mapping[str, Any]
    """edgetwin, digest, seed, reading, start_epoch_us, storm_end_us, end_us, and totals."""
    names: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, Columns] = field(repr=False)

    def rows(self, table: str) -> int:
        """Return the number of rows of *table*."""
        return len(next(iter(self.tables[table].values())))

    def column(self, table: str, column: str) -> NDArray[Any]:
        """Return a column as it is stored: codes for names."""
        return self.tables[table][column]

    def text(self, table: str, column: str) -> NDArray[Any]:
        """Return a name column as an array of str; an absent name is the empty text."""
        vocabulary = np.array([*self.names[_vocabulary(table, column)], ""], dtype=object)
        return vocabulary[self.tables[table][column]]

    def frame(self, table: str) -> "pandas.DataFrame":
        """Return *table* as a pandas DataFrame; names are categories (extra ``notebook``)."""
        import pandas

        columns: dict[str, Any] = {}
        for column, values in self.tables[table].items():
            if SCHEMA[table][column][0].startswith("names:"):
                labels = self.names[_vocabulary(table, column)]
                columns[column] = pandas.Categorical.from_codes(values, pandas.Index(labels))
            else:
                columns[column] = values
        return pandas.DataFrame(columns)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a directory of Parquet files, one a table, and ``meta.json``.

        The directory appears whole or not at all. Raises UsageError if it exists, or if pyarrow
        is not installed (extra ``parquet``).
        """
        target = Path(path)
        if target.exists():
            raise UsageError(f"{target} exists; name a new directory for the history")
        arrow, parquet = _arrow()
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            for table, columns in self.tables.items():
                arrays = {
                    column: arrow.DictionaryArray.from_arrays(
                        arrow.array(values, mask=values < 0),
                        arrow.array(self.names[_vocabulary(table, column)], arrow.string()),
                    )
                    if SCHEMA[table][column][0].startswith("names:")
                    else arrow.array(values)
                    for column, values in columns.items()
                }
                parquet.write_table(arrow.table(arrays), work / f"{table}.parquet")
            (work / "meta.json").write_text(json.dumps(dict(self.meta), indent=1, sort_keys=True))
            work.rename(target)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise


def load(path: str | os.PathLike[str]) -> History:
    """Read a history that `History.save` wrote.

    Raises ScenarioError if the directory is not such a history, or a column is absent or wrong.
    """
    source = Path(path)
    _, parquet = _arrow()
    problems: list[Problem] = []
    try:
        meta = json.loads((source / "meta.json").read_text())
    except (OSError, ValueError) as error:
        raise ScenarioError(
            [Problem(str(source), 0, "meta.json", f"no saved history: {error}")]
        ) from error
    names: dict[str, dict[str, int]] = {}
    tables: dict[str, Columns] = {}
    for table, schema in SCHEMA.items():
        file = source / f"{table}.parquet"
        try:
            stored = parquet.read_table(file)
        except (OSError, ValueError) as error:
            problems.append(Problem(str(file), 0, "", f"not readable as Parquet: {error}"))
            continue
        columns: Columns = {}
        for column, (kind, _) in schema.items():
            if column not in stored.column_names:
                problems.append(Problem(str(file), 0, column, "the column is absent"))
                continue
            values = stored[column]
            if kind.startswith("names:"):
                vocabulary = names.setdefault(kind.removeprefix("names:"), {})
                columns[column] = np.fromiter(
                    (
                        -1 if name is None else vocabulary.setdefault(str(name), len(vocabulary))
                        for name in values.to_pylist()
                    ),
                    dtype=np.int32,
                    count=len(values),
                )
            else:
                columns[column] = values.to_numpy().astype(kind)
        tables[table] = columns
    if problems:
        raise ScenarioError(problems)
    return History(meta, {key: tuple(value) for key, value in names.items()}, tables)


class Recorder:
    """Collects rows while time passes, and makes the `History` at the end."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, int]] = {}
        self._rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in SCHEMA}
        self._blocks: dict[str, list[Columns]] = {table: [] for table in SCHEMA}

    def code(self, vocabulary: str, name: str) -> int:
        """Return the code of *name*, new or known; -1 for the empty name."""
        if not name:
            return -1
        codes = self._names.setdefault(vocabulary, {})
        return codes.setdefault(name, len(codes))

    def row(self, table: str, **values: Any) -> int:
        """Add one row and return its number; names are given as text."""
        rows = self._rows[table]
        code = self.code
        rows.append(
            tuple(
                code(vocabulary, values[column]) if vocabulary else values[column]
                for column, vocabulary in _COLUMNS[table]
            )
        )
        return len(rows) - 1

    def block(self, table: str, columns: Columns) -> None:
        """Add many rows; name columns are given as codes."""
        self._blocks[table].append(columns)

    def history(self, meta: Mapping[str, Any]) -> History:
        """Return all that was recorded."""
        tables: dict[str, Columns] = {}
        for table, schema in SCHEMA.items():
            rows = list(zip(*self._rows[table], strict=True)) or [()] * len(schema)
            tables[table] = {
                column: np.concatenate(
                    [np.array(values, dtype=_dtype(kind))]
                    + [block[column].astype(_dtype(kind)) for block in self._blocks[table]]
                )
                for (column, (kind, _)), values in zip(schema.items(), rows, strict=True)
            }
        vocabularies = {kind[6:] for schema in SCHEMA.values() for kind, _ in schema.values()
                        if kind.startswith("names:")}  # fmt: skip
        names = {name: tuple(self._names.get(name, {})) for name in sorted(vocabularies)}
        return History(dict(meta), names, tables)


ORDERS: dict[str, tuple[str, ...]] = {
    "events": ("time_us", "site", "entity", "kind"),
    "starts": ("time_us", "site", "workload"),
    "conflicts": ("time_us", "site", "collection", "key"),
    "activations": ("time_us", "site", "policy"),
    "freshness": ("site", "policy", "since_us", "released_us"),
    "decision_logs": ("site", "policy"),
    "outages": (),
    "outcomes": ("span",),
    "pods": ("site", "workload"),
    "requests": ("site", "class", "number", "attempt"),
}
"""By what tables are sorted, whichever process ran first; not named: by site. Outages keep the
order in which spans number them."""


@dataclass(frozen=True)
class Decided:
    """Which distinct inputs one process had decided, for one row of its `decisions`."""

    key: tuple[int, int, bool]
    """Class of request, revision and state: rows of one key are one row of the whole run."""
    inputs: NDArray[np.int64]
    cost_us: NDArray[np.int64]


def _decisions(rows: Columns, decided: Sequence[Decided]) -> Columns:
    """Return one row a key, in the keys' order, with what all processes decided and asked."""
    members: dict[tuple[int, int, bool], list[int]] = {}
    for row, one in enumerate(decided):
        members.setdefault(one.key, []).append(row)
    made: dict[str, list[Any]] = {column: [] for column in rows}
    for _, which in sorted(members.items()):
        inputs = np.concatenate([decided[row].inputs for row in which])
        inputs, at = np.unique(inputs, return_index=True)
        cost_us = np.concatenate([decided[row].cost_us for row in which])[at]
        for column in ("policy", "revision", "offline"):
            made[column].append(rows[column][which[0]])
        for column in ("asked", "allowed", "denied", "undefined"):
            made[column].append(rows[column][which].sum())
        made["distinct"].append(inputs.size)
        made["cost_us_mean"].append(cost_us.mean() if cost_us.size else 0.0)
        made["cost_us_max"].append(cost_us.max(initial=0))
    return {
        column: np.array(made[column], dtype=_dtype(kind))
        for column, (kind, _) in SCHEMA["decisions"].items()
    }


def merged(parts: Sequence[History], meta: Mapping[str, Any]) -> History:
    """Return the union of histories of different sites of one run, in one order.

    Vocabularies are sorted and rows ordered, so that how the sites were split leaves no trace.
    """
    names = {
        vocabulary: tuple(sorted({name for part in parts for name in part.names[vocabulary]}))
        for vocabulary in parts[0].names
    }
    tables: dict[str, Columns] = {}
    for table, schema in SCHEMA.items():
        columns: Columns = {}
        for column, (kind, _) in schema.items():
            pieces = []
            spans_before = 0
            for part in parts:
                values = part.tables[table][column]
                if kind.startswith("names:"):
                    values = _recoded(values, part.names[kind[6:]], names[kind[6:]])
                elif (table, column) == ("outcomes", "span"):
                    values = values + spans_before
                    spans_before += part.rows("spans")
                pieces.append(values)
            columns[column] = np.concatenate(pieces)
        tables[table] = columns
    decided = [one for part in parts for one in part.meta.get("decided", ())]
    if decided:
        tables["decisions"] = _decisions(tables["decisions"], decided)
    spans = np.argsort(tables["spans"]["site"], kind="stable")
    number = np.empty_like(spans)
    number[spans] = np.arange(spans.size)
    tables["outcomes"]["span"] = number[tables["outcomes"]["span"]].astype(np.int32)
    for table, columns in tables.items():
        keys = ORDERS.get(table, ("site",) if "site" in columns else ())
        if keys:
            order = np.lexsort([columns[key] for key in reversed(keys)])
            tables[table] = {column: values[order] for column, values in columns.items()}
    return History(dict(meta), names, tables)


def _recoded(values: NDArray[Any], old: Sequence[str], new: Sequence[str]) -> NDArray[np.int32]:
    where = {name: code for code, name in enumerate(new)}
    codes = np.array([*(where[name] for name in old), -1], dtype=np.int32)
    recoded: NDArray[np.int32] = codes[values]
    return recoded


def _dtype(kind: str) -> str:
    return "int32" if kind.startswith("names:") else kind


def _vocabulary(table: str, column: str) -> str:
    kind = SCHEMA[table][column][0]
    assert kind.startswith("names:"), (table, column, kind)
    return kind.removeprefix("names:")


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "saved histories are Parquet: install edgetwin[parquet] to write or read them"
        ) from error
    return pyarrow, pyarrow.parquet
