"""The OpenAPI document is true: whatever is sent, no answer is a failure of ours or one that is not described."""

import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.support.api_server import ApiServer, environment_without_proxies

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "use_after_free",
)


@pytest.mark.timeout(900)
def test_schemathesis_finds_nothing(api: ApiServer, tmp_path: Path) -> None:
    api.generate()
    api.work()
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{api.base}/openapi.json"),
        *("--header", f"Authorization: Bearer {api.key()}"),
        *("--checks", ",".join(CHECKS)),
        # A stream without an end has a test of its own.
        *("--exclude-path", "/api/events"),
        *("--max-examples", "5", "--workers", "1", "--request-timeout", "30", "--no-color"),
        "--generation-deterministic",
    ]
    environment = environment_without_proxies() | {"PYTHONPATH": "", "COLUMNS": "160"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2000:]


def test_every_operation_is_described_for_people_and_programs(api: ApiServer) -> None:
    document = httpx2.get(f"{api.base}/openapi.json", trust_env=False, timeout=60).json()
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one.get("description") for one in operations)
    schemas = document["components"]["schemas"]
    assert schemas["FromPrompt"]["examples"]
    assert "HTTPValidationError" not in schemas
    # The wire is camel case, to its last field; what a model or a person named is left as it is.
    free = {"GenerationSettings", "Problem"}
    names = {name for title, one in schemas.items() if title not in free for name in one.get("properties", {})}
    assert [name for name in names if "_" in name] == []
