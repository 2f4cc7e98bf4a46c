"""What the steps of this process do in groups: one `Grouped` for each statement that many attempts can share."""

from dataclasses import dataclass, field

from db.grouping import Grouped
from db.moves import grouped, grouped_pictures
from db.moves.grouped import Admitted, Intent, MadeJob, NewJob
from db.moves.grouped_pictures import CheckClaim, Judged, PaidClaim, Stored
from db.moves.validation import Check
from db.reads.work import Work
from db.records import characters
from db.records.characters import CharacterRow
from domain.ids import AttemptId, CharacterId
from domain.states import GenerationState


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedMoves:
    """One per process."""

    admitted: Grouped[AttemptId, Admitted] = field(default_factory=lambda: Grouped(grouped.read_admitted))
    intents: Grouped[Intent, bool] = field(default_factory=lambda: Grouped(grouped.write_intents))
    # A job that is paid and not stored yet is known to this process alone: it waits for no company.
    jobs: Grouped[NewJob, bool] = field(default_factory=lambda: Grouped(grouped.store_jobs, apart_s=0.0))
    made: Grouped[MadeJob, bool] = field(default_factory=lambda: Grouped(grouped.finish_jobs))
    collections: Grouped[PaidClaim, Work] = field(default_factory=lambda: Grouped(grouped_pictures.claim_collections))
    stored: Grouped[Stored, GenerationState] = field(default_factory=lambda: Grouped(grouped_pictures.keep_pictures))
    validations: Grouped[CheckClaim, Check] = field(default_factory=lambda: Grouped(grouped_pictures.claim_validations))
    judged: Grouped[Judged, GenerationState] = field(default_factory=lambda: Grouped(grouped_pictures.judge))
    characters: Grouped[CharacterId, CharacterRow] = field(default_factory=lambda: Grouped(characters.get_each))
