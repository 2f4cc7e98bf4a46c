"""The Prometheus endpoint of one process: off and then free, on and then one for each process."""

import subprocess
import sys
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from domain.errors import BadInput, NotSent
from pipeline.process.measures import Unmeasured, measured
from runtime.embedded.ports import choose
from runtime.process_metrics import measuring
from tests.support.commands import ROOT


def scraped(port: int) -> dict[tuple[str, ...], float]:
    """By sample and the values of its labels, in the order of their names."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        families = text_string_to_metric_families(reply.read().decode())
        return {
            (one.name, *(one.labels[label] for label in sorted(one.labels))): one.value
            for family in families
            for one in family.samples
        }


def test_what_is_measured_can_be_scraped() -> None:
    port = choose()
    with measuring(f"127.0.0.1:{port}") as measures:
        with measured(measures, "ttapi", "submit"):
            pass
        with pytest.raises(NotSent), measured(measures, "ttapi", "submit"):
            raise NotSent("no way")
        measures.waited_for_token("ttapi", seconds=2.0)
        measures.rescued(3)
        measures.batch(8, waited_s=0.01, took_s=0.2)
        read = scraped(port)
    assert read["likeness_process_call_seconds_count", "submit", "ttapi", "ok"] == 1
    assert read["likeness_process_call_seconds_count", "submit", "ttapi", "NotSent"] == 1
    assert read["likeness_process_token_wait_seconds_sum", "ttapi"] == 2.0
    assert read["likeness_process_rescued_total",] == 3
    assert read["likeness_process_batch_pictures_sum",] == 8
    assert read["likeness_process_batch_forward_seconds_sum",] == pytest.approx(0.2)
    assert any(name.startswith("process_cpu") for name, *_ in read)


def test_the_next_process_takes_the_next_port_and_shares_nothing() -> None:
    port = choose()
    with measuring(f"127.0.0.1:{port}") as one, measuring(f"127.0.0.1:{port}") as other:
        one.rescued(1)
        other.rescued(5)
        assert scraped(port)["likeness_process_rescued_total",] == 1
        assert scraped(port + 1)["likeness_process_rescued_total",] == 5


@pytest.mark.parametrize("address", ["9200", "localhost", "localhost:http", ""])
def test_an_address_that_cannot_be_read_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="LIKENESS_WORKER_METRICS"), measuring(address):
        pass


def test_by_default_nothing_is_measured_and_the_library_is_not_imported() -> None:
    with measuring(None) as measures:
        assert isinstance(measures, Unmeasured)
    looking = "import sys, worker.main, worker.sync, runtime.process_metrics; print('prometheus_client' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", looking], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
