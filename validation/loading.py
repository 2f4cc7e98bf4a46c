"""Load model weights from a folder or the hub onto a device, with error messages that say what to do."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from torch import nn

from domain.errors import ModelUnloadable
from validation.weights import download, weight_files

logger = logging.getLogger(__name__)

_SMALLER = "choose a smaller model, such as 'openai/clip-vit-base-patch32', or a machine with more memory"


def pick_device(wish: str) -> torch.device:
    """The device called `wish`; `auto` is the first of CUDA, MPS and CPU that this machine has.

    Raises:
        ModelUnloadable: this machine has no such device.
    """
    if wish == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wish)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelUnloadable(
            f"there is no device {wish!r} here ({_first_line(error)}); use 'auto' or 'cpu'"
        ) from error
    return device


def why_no_cuda(wish: str) -> str | None:
    """Why `auto` does not choose CUDA although this torch supports it; None where there is no reason to report."""
    built: bool = torch.backends.cuda.is_built()  # type: ignore[no-untyped-call]  # torch
    if wish != "auto" or not built or torch.cuda.is_available():
        return None
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # torch
    except (RuntimeError, AssertionError) as error:
        return _first_line(error)
    return "torch finds no device"


def fetch(model: str) -> None:
    """Make sure that the files of `model` are on this machine; logs a download.

    Raises:
        ModelUnloadable: not here, and it cannot be downloaded.
    """
    if weight_files(model):
        return
    logger.warning("model %r is not on this machine: downloading it from the hub", model)
    found = download(model)
    logger.info("model %r downloaded, its digest is %s", model, found.digest)


def load_model(model: str, *, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """`model` on `device`, in evaluation mode, from files that are on this machine.

    Raises:
        ModelUnloadable: wrong path, wrong kind of model, damaged or incomplete weights, too little memory.
    """
    _check_memory(model, device)
    transformers.utils.logging.disable_progress_bar()
    with _failures(model):
        loaded, report = transformers.AutoModel.from_pretrained(  # nosec B615
            model,
            dtype=dtype,
            attn_implementation="sdpa",
            local_files_only=True,
            output_loading_info=True,
        )
        missing = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
        if missing:
            # transformers initialises missing tensors randomly and only warns.
            raise ModelUnloadable(
                f"the weights of {model!r} lack {len(missing)} tensors, {missing[0]!r} first: "
                "they belong to another model"
            )
        placed: nn.Module = loaded.to(device).eval()
    return placed


def _check_memory(model: str, device: torch.device) -> None:
    """Refuse a model that does not fit, before the operating system kills the process without a message."""
    needed = sum(file.stat().st_size for file in weight_files(model))
    available = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _available_bytes()
    if available is not None and needed > available:
        raise ModelUnloadable(
            f"the weights of {model!r} take {needed / 2**30:.1f} GB and {available / 2**30:.1f} GB are free "
            f"on {device.type}; {_SMALLER}"
        )


def _available_bytes() -> int | None:
    """Available memory, where the system reports it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(values["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in values else None


@contextmanager
def _failures(model: str) -> Iterator[None]:
    """Translate failures of transformers and torch while loading."""
    from safetensors import SafetensorError

    try:
        yield
    except ModelUnloadable:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ModelUnloadable(f"{model!r} does not fit into memory; {_SMALLER}") from error
    except SafetensorError as error:
        raise ModelUnloadable(f"the weights of {model!r} are damaged ({error}); fetch them again") from error
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError) as error:
        raise ModelUnloadable(f"{model!r} cannot be loaded as CLIP or SigLIP: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
