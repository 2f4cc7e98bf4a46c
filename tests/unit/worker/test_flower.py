"""Where Flower may listen."""

import pytest

from domain.errors import BadInput
from worker.flower import flower


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7", "flower.example"])
def test_flower_listens_beyond_loopback_only_behind_a_password(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("FLOWER_ADDRESS", address)
    monkeypatch.delenv("FLOWER_BASIC_AUTH", raising=False)
    with pytest.raises(BadInput, match="FLOWER_BASIC_AUTH=USER:PASSWORD"):
        flower()
