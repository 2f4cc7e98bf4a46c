"""`/metrics`: only for who has its token, in Prometheus's own words, and without what a batch says."""

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from api.main import bound
from api.routes.scrape import PREFIX
from domain.access import Scope
from pipeline.views.metrics import DESCRIPTIONS
from tests.support.api_server import METRICS_TOKEN, ApiServer
from tests.support.webhook_runner import served


def test_a_scrape_gives_every_metric_and_no_word_of_a_batch(api: ApiServer) -> None:
    api.generate("a pig that nobody may read of")
    reply = api.as_(METRICS_TOKEN).get("/metrics")
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(reply.text)}
    assert set(families) == {PREFIX + name for name in DESCRIPTIONS}
    waiting = [sample.value for sample in families["likeness_generations_queued"].samples]
    held = {sample.labels["lane"]: sample.value for sample in families["likeness_lane_open_usd"].samples}
    assert sum(waiting) + sum(sample.value for sample in families["likeness_attempts"].samples) == 1
    assert held
    assert "nobody may read" not in reply.text


def test_nobody_else_is_let_in(api: ApiServer) -> None:
    assert api.as_(METRICS_TOKEN + "x").get("/metrics").status_code == 401
    assert api.as_(api.key(scope=Scope.ADMIN)).get("/metrics").status_code == 401, "a key is one team's"
    assert api.as_(METRICS_TOKEN).get("/api/lanes").status_code == 401


def test_without_a_token_there_is_no_such_route(api: ApiServer) -> None:
    with bound("127.0.0.1", 0) as listener, served(api.resources, listener):
        reply = httpx2.get(f"http://127.0.0.1:{listener.getsockname()[1]}/metrics", trust_env=False)
    assert reply.status_code == 404
    assert "LIKENESS_METRICS_TOKEN" in reply.text
