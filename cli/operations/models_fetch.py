"""`models fetch`: have the scoring model's weights on this machine, before a worker needs them."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import AsJson
from cli.terminal import open_terminal
from domain.errors import BadInput
from runtime.settings import read_settings
from validation.weights import Weights, download


def fetch_command(
    model: Annotated[str | None, typer.Option(help="Instead of CLIP_MODEL.")] = None,
    into: Annotated[
        Path | None, typer.Option("--to", help="A folder of its own, for an image or a mount; else the hub's cache.")
    ] = None,
    digest: Annotated[
        str | None, typer.Option("--sha256", help="Refuse weights with another digest than this.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Download the weights of CLIP_MODEL unless they are here, check their digest and print it.

    Those of ANALYSIS_MODEL too, where they are others; --model, --to and --sha256 are about one model.
    """
    with open_terminal(as_json=as_json) as terminal:
        if find_spec("huggingface_hub") is None:
            raise BadInput("this installation cannot fetch models; use the image `gpu`, or `uv sync --group gpu`")
        # Workers in images are told to fetch nothing; here somebody asks for it. Read when the hub's client loads.
        os.environ["HF_HUB_OFFLINE"] = "0"
        settings = read_settings()
        found = download(model or settings.clip_model, into=into, expected=digest)
        about_one = model is not None or into is not None or digest is not None
        reads = None if about_one or settings.analysis_weights == found.model else download(settings.analysis_weights)
        terminal.document(_told(found) | ({"analysis": _told(reads)} if reads is not None else {}))
        if not terminal.as_json:
            for one in filter(None, (found, reads)):
                state = "fetched" if one.downloaded else "here already"
                terminal.out.print(f"{state}: {one.model}", soft_wrap=True)
                terminal.out.print(f"sha256 {one.digest}", soft_wrap=True)
            if into is not None:
                terminal.out.print(f"CLIP_MODEL={found.model}", soft_wrap=True)


def _told(found: Weights) -> dict[str, Any]:
    return {
        "model": found.model,
        "sha256": found.digest,
        "files": [str(one) for one in found.files],
        "downloaded": found.downloaded,
    }
