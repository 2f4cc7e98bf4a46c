"""Alerts and the dashboard ask for metrics that there are; each alert has its remedy; promtool reads the files."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from api.routes.scrape import PREFIX
from pipeline.views.metrics import DESCRIPTIONS
from runtime.process_metrics import _Prometheus
from tests.support.commands import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTS = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "likeness.json").read_text(encoding="utf-8"))
_METRIC = re.compile(rf"\b{PREFIX}(\w+)(?:\{{([^}}]*)\}})?")


def expressions() -> Iterator[str]:
    yield from (alert["expr"] for alert in ALERTS)
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])


def of_one_process() -> dict[str, tuple[str, set[str]]]:
    """What a worker serves: the metric and its labels, by each name that its samples have."""
    registry = CollectorRegistry()
    _Prometheus(registry)
    return {
        name.removeprefix(PREFIX): (min(names, key=len).removeprefix(PREFIX), {*collector._labelnames, "le"})
        for collector, names in registry._collector_to_names.items()
        for name in names
    }


def test_alerts_and_dashboard_name_metrics_and_labels_that_there_are() -> None:
    process = of_one_process()
    labels = {name: set(one.labels) for name, one in DESCRIPTIONS.items()} | {
        name: one[1] for name, one in process.items()
    }
    asked = [found for expression in expressions() for found in _METRIC.finditer(expression)]
    assert {found[1] for found in asked} <= set(labels)
    for found in asked:
        selected = re.findall(r"(\w+)\s*!?=", found[2] or "")
        assert set(selected) <= labels[found[1]], found[0]


def test_every_metric_has_a_place_on_the_dashboard() -> None:
    process = of_one_process()
    shown = {
        found[1] for panel in DASHBOARD["panels"] for t in panel["targets"] for found in _METRIC.finditer(t["expr"])
    }
    assert set(DESCRIPTIONS) - shown == set()
    assert {metric for metric, _ in process.values()} - {process[name][0] for name in shown & set(process)} == set()


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


@pytest.mark.parametrize("name", [alert["alert"] for alert in ALERTS])
def test_an_alert_says_what_to_do(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_promtool_reads_the_rules_and_they_fire(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool belongs to Debian's package prometheus; .ci/run installs it"
    (tmp_path / "rules.yml").write_text((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "test.yml").write_text(_CASES, encoding="utf-8")
    for arguments in (("check", "rules", "rules.yml"), ("test", "rules", "test.yml")):
        done = subprocess.run(
            [promtool, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


_CASES = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'up{job="likeness"}', values: '1x30' }
      - { series: 'likeness_tick_age_seconds', values: '1x10 61x20' }
      - { series: 'likeness_audit_findings', values: '0x30' }
      - { series: 'likeness_lane_closed{lane="ttapi"}', values: '0x5 1x25' }
      - { series: 'likeness_verdicts_day{lane="ttapi",outcome="completed"}', values: '1x40' }
      - { series: 'likeness_verdicts_day{lane="ttapi",outcome="rejected"}', values: '99x40' }
      - { series: 'up{job="likeness-workers",instance="io:9200"}', values: '1x5 0x35' }
      - { series: 'likeness_process_call_seconds_count{lane="ttapi",call="submit",outcome="ok"}', values: '0+1x40' }
      - { series: 'likeness_process_call_seconds_count{call="submit",lane="ttapi",outcome="Broke"}', values: '0+9x40' }
      - { series: 'likeness_process_call_seconds_bucket{lane="ttapi",call="poll",le="1.0"}', values: '0x40' }
      - { series: 'likeness_process_call_seconds_bucket{lane="ttapi",call="poll",le="30.0"}', values: '0+10x40' }
      - { series: 'likeness_process_call_seconds_bucket{lane="ttapi",call="poll",le="+Inf"}', values: '0+10x40' }
      - { series: 'likeness_process_rescued_total{instance="io:9200"}', values: '0+10x40' }
    alert_rule_test:
      - eval_time: 30m
        alertname: LikenessWorkerNotScraped
        exp_alerts:
          - exp_labels: { severity: warning, job: likeness-workers, instance: "io:9200" }
            exp_annotations: { summary: "The worker at io:9200 gives no metrics." }
      - eval_time: 30m
        alertname: LikenessCallsFail
        exp_alerts:
          - exp_labels: { severity: warning, lane: ttapi, call: submit }
            exp_annotations: { summary: "Of the calls (submit) of lane ttapi 90% fail." }
      - eval_time: 35m
        alertname: LikenessCallsSlow
        exp_alerts:
          - exp_labels: { severity: warning, lane: ttapi }
            exp_annotations: { summary: "Lane ttapi answers one question in twenty only after 28.55 s." }
      - eval_time: 30m
        alertname: LikenessManyRescues
        exp_alerts:
          - exp_labels: { severity: warning }
            exp_annotations: { summary: "100 attempts were put back on their way within ten minutes." }
      - { eval_time: 9m, alertname: LikenessNoTick, exp_alerts: [] }
      - eval_time: 20m
        alertname: LikenessNoTick
        exp_alerts:
          - exp_labels: { severity: critical }
            exp_annotations:
              summary: Beat or every io worker stands still; nothing is admitted or rescued.
      - { eval_time: 29m, alertname: LikenessAuditFound, exp_alerts: [] }
      - { eval_time: 29m, alertname: LikenessNotScraped, exp_alerts: [] }
      - eval_time: 25m
        alertname: LikenessLaneClosed
        exp_alerts:
          - exp_labels: { severity: warning, lane: ttapi }
            exp_annotations: { summary: Lane ttapi is closed. }
      - eval_time: 31m
        alertname: LikenessFewAccepted
        exp_alerts:
          - exp_labels: { severity: warning }
            exp_annotations: { summary: "Of a day's pictures only 1% were accepted." }
"""
