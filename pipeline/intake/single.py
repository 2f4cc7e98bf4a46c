"""One generation: a picture, a specification or words become an order of one row, in the owner's own setting words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from domain.errors import BadInput
from domain.routing import Routing
from pipeline.intake.findings import Findings
from pipeline.intake.order import Order
from pipeline.intake.prompt_rows import NOTHING, PromptRow, rows_of
from pipeline.intake.stage_wishes import placeholder, stage_wishes
from pipeline.resources import Resources
from providers import setting_words
from providers.catalogue import load
from providers.prompt_flags import overruled, with_words
from providers.setting_words import Chosen

#: The first of these that has a lane here.
_USUAL: Final = ("replicate", "openai", "ttapi", "sandbox")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A picture that came with a request.

    Args:
        name: for people.
    """

    content: bytes
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """What a person wants of one picture; one of prompt, image and vlt at least.

    Args:
        image: a path, an http(s) address, or the picture itself.
        vlt: a specification, as `domain.garments` reads it.
        settings: in today's words, or in those of the owner's former service (`quality`, `size`, `style`).
        analysis: who looks at the picture: `local`, `llm` or `off`.
        enhance: who writes prompts: `off`, `local` or `llm`; None is `local` where there is a picture or a
            specification, and `off` where there are words alone.
        block: kept word for word in every prompt: a brand, a character.
        candidates: so many prompts to choose from.
        more: further wishes of stages, by their names.
    """

    prompt: str | None = None
    image: str | Path | Upload | None = None
    vlt: Any = None
    negative_prompt: str | None = None
    provider: str | None = None
    model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    character: str | None = None
    limit_usd: Decimal | None = None
    max_image_cost: Decimal | None = None
    analysis: str = "local"
    enhance: str | None = None
    block: str | None = None
    candidates: int = 4
    name: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def order_of(resources: Resources, single: Single, *, user_id: str) -> tuple[Order, Sequence[str]]:
    """The order, and a sentence for each word that was taken for another; nothing is written.

    What is said beside the prompt is the row's own, and no default that a flag of the prompt may replace: where the two
    contradict each other, nobody could know which is meant.

    Raises:
        BadInput, UnknownThing, ModelRetired: something cannot be used.
    """
    wishes = _wishes(single)
    routed = Routing.of(single.model)
    model = None if routed else single.model
    wanted = {**single.settings, "provider": single.provider or usual_provider(resources), "model": model}
    prepared = bool(wishes) or routed is not None
    chosen = setting_words.chosen(
        load(),
        wanted,
        negative_prompt=None if prepared else single.negative_prompt,
        provider=str(wanted["provider"]),
    )
    findings = Findings()
    asked = wanted | ({"negativePrompt": single.negative_prompt} if single.negative_prompt else {})
    worded = replace(chosen, prompt_suffix="") if prepared else chosen
    row = in_todays_words(_row(single, wishes, findings), worded, asked=asked)
    if prepared and routed is None and chosen.takes_negative:
        _check_not_wanted(single)
    order = Order(
        name=single.name or f"generate-{uuid4().hex[:16]}",
        user_id=user_id,
        provider=chosen.provider,
        prompts=[replace(row, settings=chosen.settings)],
        model=chosen.model if routed is None else routed.value,
        character=single.character,
        limit_usd=single.limit_usd,
        max_image_cost=single.max_image_cost,
        whole_file=False,
        preparation=_whole(single, wishes, suffix=chosen.prompt_suffix) if prepared else {},
        folder=None if isinstance(single.image, Upload) else Path(),
        files={single.image.name: single.image.content} if isinstance(single.image, Upload) else {},
        findings=findings,
    )
    return order, chosen.translated


def _wishes(single: Single) -> dict[str, Any]:
    """What a stage has to do before the picture; nothing where words go as they are.

    Raises:
        BadInput: nothing says what the picture should show, or a word is none that a stage knows.
    """
    given = {"image": single.image.name if isinstance(single.image, Upload) else single.image, "vlt": single.vlt}
    inputs = {name: one for name, one in given.items() if one is not None}
    if not (single.prompt and single.prompt.strip()) and not inputs:
        raise BadInput("say what the picture should show: give a prompt, an image or a specification (vlt)")
    for name, text in (("prompt", single.prompt), ("negative prompt", single.negative_prompt), ("block", single.block)):
        if text and (bad := next((letter for letter in text if ord(letter) < 32 and letter not in "\t\n\r"), None)):
            raise BadInput(f"the {name} holds the control character {bad!r}; take it out")
    said = stage_wishes(analysis=single.analysis, enhance=single.enhance, candidates=single.candidates)
    if not inputs and (single.enhance or "off") == "off" and not single.more and not single.block:
        return {}
    default = "local" if inputs else "off"
    wishes = {**said, **single.more, "enhance": single.enhance or default, **inputs}
    return wishes if single.prompt else {**wishes, "prompt": None}


def _row(single: Single, wishes: Mapping[str, Any], findings: Findings) -> PromptRow:
    if not single.prompt:
        return PromptRow(position=0, line=1, prompt=placeholder(wishes), settings=NOTHING, extra=NOTHING)
    (row,) = rows_of([single.prompt], findings=findings)
    return row


def _check_not_wanted(single: Single) -> None:
    """Refuse now what a submission would refuse, behind stages that may have been paid.

    Raises:
        BadInput: the prompt's `--no` and the negative prompt differ.
    """
    not_wanted = single.negative_prompt
    if single.prompt and overruled(single.prompt, {"negative_prompt": not_wanted}):
        raise BadInput(f"the prompt says --no and the settings say --no {not_wanted}; take one of them out")


def _whole(single: Single, wishes: Mapping[str, Any], *, suffix: str) -> dict[str, Any]:
    """The wishes with what goes beside the words until a stage has written the prompt."""
    whole = dict(wishes)
    if single.negative_prompt:
        whole["negative"] = single.negative_prompt.strip()
    if block := " ".join(one for one in ((single.block or "").strip(), suffix.strip()) if one):
        whole["block"] = block
    return whole


def in_todays_words(row: PromptRow, chosen: Chosen, *, asked: Mapping[str, Any]) -> PromptRow:
    """The row as it is asked today, with what it was asked before beside it.

    Words that stand for a setting join those of the prompt; where a stage has yet to write that, they are its block.

    Args:
        asked: in the words of the request; None says nothing.
    """
    if not chosen.translated and not chosen.prompt_suffix:
        return row
    said = {name: value for name, value in asked.items() if value is not None}
    extra = {**row.extra, "asked": said, "translated": list(chosen.translated)}
    if row.preparation:
        block = {"block": chosen.prompt_suffix.strip()} if chosen.prompt_suffix else {}
        return replace(row, preparation={**row.preparation, **block}, extra=extra)
    return replace(row, prompt=with_words(row.prompt, chosen.prompt_suffix), extra=extra)


def usual_provider(resources: Resources) -> str:
    """Whom an order without a provider is for."""
    served = {lane.provider for lane in resources.lanes.values()}
    return next((one for one in _USUAL if one in served), _USUAL[0])
