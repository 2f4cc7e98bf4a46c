"""What a worker is told about its installation: exactly what the command that starts it knows."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from runtime.crew import environment
from runtime.sandbox_settings import WIRES, sandbox_settings
from runtime.settings import Settings
from tests.support.commands import ROOT

_URL = "http://127.0.0.1:8700"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of an operator with keys and a bucket, in a folder whose `.env` names them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(
        "TTAPI_API_KEY=real,second\nR2_BUCKET_NAME=real\nLIKENESS_PUBLIC_URL=https://r.example\n"
    )
    return Settings().model_copy(
        update={"database_url": SecretStr("postgresql://x/y"), "redis_url": SecretStr("redis://x"), "lease_s": 3.0}
    )


def _as_a_child_reads(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_a_child_has_the_settings_of_its_parent(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = settings.model_copy(update={"home": settings.home.resolve()})
    child = _as_a_child_reads(settings, monkeypatch)
    assert child == expected
    assert child.model_fields_set == settings.model_fields_set | {"home"}, "nobody has said what was not given"


def test_a_rehearsal_has_a_lane_at_each_wire_of_the_sandbox_and_no_key_of_the_operator(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = _as_a_child_reads(sandbox_settings(settings, f"{_URL}/"), monkeypatch)
    for wire in WIRES:
        assert child.services[wire].base_url == f"{_URL}/{wire}"
        assert not {"real", "second"} & set(child.services[wire].keys)
    assert (child.sandbox_base_url, child.public_url, child.r2_bucket_name) == (_URL, None, None)
    assert child.pictures is None


def test_the_sandboxs_model_is_found_from_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLIP_MODEL", "sandbox/clip")
    monkeypatch.chdir(tmp_path)
    assert (Path(Settings().clip_model) / "model.safetensors").is_file()
    (tmp_path / "sandbox" / "clip").mkdir(parents=True)
    assert Settings().clip_model == "sandbox/clip", "a folder of that name here is meant"


def test_pictures_are_read_with_the_weights_that_check_them_unless_others_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLIP_MODEL", "somebody/clip")
    for unset in ("", None):
        monkeypatch.setenv("ANALYSIS_MODEL", unset) if unset is not None else monkeypatch.delenv("ANALYSIS_MODEL")
        assert Settings().analysis_weights == "somebody/clip"
    monkeypatch.setenv("ANALYSIS_MODEL", "somebody/fashion-clip")
    assert Settings().analysis_weights == "somebody/fashion-clip"


def test_the_sandboxs_pictures_are_read_with_weights_that_know_clothes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ANALYSIS_MODEL", raising=False)
    for folder in (tmp_path, ROOT):
        monkeypatch.chdir(folder)
        monkeypatch.setenv("CLIP_MODEL", "sandbox/clip")
        reads = Path(Settings().analysis_weights)
        assert reads.name == "clip_clothes"
        assert (reads / "model.safetensors").is_file()
    monkeypatch.setenv("ANALYSIS_MODEL", "sandbox/clip")
    assert Settings().analysis_weights == "sandbox/clip", "who names the others gets them"
