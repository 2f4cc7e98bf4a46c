"""Requests that are only thought of: what a submission would say, to find out whether it could be said."""

from collections.abc import Mapping
from typing import Any, Final

from domain.errors import RequestRefused
from pipeline.characters.references import named_urls
from providers.adapter import Adapter
from providers.contract import Ask

#: Stands for the attempt that does not exist yet.
_NO_ATTEMPT: Final = "00000000-0000-7000-8000-000000000000"


def draft(model: str, prompt: str, settings: Mapping[str, Any], *, references: int) -> Ask:
    """The ask of an attempt that nobody makes yet.

    Args:
        references: how many go along, as `pipeline.characters.references.chosen_references` has it.
    """
    return Ask(
        attempt_id=_NO_ATTEMPT,
        token="none",  # noqa: S106 -- nothing is sent
        model=model,
        prompt=prompt,
        settings=settings,
        reference_urls=named_urls(settings)
        or [f"https://reference.invalid/{number}.png" for number in range(references)],
    )


def can_be_said(wire: Adapter, ask: Ask) -> bool:
    """Whether the wire has words for all of it; nothing is sent."""
    try:
        wire.build_submit(ask)
    except RequestRefused:
        return False
    return True
