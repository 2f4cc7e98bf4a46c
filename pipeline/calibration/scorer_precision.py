"""Describe on which device and in which precision the scoring model was loaded, as recorded in the database."""

from collections.abc import Mapping, Sequence
from typing import Any

from db.records import embeddings
from pipeline.resources import Resources


def describe_precisions(resources: Resources) -> Sequence[str]:
    """A sentence per precision of the configured model's latest weights, the last loaded first."""
    with resources.database.transaction() as connection:
        rows = [row for row in embeddings.frames(connection) if row.model == resources.scoring_model]
    return [_told(row.dtype, row.arithmetic) for row in rows if row.revision == rows[0].revision]


def _told(dtype: str, arithmetic: Mapping[str, Any]) -> str:
    where = f" on {arithmetic['device']}" if arithmetic.get("device") else ""
    why = f", {arithmetic['chosen']}" if arithmetic.get("chosen") else ""
    trials = "; ".join(_trial(trial) for trial in arithmetic.get("trials", ()))
    return f"{dtype}{where}{why}{f' ({trials})' if trials else ''}"


def _trial(trial: Mapping[str, Any]) -> str:
    if trial["gain"] is None:
        return f"{trial['dtype']} could not be tried: {trial['why_not']}"
    verdict = "taken" if trial["accepted"] else "not taken"
    return (
        f"{trial['dtype']} {trial['gain']:.1f} times as fast, scores within {trial['score_difference']:.4f}, {verdict}"
    )
