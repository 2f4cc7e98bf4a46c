"""The owner's examples run as he wrote them: by curl, and JavaScript's objects as they are; host and key aside."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.support.api_server import ApiServer, environment_without_proxies

TEXT = (Path(__file__).parents[2] / "data" / "owner_generation_service.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(bash|javascript)\n(.*?)```", TEXT, flags=re.DOTALL)


def curls() -> list[str]:
    """Each call of curl, with the lines that belong to it."""
    text = "\n".join(block for language, block in BLOCKS if language == "bash")
    return [part.strip() for part in re.findall(r"^curl .*?(?=^curl |^#|\Z)", text, flags=re.DOTALL | re.MULTILINE)]


def objects() -> dict[str, Any]:
    """What JavaScript passes on, by the name of the function; an object literal becomes JSON."""
    found = {}
    for language, block in BLOCKS:
        if language == "javascript":
            literal = re.search(r"(stringify|generateFrom\w+)\((\{.*?\n\s*\})\)", block, flags=re.DOTALL)
            assert literal is not None
            quoted = re.sub(r"'([^']*)'", lambda text: json.dumps(text[1]), literal[2])
            found[literal[1]] = json.loads(re.sub(r"([{\s])(\w+):(?=\s)", r'\1"\2":', quoted))
    return found


def run(api: ApiServer, tmp_path: Path, command: str, **placeholders: str) -> Any:
    (tmp_path / ".curlrc").write_text(f'silent\nfail-with-body\nheader = "Authorization: Bearer {api.key()}"\n')
    text = command.replace("http://localhost:3001", api.base)
    for name, value in placeholders.items():
        text = text.replace(f"{{{name.replace('_', '-')}}}", value)
    environment = {**environment_without_proxies(), "CURL_HOME": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", text], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_the_examples_of_curl(api: ApiServer, tmp_path: Path) -> None:
    full, short, status, listing, health = curls()
    made = run(api, tmp_path, full)
    assert (made["status"], made["userId"]) == ("processing", "user-123")
    assert (made["provider"], made["model"]) == ("replicate", "google/nano-banana-pro")
    assert made["settings"] == {"aspect_ratio": "1:1", "size": "2K"}
    assert any("'google-imagen' is no more: Nano Banana Pro" in one for one in made["translated"])
    assert made["prompt"].endswith("Avoid: blurry, low quality, distorted.")
    assert made["pipelineData"]["row"]["asked"]["provider"] == "google-imagen"
    assert run(api, tmp_path, short)["status"] == "processing"
    api.work()
    ended = run(api, tmp_path, status, generation_id=made["id"])
    assert (ended["status"], ended["cost"]) == ("completed", "0.15")
    (asset,) = ended["assets"]
    assert asset["best"]
    assert api.as_().get(asset["url"]).headers["content-type"].startswith("image/")
    assert [one["id"] for one in run(api, tmp_path, listing)["generations"]] == [made["id"]]
    assert [stage["number"] for stage in run(api, tmp_path, health)["stages"]] == list(range(1, 12))


def test_the_examples_of_javascript(api: ApiServer) -> None:
    given, http = objects(), api.as_()
    made = http.post("/api/generate/from-prompt", json=given["generateFromPrompt"]).json()
    assert made["settings"] == {"aspect_ratio": "16:9", "size": "2K"}
    api.work()
    said = http.post(f"/api/generate/{made['id']}/feedback", json=given["stringify"])
    assert (said.status_code, said.json()["feedbackType"]) == (201, "outlier")
    (kept,) = http.get(f"/api/generate/{made['id']}").json()["feedback"]
    assert (kept["rating"], kept["comment"], kept["userId"]) == (5, given["stringify"]["comment"], "user-123")


def test_a_specification_in_javascript(api: ApiServer) -> None:
    given, http = objects()["generateFromImage"], api.as_()
    made = http.post("/api/generate/from-image", json=given).json()
    assert (made["state"], made["userId"], made["model"]) == ("preparing", "user-123", "google/nano-banana-pro")
    assert any("'google-imagen' is no more" in one for one in made["translated"])
    api.work()
    ended = http.get(made["statusUrl"]).json()
    assert (ended["status"], ended["settings"]) == ("completed", {"aspect_ratio": "1:1", "size": "2K"})
    assert ended["prompt"].startswith("A burgundy silk satin evening gown, elegant style.")
    done = [one["name"] for one in ended["stages"] if one["outcome"] == "done"]
    assert done == ["analysis", "enhancement", "routing", "generation", "storage"]


def test_dall_e_answers_with_its_successor(api: ApiServer) -> None:
    made = api.generate(settings={"provider": "dall-e", "quality": "hd", "size": "1792x1024"})
    assert (made["provider"], made["model"]) == ("openai", "gpt-image-2.5-sunburst")
    assert made["settings"] == {"aspect_ratio": "16:9", "quality": "high"}
    assert len(made["translated"]) == 3
    api.work()
    assert api.as_().get(made["statusUrl"]).json()["status"] == "completed"
