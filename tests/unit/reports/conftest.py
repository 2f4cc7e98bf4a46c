"""A small batch with everything in it that a report has to show."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from domain.states import GenerationState as S
from reports.records import AssetLine, GenerationLine, Picture, Report

BEGAN = datetime(2026, 11, 21, 14, 3, tzinfo=UTC)
MakeReport = Callable[..., Report]


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[str], Path]:
    def picture(name: str) -> Path:
        path = tmp_path / f"{name}.png"
        Image.linear_gradient("L").resize((320, 320)).convert("RGB").save(path)
        return path

    return picture


@pytest.fixture
def asset(picture: Callable[[str], Path]) -> Callable[..., AssetLine]:
    def asset(core: float, position: int = 0, **other: Any) -> AssetLine:
        fields: dict[str, Any] = {
            "path": picture(f"{core}-{position}"),
            "width": 320,
            "height": 320,
            "best": position == 0,
            "core": core,
            "core_threshold": 0.75,
            "style": 0.7,
            "style_threshold": 0.6,
            "passed": core >= 0.75,
        }
        return AssetLine(position=position, **(fields | other))

    return asset


@pytest.fixture
def report(asset: Callable[..., AssetLine], picture: Callable[[str], Path]) -> MakeReport:
    def report(**changes: Any) -> Report:
        generations = [
            line(0, S.COMPLETED, theme="Sea", assets=[asset(0.95), asset(0.7, 1)]),
            line(1, S.REJECTED, theme="Sea", assets=[asset(0.74)]),
            line(2, S.FAILED, theme="Snow", error_code="content_refused", error_message="The provider refused it"),
            line(3, S.COMPLETED, theme="Snow", assets=[asset(0.80)]),
            line(4, S.REJECTED, theme="Snow", assets=[asset(0.50)]),
            line(5, S.QUEUED),
        ]
        spend = [(BEGAN + timedelta(seconds=10 * n), Decimal("0.04") * n) for n in range(1, 5)]
        fields: dict[str, Any] = {
            "batch_id": "0193b2f4-6c1e-7a52-9d1c-5a7f1f0c9e11",
            "name": "lulu-pig",
            "title": "Lulu Pig",
            "created_at": BEGAN,
            "wall_s": 102,
            "character": "Lulu",
            "references": [Picture(path=picture("reference"), label="Reference 1 of Lulu")],
            "counts": {"completed": 2, "rejected": 2, "failed": 1, "queued": 1},
            "total": 6,
            "accepted": 2,
            "charged_usd": Decimal("0.16"),
            "limit_usd": Decimal("5.00"),
            "avg_cost_per_image_usd": Decimal("0.08"),
            "generations": generations,
            "spend": spend,
            "thresholds": "Thresholds: core 0.75, style 0.60, default",
        }
        return Report(**(fields | changes))

    return report


def line(position: int, state: S, **other: Any) -> GenerationLine:
    fields: dict[str, Any] = {
        "prompt": f"a pig in scene {position}",
        "index": str(position + 1),
        "provider": "ttapi",
        "model": "midjourney",
        "cost_usd": Decimal("0.04"),
        "duration_s": 12.0,
        "tries": 1,
        "finished_at": BEGAN + timedelta(minutes=position),
    }
    return GenerationLine(position=position, state=state, **(fields | other))
