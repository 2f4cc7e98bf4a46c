"""What this thread works on, for the lines that it logs: bound by a task or a look, read by whoever writes the line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_bound: ContextVar[Mapping[str, str]] = ContextVar("bound", default=_NOTHING)


@contextmanager
def working_on(**ids: object) -> Iterator[None]:
    """Lines that this thread logs inside the block are about these: `attempt_id`, `generation_id`, `lane`."""
    token = _bound.set({**_bound.get(), **{name: str(one) for name, one in ids.items()}})
    try:
        yield
    finally:
        _bound.reset(token)


def bound_ids() -> Mapping[str, str]:
    return _bound.get()
