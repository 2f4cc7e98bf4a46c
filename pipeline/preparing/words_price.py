"""The most that the words of a generation can cost, before anybody has been asked: the holds of its calls."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from domain.ids import BatchId, GenerationId
from domain.preparation import Known
from pipeline.preparing import enhancement, llm_enhancement, vision_analysis
from pipeline.resources import Words

NO_WORDS: Final = (
    "no model for words is set: put OPENAI_API_KEY into .env, or LIKENESS_WORDS_BASE_URL, _API_KEY, _USD_IN and"
    " _USD_OUT for another service; `local` needs none"
)
#: Stands for a specification that nobody has written yet: as long as a vision model's whole answer, and that is longer
#: than the local analyser's.
_LONGEST_SPEC: Final = {"records": ["x" * 4 * vision_analysis.question(b"").most_tokens]}
_NOBODY: Final = UUID(int=0)


def most_usd(words: Words, wishes: Mapping[str, Any], *, prompt: str | None) -> Decimal:
    """The sum of what is set aside for its calls."""
    total = Decimal(0)
    looks = wishes.get("image") is not None and wishes.get("vlt") is None
    if looks and wishes.get("analysis") == enhancement.LLM:
        total += words.most_usd(vision_analysis.question(b""))
    if wishes.get("enhance") == enhancement.LLM:
        spec = wishes.get("vlt") or (_LONGEST_SPEC if looks else None)
        known = Known(
            generation_id=GenerationId(_NOBODY),
            batch_id=BatchId(_NOBODY),
            user_id="",
            position=0,
            wishes=wishes,
            original=prompt,
            prompt=prompt,
            negative=wishes.get("negative"),
            spec=spec,
            provider="",
            model="",
        )
        total += words.most_usd(llm_enhancement.question(known, words=prompt, phrases=True, most_chars=None))
    return total
