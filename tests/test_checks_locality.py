from dataclasses import replace

import numpy as np

from edgetwin.checks import Result
from made_histories import TERMS, changed, edited, judged, made


def test_sensitive_data_that_left_fails_by_flag_or_by_count():
    history = made()
    faces = history.text("writes", "collection") == "faces"

    flagged = edited(history, "writes", left_site=history.column("writes", "left_site") | faces)
    delivered = changed(history, int(np.flatnonzero(faces)[0]), kept=-3, delivered=3)

    assert judged("data_locality", history).result is Result.PASS
    assert judged("data_locality", flagged).result is Result.FAIL
    assert judged("data_locality", delivered).result is Result.FAIL
    assert judged("data_locality", delivered).value == 3


def test_no_sensitive_collection_or_no_write_to_one_is_unknown():
    history = made()
    zero = np.where(history.text("writes", "collection") == "faces", 0, 1)

    silent = edited(
        history,
        "writes",
        acked=history.column("writes", "acked") * zero,
        kept=history.column("writes", "kept") * zero,
    )

    assert judged("data_locality", silent).result is Result.UNKNOWN
    public = {"sales": TERMS.collections["sales"]}
    verdict = judged("data_locality", history, replace(TERMS, collections=public))
    assert verdict.result is Result.UNKNOWN
