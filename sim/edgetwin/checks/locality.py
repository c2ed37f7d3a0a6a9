"""Does what is sensitive stay at its site?"""

import numpy as np

from edgetwin.checks.storm import Storm
from edgetwin.checks.verdict import EVIDENCE_ROWS_MAX, Evidence, Result, SiteResult, Verdict
from edgetwin.terms import Terms


def data_locality(terms: Terms, storm: Storm) -> Verdict | None:
    """Nothing of a sensitive collection was sent to the cloud, by sync or by a forwarded request.

    UNKNOWN where no sensitive data was written: nothing could have left.
    """
    if terms.targets.data_locality is None:
        return None
    sensitive = {name for name, collection in terms.collections.items() if not collection.synced}
    if not sensitive:
        reason = "no collection is sensitive; give one `class: sensitive`"
        return Verdict(name="data_locality", result=Result.UNKNOWN, reason=reason, target=0)
    history, site = storm.history, storm.site_of("writes")
    names = history.text("writes", "collection")
    chosen = np.isin(names.astype(str), sorted(sensitive))
    column = history.tables["writes"]
    written = np.where(chosen, column["acked"] + column["info"] + column["direct"], 0)
    out = np.where(chosen, column["delivered"] + column["redelivered"] + column["direct"], 0)
    left = chosen & ((out > 0) | column["left_site"])
    by_site = storm.by_site(site, written), storm.by_site(site, left), storm.by_site(site, out)
    answers = tuple(
        SiteResult(
            site=name,
            result=Result.FAIL
            if by_site[1][number]
            else Result.PASS
            if by_site[0][number]
            else Result.UNKNOWN,
            value=int(by_site[2][number]),
            reason=f"{int(by_site[0][number]):,} sensitive writes",
        )
        for number, name in enumerate(storm.sites)
    )
    total = int(written.sum())
    if left.any():
        result = Result.FAIL
        sites = len(np.unique(site[left]))
        which = ", ".join(sorted(set(names[left])))
        reason = f"sensitive data left {sites} sites: {which}, {int(out.sum()):,} writes"
    elif total:
        result = Result.PASS
        reason = f"none of {total:,} sensitive writes left its site"
    else:
        result, reason = Result.UNKNOWN, "no sensitive data was written"
    order = [row for row in np.argsort(-out, kind="stable").tolist() if left[row]]
    return Verdict(
        name="data_locality",
        result=result,
        reason=reason,
        value=int(out.sum()) if total or left.any() else None,
        target=0,
        unit="writes",
        evidence=tuple(
            Evidence(
                what=f"writes of {names[row]} were sent to the cloud",
                number=int(out[row]),
                site=storm.sites[site[row]],
                start_us=0,
                end_us=storm.run_end_us,
            )
            for row in order[:EVIDENCE_ROWS_MAX]
        ),
        sites=answers,
        details={"collections": sorted(sensitive), "written": total},
    )
