"""Which faults did not bite: blocked no request, delayed no sync, moved no state."""

import numpy as np

from edgetwin.checks.storm import Storm
from edgetwin.units import duration_text


def inert_faults(storm: Storm) -> str | None:
    """Return one line about the outages that changed nothing, None if all of them bit.

    An outage is inert if no request was issued while it held its site offline, no write waited at
    the heal, and the site served throughout. A cut or power loss that holds no span of its own
    lies within another, or an uplink was left. Node and control-plane faults cut nothing off, and
    are not asked.
    """
    history = storm.history
    faults = history.text("outages", "fault")
    cutting = np.isin(faults.astype(str), ["cut", "cut-up", "cut-down", "power"])
    started = history.column("outages", "start_us") < storm.end_us
    units = storm.units
    named = units.number < history.rows("outages")
    holding = np.zeros(history.rows("outages"), dtype=np.bool_)
    holding[units.number[named]] = True
    silent = (units.issued == 0) & (units.serving_us == units.offline_us) & named
    heal = history.column("drains", "heal_us")
    site = storm.site_of("drains")
    backlog = history.column("drains", "backlog_writes")
    for unit in np.flatnonzero(silent).tolist():
        mine = np.flatnonzero((site == units.site[unit]) & (heal >= units.end_us[unit]))
        if len(mine) and backlog[mine[np.argmin(heal[mine])]] > 0:
            silent[unit] = False
    hidden = int((cutting & started & ~holding).sum())
    quiet = int(silent.sum())
    if not hidden + quiet:
        return None
    text = f"{hidden + quiet:,} of {int((cutting & started).sum()):,} outages did not bite:"
    parts = []
    if quiet:
        us = duration_text(int(units.offline_us[silent].sum()))
        parts.append(f"{quiet:,} ({us} offline) met no request and held no write back")
    if hidden:
        parts.append(
            f"{hidden:,} never held their site offline (a UPS, another fault or a spare uplink)"
        )
    return f"{text} {'; '.join(parts)}"
