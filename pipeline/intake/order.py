"""An order: prompts, and what a person wants for all of them together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from domain.access import LOCAL_TEAM, Actor
from domain.errors import BadInput
from domain.escalation import Policy
from pipeline.intake.findings import Findings
from pipeline.intake.prompt_rows import PromptRow, PromptRows
from pipeline.intake.workbooks.pictures import WorkbookPictures

_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a person wants for a whole batch; a row's own columns win over it.

    Args:
        name: of the batch; enqueuing under a known name adds the rows that are new to it.
        prompts: as `read_prompts` or `rows_of` reads them; taken once.
        character: whom every picture must show; several with semicolons between.
        settings: defaults of every row (`mode`, `cref_weight`, `ar`, ...).
        limit_usd: the batch's budget, or None for none; given again, it replaces the former one.
        max_image_cost: the most one call may cost; needed for models without a price.
        whole_file: False when the rows are a part of their file, so that nothing is reported as vanished.
        times: how often each prompt is wanted.
        categories: each prompt is wanted once in each of them.
        try_policy: what was said about further tries, as `domain.escalation.try_policy_of` writes it.
        redo: make rows again that the batch has already, and that differ in what does not decide the picture.
        preparation: what is wished of the stages before the picture, by their names (`domain.preparation`).
        folder: that the paths of pictures in rows begin at; None: a row may name no file of this machine.
        files: pictures that came with the order itself, by the names that its rows have for them.
        look: look at the addresses of references that rows name, before anything is enqueued.
        only_priced: for a dry run; what only the making needs, an address for references, is a warning where missing.
        team: whose keys see the batch, and whose characters it may name.
        key_id: the API key in whose month the batch counts; None for the command line or a script.
        by: who asks, for the batch's acts; None: its user, on the command line or in a script.
        pictures: of the workbook that the prompts are from; filled in where they are `PromptRows`.
        findings: where the oddities of its rows are collected; the reader of the prompts fills the same.
    """

    name: str
    user_id: str
    provider: str
    prompts: Iterable[PromptRow]
    model: str | None = None
    character: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    limit_usd: Decimal | None = None
    max_image_cost: Decimal | None = None
    priority: int | None = None
    whole_file: bool = True
    times: int = 1
    categories: Sequence[str] = ()
    try_policy: Mapping[str, Any] = field(default_factory=dict)
    redo: bool = False
    preparation: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    look: bool = True
    only_priced: bool = False
    team: str = LOCAL_TEAM
    key_id: UUID | None = None
    by: Actor | None = None
    pictures: WorkbookPictures | None = None
    findings: Findings = field(default_factory=Findings)

    def __post_init__(self) -> None:
        if self.pictures is None:
            object.__setattr__(self, "pictures", pictures_of(self.prompts))
        if not self.name.strip() or len(self.name) > _LONGEST_NAME or "\x00" in self.name:
            raise BadInput(f"a batch's name has 1 to {_LONGEST_NAME} characters; this one is {self.name[:40]!r}")

    @property
    def policy(self) -> Policy:
        """What holds for rows that say nothing of their own about further tries."""
        return Policy.of(self.try_policy)


def pictures_of(prompts: Iterable[PromptRow]) -> WorkbookPictures | None:
    """The pictures that go along with prompts of a workbook."""
    book = prompts.workbook if isinstance(prompts, PromptRows) else None
    return None if book is None else book.pictures
