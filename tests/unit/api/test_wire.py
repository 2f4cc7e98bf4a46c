"""What the wire refuses before anything is asked of a database."""

import pytest
from pydantic import ValidationError

from api import wire


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "a\x00b"},
        {"prompt": "a pig", "userId": "\x00"},
        {"prompt": "a pig", "settings": {"style": "\x00"}},
        {"prompt": "a pig", "settings": {"\x00": "x"}},
        {"prompt": "a pig", "settings": {"stylize": float("nan")}},
        {"prompt": "a pig", "settings": {"stylize": {"nested": 1}}},
        {"prompt": "a pig", "maxCostUsd": "1e9"},
        {"prompt": "a pig", "unknown": 1},
        {"prompt": "a" * 32_001},
    ],
)
def test_what_no_database_stores_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        wire.FromPrompt.model_validate(body)


def test_both_spellings_are_read_and_one_is_written() -> None:
    said = wire.FromPrompt.model_validate({"prompt": "a pig", "user_id": "u", "negativePrompt": "blur"})
    assert said.model_dump(by_alias=True, exclude_none=True)["userId"] == "u"
