"""How a policy agent is configured, what the cloud offers it, and how long its own steps take.

Recorded from OPA 1.20.2; sections are those of facts/opa-agent.md.
"""

from dataclasses import dataclass, field

from edgetwin.engine.agent_log import LogSettings
from edgetwin.engine.agent_protocol import LoopSettings
from edgetwin.units import SECOND_US

FIRST_POLL_US = (60_000, 70_000, 120_000)
"""Process start to first poll, least, median, most: section 1."""
FIRST_ANSWER_US = (65_000, 100_000, 220_000)
"""Process start to first answer over HTTP, least, median, most; the same cut or not: section 4."""
ACTIVATION_US = (3_500, 5_400, 36_000)
"""Answer received to first decision by a bundle of 391 bytes, least, median, most: section 3."""
ACTIVATION_US_PER_MB = 26_000
"""More per 10^6 bytes of data: 10 MB take 254 to 290 ms, median 266: section 3."""
STATUS_POST_BYTES = 60_000
"""One status report, sent after every poll, with an answer or without: section 8."""


@dataclass(frozen=True)
class AgentSettings:
    """One agent's configuration; the defaults are OPA's."""

    polling_us_min: int = 60 * SECOND_US
    polling_us_max: int = 120 * SECOND_US
    """Polls follow one another after a wait drawn evenly between the two: section 1."""
    long_poll_us: int = 0
    """How long the cloud holds a request without news; 0: plain polling, the default."""
    header_timeout_us: int = 10 * SECOND_US
    """`response_header_timeout_seconds`; 0 waits for ever: section 0, 2."""
    persist: bool = False
    """Whether a bundle is kept on disk, for a restart while cut; off by default: section 4."""
    persist_unwritable: bool = False
    """A fault: the directory for it cannot be written: section 4, d."""
    disk_store: bool = False
    """`storage.disk`: policy, data, applied deltas and etag outlast a restart: section 0, 7."""
    download_bits_per_s: int = 0
    """What the uplink gives a download; 0: it takes no time."""
    log: LogSettings = field(default_factory=LogSettings)

    def hazards(self) -> tuple[str, ...]:
        """The ways in which this agent can stop updating for good while its health says 200."""
        found = ["a peer that lives but stops in mid-download: there is no timeout on a body"]
        if self.long_poll_us:
            found.append("a long poll that is never answered: it switches the header timeout off")
        elif not self.header_timeout_us:
            found.append("a request that is never answered: response_header_timeout_seconds is 0")
        return tuple(found)

    def polling(self) -> LoopSettings:
        """How the bundle loop asks."""
        return LoopSettings(
            self.polling_us_min, self.polling_us_max, self.header_timeout_us, self.long_poll_us
        )


@dataclass(frozen=True)
class Release:
    """What the cloud offers under one revision."""

    revision: str
    size_bytes: int = 0
    """The data in it, uncompressed: decides how long activation takes."""
    packed_bytes: int = 0
    """What travels."""
    faulty: str = ""
    """Why an agent refuses it; all fifteen recorded faults are treated alike: section 5."""
    delta_of: str | None = None
    """The revision to which it is a delta; None: a snapshot."""
    wipes: bool = False
    """A delta without entries, which is taken for an empty snapshot: section 0, 6."""
    snapshot_too: bool = True
    """Whether the cloud has the snapshot of it, for agents that hold something else."""
