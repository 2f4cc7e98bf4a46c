"""What models came to, and what another way of choosing them would have come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.records import routing as rows
from db.records.routing import JudgedDecision
from learning.intervals import wilson
from learning.off_policy import Estimate, Logged, Policy, always, cheapest, doubly_robust, ips, ratio, uniform
from pipeline.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """One policy by one estimator.

    Args:
        accepted: share of generations whose first model is accepted.
        usd: per generation.
    """

    policy: str
    estimator: str
    accepted: Estimate
    usd: Estimate

    def as_json(self) -> dict[str, Any]:
        """As documents show it; an estimate with too few results says so instead of a figure."""
        told = {"policy": self.policy, "estimator": self.estimator, "effective": round(self.accepted.effective, 1)}
        if not self.accepted.enough:
            return {**told, "said": "not enough data"}
        per_accepted = ratio(self.usd, self.accepted)
        return {
            **told,
            "accepted": _interval(self.accepted),
            "usd": _interval(self.usd),
            "usd_per_accepted": None if per_accepted is None else round(per_accepted, 6),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingReport:
    """Models, stages and estimates.

    Args:
        models, stages: rows as `db.records.routing` has them.
        decisions: with a result, that estimates are made from.
    """

    models: Sequence[Mapping[str, Any]]
    stages: Sequence[Mapping[str, Any]]
    decisions: int
    estimates: Sequence[Estimated]

    def as_json(self) -> dict[str, Any]:
        return {
            "models": [_model(row) for row in self.models],
            "stages": [{**row, "cost_usd": str(row["cost_usd"]), "took_ms": row["took_ms"]} for row in self.stages],
            "decisions": self.decisions,
            "estimates": [one.as_json() for one in self.estimates],
        }


def routing_report(
    resources: Resources, *, user_id: str, batch_id: UUID | None, model: str | None = None
) -> RoutingReport:
    """What is known of a batch, or of all batches of a user.

    Args:
        model: estimated as a frozen arm beside the policies that there always are.
    """
    with resources.database.transaction() as connection:
        models = rows.by_model(connection, user_id=user_id, batch_id=batch_id)
        stages = rows.by_stage(connection, user_id=user_id, batch_id=batch_id)
        judged = rows.judged(connection, user_id=user_id, batch_id=batch_id)
    explored = [one for one in judged if _explored(one)]
    return RoutingReport(
        models=models, stages=stages, decisions=len(explored), estimates=estimates_of(explored, model=model)
    )


def estimates_of(judged: Sequence[JudgedDecision], *, model: str | None) -> list[Estimated]:
    """What other policies would have come to on these decisions, each by both estimators."""
    policies: dict[str, Policy] = {"cheapest": cheapest, "uniform": uniform}
    if model is not None:
        policies[model] = always(model)
    logged = [_logged(one) for one in judged]
    accepted, usd = [one.accepted for one in logged], [one.usd for one in logged]
    return [
        Estimated(
            policy=name,
            estimator=estimator.__name__,
            accepted=estimator(logged, policy, accepted),
            usd=estimator(logged, policy, usd),
        )
        for name, policy in policies.items()
        for estimator in (ips, doubly_robust)
    ]


def _explored(one: JudgedDecision) -> bool:
    """A first choice that could have been another: the others say nothing of what another policy would do."""
    return one.decision.number == 1 and one.decision.propensity < 1


def _logged(one: JudgedDecision) -> Logged:
    found = one.decision.candidates
    return Logged(
        chosen=one.decision.model,
        candidates={each["model"]: float(each["propensity"]) for each in found},
        prices={each["model"]: float(each["usd"]) for each in found},
        context=one.decision.context,
        accepted=float(one.accepted),
        usd=one.usd,
    )


def _model(row: Mapping[str, Any]) -> dict[str, Any]:
    calls, accepted, charged = row["calls"], row["accepted"], row["charged_usd"]
    low, high = wilson(accepted, calls)
    seconds = ("waiting_s", "generating_s", "collecting_s", "validating_s")
    return {
        "provider": row["provider"],
        "model": row["model"],
        "calls": calls,
        "accepted": accepted,
        "success": {"value": round(accepted / calls, 4), "low": round(low, 4), "high": round(high, 4)},
        "charged_usd": str(charged),
        "usd_per_accepted": str(round(charged / accepted, 6)) if accepted else None,
        **{name: None if row[name] is None else round(float(row[name]), 3) for name in seconds},
    }


def _interval(one: Estimate) -> dict[str, float]:
    return {"value": round(one.value, 6), "low": round(one.low, 6), "high": round(one.high, 6)}
