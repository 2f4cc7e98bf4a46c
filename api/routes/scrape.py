"""`/metrics`: the state of the queue and the books for Prometheus.

It tells of the whole installation and not of one team, so no key opens it but a token of its own. Where none is set the
route does not exist: behind a reverse proxy on the same host every request comes from loopback, so that the address of
who asks proves nothing.
"""

import hmac
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from api.callers import Held, KeyRequired
from domain.errors import UnknownThing
from pipeline.resources import Resources
from pipeline.views import metrics

#: Before every name.
PREFIX: Final = "likeness_"

router = APIRouter()


def _scraper(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]
) -> None:
    token: str | None = request.app.state.metrics_token
    if token is None:
        raise UnknownThing("there is no /metrics here; LIKENESS_METRICS_TOKEN switches it on")
    if given is None or not hmac.compare_digest(given.credentials.encode(), token.encode()):
        raise KeyRequired("send LIKENESS_METRICS_TOKEN as `Authorization: Bearer ...`")


@router.get("/metrics", include_in_schema=False, dependencies=[Depends(_scraper)])
def scrape(resources: Held) -> Response:
    """Every metric, in the text format of Prometheus."""
    return Response(exposition(resources), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})


def exposition(resources: Resources) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Read(resources))
    return generate_latest(registry)


class _Read:
    """A collector of one scrape: `prometheus_client` asks it once."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def collect(self) -> list[GaugeMetricFamily]:
        return [_family(name, values) for name, values in metrics.read(self._resources).items()]

    def describe(self) -> list[GaugeMetricFamily]:
        """Said so that registering does not read."""
        return []


def _family(name: str, values: Sequence[metrics.Measured]) -> GaugeMetricFamily:
    metric = metrics.DESCRIPTIONS[name]
    family = GaugeMetricFamily(PREFIX + name, metric.says, labels=metric.labels)
    for one in values:
        family.add_metric([one.labels[label] for label in metric.labels], one.value)
    return family
