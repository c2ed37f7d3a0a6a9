"""What a file does not say of itself, and the user may."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo

from edgetwin.inputs.records.instants import Order
from edgetwin.units import SECOND_US


@dataclass(frozen=True)
class Options:
    """What a file does not say of itself, and the user may."""

    zone: tzinfo | None = None
    """The zone of times that name none."""
    dates: Order | None = None
    """Whether 03/04 is the third of April (dmy) or the fourth of March (mdy)."""
    window_us: tuple[int, int] | None = None
    """When the sites were watched, where it is not from the first sample to the last."""
    step_us: int | None = None
    """Time between two samples, where it can't be told from them."""
    site: str | None = None
    """The site of files that name none; in tables a template, such as ``{region}/{number}``."""
    site_label: str = "instance"
    """The Prometheus label that holds the site's name."""
    kind: str | None = None
    """The kind of every outage, where the format's own guess is wrong."""
    skip_bad: bool = False
    """Leave bad rows out, counted and named, instead of refusing the file."""
    grace_us: int = 40 * SECOND_US
    """How long a node is silent before Kubernetes calls it NotReady: 40 s up to 1.31
    (facts/traces.md, 4)."""
    soft: bool = False
    """Take the SOFT problems of Nagios too that never became HARD."""
    match: str | None = None
    """A regular expression that the names of Zabbix problems must match."""
    below: float | None = None
    """The value under which a sample is down: Mbit/s, or a share of the site's own median."""
    above: float | None = None
    """The value from which on a sample is down, such as pings lost."""
    vantage_share: float = 0.5
    """More of a matrix's sites down than this are the prober's own outage: unknown."""
    gap_us: int | None = None
    """The silence that counts as an outage, in delivery, heartbeat and last-seen files."""
