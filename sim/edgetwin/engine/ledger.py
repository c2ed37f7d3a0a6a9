"""The books of a run: spans of time per site, what became of requests in them, latencies.

Counting is by scatter-add into flat arrays, so that a block of any size leaves the same books.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgetwin.history import OUTCOMES, Recorder

OK, DENIED, LATE, UNAVAILABLE, REJECTED, STORE_FULL, ERROR, IN_FLIGHT = range(len(OUTCOMES))
ISSUED, ATTEMPTS, FORWARDED, WRONGLY_ALLOWED, WRONGLY_DENIED = range(8, 13)
FIELDS = 13

_SUB_BITS = 6
_SHIFT = 52 - _SUB_BITS
_ONE = 1023 << _SUB_BITS
BINS = 36 << _SUB_BITS
"""Latency bins: 64 to the octave, from 1 us to 2**36 us (19 h)."""


def latency_bin(latency_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bin of each latency: the exponent and the top six bits of its mantissa."""
    bins: NDArray[np.int64] = np.maximum(latency_us, 1).astype(np.float64).view(np.int64)
    bins >>= _SHIFT
    bins -= _ONE
    np.minimum(bins, BINS - 1, out=bins)
    return bins


def bin_edges_us() -> NDArray[np.int64]:
    """Return the largest whole latency of each bin, shape (BINS,)."""
    bits = (np.arange(1, BINS + 1, dtype=np.int64) + _ONE) << _SHIFT
    return np.ceil(bits.view(np.float64)).astype(np.int64) - 1


@dataclass(frozen=True)
class SpanState:
    """What holds during one span of a site."""

    offline: bool
    degraded: bool
    powered: bool
    serving: bool
    endpoints: int
    uplink: str
    store_full: bool
    outage: int


class Ledger:
    """Spans, outcomes and latencies of *sites* for *classes* of requests."""

    def __init__(self, sites: Sequence[str], classes: Sequence[str]) -> None:
        self.sites = sites
        self.classes = classes
        self.span = np.zeros(len(sites), dtype=np.int64)
        """The open span of each site."""
        self._latency_of_span = np.zeros(1024, dtype=np.int64)
        """Where in `_latency` the bins of each span's site and state begin, for class 0."""
        self._spans: list[tuple[int, int, SpanState]] = []
        self._ends: list[int] = []
        self._width = len(classes) * FIELDS
        self._counts = np.zeros(1024 * self._width, dtype=np.int64)
        self._latency = np.zeros(len(sites) * len(classes) * 2 * BINS, dtype=np.int32)

    def open(self, site: int, at_us: int, state: SpanState) -> None:
        """Close the site's span and open the next; a change back at once leaves no trace."""
        if self._ends and self._spans[current := int(self.span[site])][0] == site:
            _, start, before = self._spans[current]
            if before == state:
                return
            if start == at_us:
                self._spans[current] = (site, start, state)
                self._latency_of_span[current] = self._first_bin(site, state)
                return
            self._ends[current] = at_us
        row = len(self._spans)
        self._spans.append((site, at_us, state))
        self._ends.append(-1)
        self.span[site] = row
        if row >= self._latency_of_span.size:
            self._latency_of_span = np.concatenate(
                (self._latency_of_span, np.zeros_like(self._latency_of_span))
            )
            self._counts = np.concatenate((self._counts, np.zeros_like(self._counts)))
        self._latency_of_span[row] = self._first_bin(site, state)

    def _first_bin(self, site: int, state: SpanState) -> int:
        return (site * len(self.classes) * 2 + state.offline) * BINS

    def add(
        self, span: NDArray[np.int64], request_class: NDArray[np.integer] | int,
        field: NDArray[np.integer] | int, count: NDArray[np.int64] | int = 1,
    ) -> None:  # fmt: skip
        """Add *count* to a field of (span, class), row by row."""
        at = span * self._width
        if len(self.classes) > 1:
            at += request_class * np.int64(FIELDS)
        at += field
        np.add.at(self._counts, at, count)

    def add_latency(
        self, span: NDArray[np.int64], request_class: NDArray[np.integer],
        latency_us: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Count the latencies of answered requests."""
        at = latency_bin(latency_us)
        at += self._latency_of_span[span]
        if len(self.classes) > 1:
            at += request_class * np.int64(2 * BINS)
        np.add.at(self._latency, at, np.int32(1))

    def close(self, end_us: int, recorder: Recorder) -> None:
        """Write everything to *recorder*; what has no outcome yet is in flight."""
        site = np.array([one[0] for one in self._spans], dtype=np.int64)
        order = np.argsort(site, kind="stable")
        spans = [self._spans[row] for row in order.tolist()]
        codes = np.array([recorder.code("site", name) for name in self.sites], dtype=np.int32)
        ends = np.array(self._ends, dtype=np.int64)[order]
        recorder.block(
            "spans",
            {
                "site": codes[site[order]],
                "start_us": np.array([one[1] for one in spans], dtype=np.int64),
                "end_us": np.where(ends < 0, end_us, ends),
                "offline": np.array([one[2].offline for one in spans]),
                "degraded": np.array([one[2].degraded for one in spans]),
                "powered": np.array([one[2].powered for one in spans]),
                "serving": np.array([one[2].serving for one in spans]),
                "endpoints": np.array([one[2].endpoints for one in spans], dtype=np.int32),
                "uplink": np.array([recorder.code("uplink", one[2].uplink) for one in spans]),
                "store_full": np.array([one[2].store_full for one in spans]),
                "outage": np.array([one[2].outage for one in spans], dtype=np.int32),
            },
        )
        counts = self._counts[: len(spans) * self._width].reshape(len(spans), -1, FIELDS)[order]
        row, one = np.nonzero(counts[:, :, ATTEMPTS] + counts[:, :, ISSUED])
        values = counts[row, one]
        classes = np.array([recorder.code("class", name) for name in self.classes], dtype=np.int32)
        ended = values[:, :IN_FLIGHT].sum(axis=1)
        recorder.block(
            "outcomes",
            {
                "span": row.astype(np.int32),
                "site": codes[site[order][row]],
                "class": classes[one] if one.size else one,
                "issued": values[:, ISSUED],
                **{name: values[:, field] for field, name in enumerate(OUTCOMES[:-1])},
                "in_flight": values[:, ISSUED] - ended,
                "attempts": values[:, ATTEMPTS],
                "forwarded": values[:, FORWARDED],
                "wrongly_allowed": values[:, WRONGLY_ALLOWED],
                "wrongly_denied": values[:, WRONGLY_DENIED],
            },
        )
        self._close_latency(recorder)

    def _close_latency(self, recorder: Recorder) -> None:
        at = np.flatnonzero(self._latency)
        rest, bins = np.divmod(at, BINS)
        rest, offline = np.divmod(rest, 2)
        site, request_class = np.divmod(rest, len(self.classes))
        site_code = np.array([recorder.code("site", name) for name in self.sites], dtype=np.int32)
        class_code = np.array(
            [recorder.code("class", name) for name in self.classes], dtype=np.int32
        )
        recorder.block(
            "latency",
            {
                "site": site_code[site],
                "class": class_code[request_class],
                "offline": offline.astype(np.bool_),
                "le_us": bin_edges_us()[bins],
                "count": self._latency[at].astype(np.int64),
            },
        )
