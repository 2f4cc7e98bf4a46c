"""`models fetch` with the hub's own client, against a hub of this test's own that can damage, cut and lack things."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import ROOT, Ended, argv, environment
from tests.support.model_hub import ModelHub, model_hub

MODEL = "nobody/small-clip"
WEIGHTS = "model.safetensors"
OWN = ROOT / "sandbox" / "clip"
DIGEST = hashlib.sha256((OWN / WEIGHTS).read_bytes()).hexdigest()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[ModelHub]:
    shutil.copytree(OWN, tmp_path / "hub" / MODEL, ignore=shutil.ignore_patterns("*.py", "*.md", "__pycache__"))
    with model_hub(tmp_path / "hub") as opened:
        yield opened


def fetch(hub: ModelHub, home: Path, *arguments: str, limit_blocks: int | None = None, **more: str) -> Ended:
    """The command in a process of its own, in an image whose workers fetch nothing; files within a limit."""
    command = argv("models", "fetch", *arguments)
    if limit_blocks is not None:
        command = ["sh", "-c", f'ulimit -f {limit_blocks}; exec "$@"', "sh", *command]
    given = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "weights"),
        "HF_HUB_OFFLINE": "1",
        "CLIP_MODEL": MODEL,
    } | more
    done = subprocess.run(
        command, cwd=home, env=environment(home, **given), capture_output=True, text=True, timeout=100, check=False
    )
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


def test_weights_are_fetched_once_and_their_digest_is_told(hub: ModelHub, home: Path) -> None:
    (hub.root / MODEL / "pytorch_model.bin").write_bytes(b"the same in the older format")
    first = fetch(hub, home, "--json", f"--sha256={DIGEST.upper()}")
    assert first.code == 0, first.err
    assert (first.document["sha256"], first.document["downloaded"]) == (DIGEST, True)
    assert "pytorch_model.bin" not in hub.sent
    hub.sent.clear()
    again = fetch(hub, home)
    assert again.out.splitlines() == [f"here already: {MODEL}", f"sha256 {DIGEST}"], again.err
    assert hub.sent == []


def test_weights_that_read_pictures_alone_are_fetched_with_those_that_check_them(hub: ModelHub, home: Path) -> None:
    shutil.copytree(hub.root / MODEL, hub.root / "nobody" / "fashion-clip")
    both = fetch(hub, home, "--json", ANALYSIS_MODEL="nobody/fashion-clip")
    assert both.code == 0, both.err
    assert (both.document["model"], both.document["analysis"]["model"]) == (MODEL, "nobody/fashion-clip")
    assert both.document["analysis"]["downloaded"] is True


def test_only_the_older_format_is_taken_too(hub: ModelHub, home: Path) -> None:
    (hub.root / MODEL / WEIGHTS).rename(hub.root / MODEL / "pytorch_model.bin")
    done = fetch(hub, home, "--json")
    assert [Path(one).name for one in done.document["files"]] == ["pytorch_model.bin"], done.err


def test_a_folder_can_be_mounted_or_baked_and_another_digest_is_refused(hub: ModelHub, home: Path) -> None:
    folder = home / "clip"
    done = fetch(hub, home, f"--to={folder}")
    assert done.code == 0, done.err
    assert f"CLIP_MODEL={folder}" in done.out.splitlines()
    refused = fetch(hub, home, f"--model={folder}", "--sha256=" + "0" * 64)
    assert refused.code == 3
    assert f"have the digest {DIGEST} and not 000" in " ".join(refused.err.split())


def test_what_comes_damaged_is_thrown_away_and_comes_again(hub: ModelHub, home: Path) -> None:
    hub.damaged.add(WEIGHTS)
    damaged = fetch(hub, home)
    assert (damaged.code, damaged.out) == (3, "")
    assert "came damaged" in " ".join(damaged.err.split())
    assert not list((home / "weights").rglob(WEIGHTS))
    hub.damaged.clear()
    assert fetch(hub, home).code == 0


def test_half_a_download_is_no_model(hub: ModelHub, home: Path) -> None:
    hub.cut.add(WEIGHTS)
    half = fetch(hub, home)
    assert half.code == 3, half.err
    assert "could not be had from" in " ".join(half.err.split())
    hub.cut.clear()
    assert fetch(hub, home).code == 0


def test_no_space_says_so_and_an_unknown_model_too(hub: ModelHub, home: Path) -> None:
    full = fetch(hub, home, limit_blocks=64)
    assert full.code == 3, full.err
    assert "no space is left for the weights" in " ".join(full.err.split())
    unknown = fetch(hub, home, "--model=nobody/knows")
    assert unknown.code == 3
    assert "the hub knows no model 'nobody/knows'" in " ".join(unknown.err.split())
