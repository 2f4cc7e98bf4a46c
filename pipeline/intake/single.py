"""One generation: a picture, a specification or words become an order of one row, in the owner's own setting words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from domain.errors import BadInput, ServiceMissing
from domain.garments import read_spec, spec_of
from domain.ids import sha256
from domain.routing import Routing
from pipeline.intake.findings import Findings
from pipeline.intake.order import Order
from pipeline.intake.prompt_rows import NOTHING, PromptRow, rows_of
from pipeline.preparing import input_pictures
from pipeline.resources import Resources
from providers import setting_words
from providers.catalogue import load

ANALYSES: Final = ("local", "llm", "off")
ENHANCEMENTS: Final = ("off", "local", "llm")
#: Whom an order without a provider is for: the first of these that has a lane here.
_USUAL: Final = ("replicate", "openai", "ttapi", "sandbox")
_SHOWN_CHARS: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """What a person wants of one picture; one of prompt, image and vlt at least.

    Args:
        image: a path or an http(s) address.
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
    image: str | Path | None = None
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
    """The order, and a sentence for each word that was taken for another.

    A picture is put into the store; nothing else is written.

    Raises:
        BadInput, UnknownThing, ModelRetired: something cannot be used.
        ServiceMissing: a model for words is asked for, and none is set.
    """
    _check(single)
    if "llm" in {single.analysis if single.image is not None else None, single.enhance} and resources.words is None:
        raise ServiceMissing(
            "no model for words is set: put OPENAI_API_KEY into .env, or LIKENESS_WORDS_BASE_URL, _API_KEY, _USD_IN and"
            " _USD_OUT for another service; `local` needs none"
        )
    routed = Routing.of(single.model)
    model = None if routed else single.model
    wanted = {**single.settings, "provider": single.provider or _usual(resources), "model": model}
    prepared = _is_prepared(single) or routed is not None
    chosen = setting_words.chosen(
        load(),
        wanted,
        negative_prompt=None if prepared else single.negative_prompt,
        provider=str(wanted["provider"]),
    )
    findings = Findings()
    wishes = _wishes(resources, single, suffix=chosen.prompt_suffix) if prepared else {}
    if single.prompt:
        (row,) = rows_of([single.prompt + ("" if prepared else chosen.prompt_suffix)], findings=findings)
    else:
        row = PromptRow(position=0, line=1, prompt=_placeholder(single, wishes), settings=NOTHING, extra=NOTHING)
        wishes |= {"prompt": None}
    order = Order(
        name=single.name or f"generate-{uuid4().hex[:16]}",
        user_id=user_id,
        provider=chosen.provider,
        prompts=[row],
        model=chosen.model if routed is None else routed.value,
        character=single.character,
        settings=chosen.settings,
        limit_usd=single.limit_usd,
        max_image_cost=single.max_image_cost,
        whole_file=False,
        preparation=wishes,
        findings=findings,
    )
    return order, chosen.translated


def _is_prepared(single: Single) -> bool:
    """Whether a stage has anything to do before the picture."""
    given = single.image is not None or single.vlt is not None
    return given or (single.enhance or "off") != "off" or bool(single.more)


def _check(single: Single) -> None:
    if not (single.prompt and single.prompt.strip()) and single.image is None and single.vlt is None:
        raise BadInput("say what the picture should show: --prompt WORDS, --image PHOTO or --vlt SPEC.json")
    if single.analysis not in ANALYSES:
        raise BadInput(f"analysis is {single.analysis!r}; there are {', '.join(ANALYSES)}")
    if single.enhance is not None and single.enhance not in ENHANCEMENTS:
        raise BadInput(f"enhance is {single.enhance!r}; there are {', '.join(ENHANCEMENTS)}")
    if not 1 <= single.candidates <= 16:
        raise BadInput(f"{single.candidates} candidates cannot be written; ask for 1 to 16")
    blind = single.analysis == "off" and single.vlt is None
    if not single.prompt and (blind or single.enhance == "off"):
        raise BadInput(
            "without words of your own, the picture must be analysed and a prompt be written: leave"
            f" {'--analysis' if blind else '--enhance'} off out, or give --prompt"
        )
    for name, text in (("prompt", single.prompt), ("negative prompt", single.negative_prompt), ("block", single.block)):
        if text and (bad := next((letter for letter in text if ord(letter) < 32 and letter not in "\t\n\r"), None)):
            raise BadInput(f"the {name} holds the control character {bad!r}; take it out")


def _usual(resources: Resources) -> str:
    served = {lane.provider for lane in resources.lanes.values()}
    return next((one for one in _USUAL if one in served), _USUAL[0])


def _wishes(resources: Resources, single: Single, *, suffix: str) -> dict[str, Any]:
    wishes: dict[str, Any] = {"analysis": single.analysis, "candidates": single.candidates, **single.more}
    wishes["enhance"] = single.enhance or ("off" if single.image is None and single.vlt is None else "local")
    if single.vlt is not None:
        wishes["vlt"] = spec_of(read_spec(single.vlt))
    if single.image is not None:
        picture = input_pictures.read_input(single.image)
        wishes |= {"image": input_pictures.keep(resources, picture), "image_name": picture.name}
    if single.negative_prompt:
        wishes["negative"] = single.negative_prompt.strip()
    if block := " ".join(one for one in ((single.block or "").strip(), suffix.strip()) if one):
        wishes["block"] = block
    return wishes


def _placeholder(single: Single, wishes: Mapping[str, Any]) -> str:
    """Shown until there is a prompt; it is never sent."""
    if single.image is not None:
        return f"(from {wishes['image_name'][:_SHOWN_CHARS]})"
    return f"(from specification {sha256(repr(wishes['vlt']).encode())[:8]})"
