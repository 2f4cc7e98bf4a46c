"""Rows of an order are checked, priced and written as lines of COPY, one by one.

Rows of one kind (the same service, model, characters and settings) have nearly everything in common, so each kind is
looked up, priced and checked once. What is left for a row is its text: one that holds nothing but words cannot carry
any service's syntax and needs no check of its own, unless it is longer than those of its kind before it.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from db.incoming.copy_lines import line_of, shared_columns
from db.incoming.laid_out import Tally
from db.records.characters import CharacterRow
from domain.errors import BadInput, RequestRefused, ServiceMissing, UnknownThing
from domain.finishing import FINISH, in_words, read_finish
from domain.ids import canonical, identity_with
from domain.preparation import WISHES
from domain.routing import Routing
from learning.persona import AUTO
from pipeline.characters.character_names import BETWEEN, find_all, join_names
from pipeline.characters.references import (
    SentReference,
    can_be_read,
    chosen_references,
    how_many,
    named_urls,
    pixels_of,
    unread_types,
)
from pipeline.characters.threshold_origin import local_weights, misfits
from pipeline.intake.cell_text import is_words
from pipeline.intake.findings import Findings, Kind
from pipeline.intake.order import Order
from pipeline.intake.prompt_rows import PromptRow
from pipeline.intake.reference_looks import Named, addresses_in, addresses_in_prompt
from pipeline.intake.row_inputs import RowInputs
from pipeline.intake.stage_wishes import calls_words, check_written
from pipeline.learning import personas
from pipeline.preparing.words_price import NO_WORDS, most_usd
from pipeline.requests.draft_requests import draft
from pipeline.requests.finishing_calls import check_wish
from pipeline.resources import Resources
from providers.catalogue import Catalogue, Model
from providers.contract import Ask, Lane
from providers.prices import as_read, price
from providers.prompt_flags import overruled
from providers.registry import service

#: Rows that all differ in their settings make as many kinds; the memory for them has an end.
_MOST_KINDS: Final = 10_000
_BETWEEN_NAMES: Final = re.compile(r"\s*[;,|&+/\r\n]\s*|\s+and\s+")


@dataclass(slots=True)
class RowKind:
    """What rows of one kind have in common, and how many there are.

    Args:
        settings: effective ones, but for a seed of the row's own.
        identity_rest: what `identity_with` needs beside the prompt, where there is no seed of the row's own.
        longest, most_blanks, largest_seed: of the rows whose text was checked.
        shared: by what the price and the further tries of a row depend on: the end of its line, hold and price.
    """

    provider: str
    model: Model
    lane: Lane
    characters: Sequence[CharacterRow]
    settings: Mapping[str, Any]
    sent_references: Sequence[SentReference]
    identity_rest: str
    longest: int = -1
    most_blanks: int = -1
    largest_seed: int = -1
    count: int = 0
    expected_usd: Decimal = Decimal(0)
    at_most_usd: Decimal = Decimal(0)
    shared: dict[Hashable, tuple[str, Decimal, Decimal]] = field(default_factory=dict)
    priced_by_length: bool = field(init=False)

    def __post_init__(self) -> None:
        self.priced_by_length = any(one.tokens is not None for one in self.model.prices)

    def tally(self) -> Tally:
        return Tally(
            provider=self.provider,
            model=self.model.name,
            settings={name: value for name, value in self.settings.items() if name != "seed"},
            count=self.count,
            expected_usd=self.expected_usd,
            at_most_usd=self.at_most_usd,
        )


class RowChecks:
    """The checks of one order; models, characters, prices and kinds that repeat are looked up once.

    Args:
        findings: of the order; warnings about its rows are added there.
    """

    def __init__(self, resources: Resources, catalogue: Catalogue, order: Order, today: date) -> None:
        self._resources = resources
        self._catalogue = catalogue
        self._order = order
        self._today = today
        self._findings: Findings = order.findings
        self._lanes: dict[str, Lane] = {}
        for lane in resources.lanes.values():
            self._lanes.setdefault(lane.provider, lane)
        self._characters: dict[str, Sequence[CharacterRow]] = {}
        self._kinds: dict[Hashable, RowKind] = {}
        self._counted: list[Tally] = []
        self.largest_hold_usd = Decimal(0)
        #: The most that calls to a model for words can cost before the pictures.
        self.words_usd = Decimal(0)
        self._personas: set[str] = {AUTO}
        self.inputs = RowInputs(folder=order.folder, files=order.files)
        #: One submission of each kind, by what decides which keys are sent.
        self.drafts: dict[Hashable, tuple[str, Ask]] = {}
        #: Addresses of pictures that rows name, each with a line that names it.
        self.addresses: dict[Named, list[int]] = {}

    def characters_of(self, names: str) -> Sequence[CharacterRow]:
        """The characters that `A;B` names.

        Raises:
            UnknownThing: one of them does not exist.
        """
        if names not in self._characters:
            found = self._characters[names] = self._find(names)
            self._findings.add_all(Kind.OPTION, misfits(found, scored_by=local_weights(self._resources.scoring_model)))
        return self._characters[names]

    def _find(self, names: str) -> Sequence[CharacterRow]:
        try:
            return find_all(self._resources, names, team=self._order.team)
        except UnknownThing:
            # People write `Lulu, Zoe`; a name may hold a comma too, and then it was found as it stands.
            parts = [part for part in _BETWEEN_NAMES.split(names) if part.strip()]
            if len(parts) == 1:
                raise
            try:
                return find_all(self._resources, BETWEEN.join(parts), team=self._order.team)
            except UnknownThing as failure:
                raise UnknownThing(f"{failure}; several characters stand with semicolons between") from None

    def checked(self, row: PromptRow) -> tuple[bytes, str]:
        """The identity of a row, and its line.

        Raises:
            BadInput, UnknownThing, ModelRetired, PriceUnknown: what is wrong, with the line of the file where it can.
        """
        try:
            return self._checked(row)
        except BadInput as failure:
            raise BadInput(str(failure), line=row.line) if failure.line is None else failure from None

    def tallies(self) -> list[Tally]:
        """All rows so far, by kind."""
        return [*self._counted, *(kind.tally() for kind in self._kinds.values())]

    def _checked(self, row: PromptRow) -> tuple[bytes, str]:
        plain = is_words(row.prompt)
        kind = self._kind(row, plain=plain)
        seed = row.settings.get("seed") if row.settings else None
        settings = kind.settings if seed is None else {**kind.settings, "seed": seed}
        self._check_text(kind, row, settings, plain=plain)
        if not plain:
            for url in addresses_in_prompt(row.prompt):
                self.addresses.setdefault((kind.provider, url), [row.line])
        shared, hold, expected = self._shared(kind, row, settings, plain=plain)
        kind.count += 1
        kind.expected_usd += expected
        kind.at_most_usd += hold
        rest = kind.identity_rest if seed is None else _identity_rest(kind, settings=settings)
        wishes = self._wishes(row)
        identity = identity_with(row.prompt, f"{rest},{canonical(wishes)}" if wishes else rest)
        data = {"row": {"index": row.index, **row.extra}} if row.index or row.extra else {}
        return identity, line_of(
            identity=identity,
            position=row.position,
            prompt=row.prompt,
            theme=row.theme,
            variation=row.variation,
            pipeline_data=data | ({WISHES: {"prompt": row.prompt, **wishes}} if wishes else {}),
            shared=shared,
        )

    def _wishes(self, row: PromptRow) -> dict[str, Any]:
        """What is wished of the stages before the picture, with what the row hands in as it was read."""
        wishes = {**self._order.preparation, **row.preparation}
        if (routed := Routing.of(row.model or self._order.model)) is not None:
            wishes["routing"] = routed.value
        if not wishes:
            return wishes
        if (prompt := wishes.get("prompt", row.prompt)) is None:
            check_written(wishes)
        if (persona := wishes.get("persona")) is not None and persona not in self._personas:
            personas.find(self._resources, str(persona), team=self._order.team)
            self._personas.add(persona)
        wishes = self.inputs.read(wishes)
        if calls_words(wishes):
            if self._resources.words is None:
                raise ServiceMissing(NO_WORDS)
            self.words_usd += most_usd(self._resources.words, wishes, prompt=prompt)
        return wishes

    def _kind(self, row: PromptRow, *, plain: bool) -> RowKind:
        said = row.settings
        named = tuple((name, None if name == "seed" else repr(value)) for name, value in said.items()) if said else ()
        # The row's own words win over the batch's defaults.
        lost = () if plain else tuple(overruled(row.prompt, {**self._order.settings, **dict.fromkeys(said)}))
        key = (row.provider, row.model, row.character, named, lost)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) == _MOST_KINDS:
                self._counted = self.tallies()
                self._kinds.clear()
            kind = self._kinds[key] = self._new_kind(row, lost)
        return kind

    def _new_kind(self, row: PromptRow, lost: Sequence[str]) -> RowKind:
        provider = row.provider or self._order.provider
        lane = self._lanes.get(provider)
        if lane is None:
            key = service(provider).key_setting or "SANDBOX_BASE_URL"
            raise ServiceMissing(f"no lane serves {provider!r} here: {key} is not set; put it into .env")
        model = self._model(provider, row.model or self._order.model)
        names = row.character or self._order.character
        try:
            characters = self.characters_of(names) if names else ()
        except UnknownThing as failure:
            raise UnknownThing(f"line {row.line}: {failure}") if row.character else failure from None
        settings = self._settings(row, lost, provider=provider)
        sent_references = self._references(lane, model, settings, characters)
        kind = RowKind(
            provider=provider,
            model=model,
            lane=lane,
            characters=characters,
            settings=settings,
            sent_references=sent_references,
            identity_rest="",
        )
        kind.identity_rest = _identity_rest(kind, settings=settings)
        return kind

    def _settings(self, row: PromptRow, lost: Sequence[str], *, provider: str) -> dict[str, Any]:
        """The effective settings of a kind; addresses of references in them are noted, to be looked at later."""
        settings = {**self._order.settings, **row.settings}
        for name in lost:
            del settings[name]
        if urls := _named(settings, row):
            # A cell holds them as text and an option as a list; rows that ask for the same are the same.
            settings["cref_urls"] = urls
        if steps := read_finish(str(settings.pop(FINISH, ""))):
            check_wish(self._resources, provider, steps)
            settings[FINISH] = in_words(steps)
        for url in addresses_in(settings):
            self.addresses.setdefault((provider, url), [row.line])
        return settings

    def _references(
        self, lane: Lane, model: Model, settings: Mapping[str, Any], characters: Sequence[CharacterRow]
    ) -> Sequence[SentReference]:
        """The references that go along.

        Raises:
            BadInput: the service could not read one of them.
        """
        references = [reference for one in characters for reference in one.references]
        sent_references = chosen_references(settings, references, model=model)
        unreadable = [
            one.name for one in characters if any(reference in sent_references for reference in one.references)
        ]
        if unreadable and not can_be_read(self._resources, lane):
            missing = (
                f"the references of {' and '.join(map(repr, unreadable))} have no address that {lane.provider!r}"
                " could read; pass --cref-urls, or set R2_CDN_URL and the other R2 settings"
            )
            if not self._order.only_priced:
                raise BadInput(missing)
            self._findings.note(f"before pictures are made: {missing}")
        if unread := unread_types(lane, sent_references):
            raise BadInput(
                f"{lane.provider!r} does not read references of type {' or '.join(unread)}; add the character again"
                " with PNG, JPEG or WebP files"
            )
        return sent_references

    def _model(self, provider: str, name: str | None) -> Model:
        # Left to the product: chosen when its turn comes, and priced as the provider's default until then.
        if name is None or Routing.of(name) is not None:
            model = self._catalogue.default(provider)
        else:
            model = self._catalogue.get(name)
        self._findings.add_all(Kind.OPTION, model.check_usable(self._today))
        if not model.served_by(provider):
            raise BadInput(
                f"model {model.name!r} is not served by {provider!r} but by {model.provider!r};"
                f" use --provider {model.provider}"
            )
        if model.kind != "picture":
            raise BadInput(f"model {model.name!r} makes no pictures; `likeness models` lists those that do")
        return model

    def _check_text(self, kind: RowKind, row: PromptRow, settings: Mapping[str, Any], *, plain: bool) -> None:
        """Refuse now what the adapter would refuse at the submission: a flag, a mode, a combination."""
        prompt = row.prompt
        length, blanks, seed = len(prompt), prompt.count(" "), settings.get("seed", -1)
        if plain and length <= kind.longest and blanks <= kind.most_blanks and not _larger(seed, kind.largest_seed):
            return
        model = kind.model
        if model.max_prompt_chars is not None and length > model.max_prompt_chars:
            raise BadInput(f"the prompt has {length:,} characters; {model.name!r} takes {model.max_prompt_chars:,}")
        ask = draft(model.name, prompt, settings, references=len(kind.sent_references))
        try:
            kind.lane.check(ask)
            warnings = kind.lane.warnings(ask)
        except RequestRefused as failure:
            raise BadInput(str(failure)) from failure
        self._findings.add_all(Kind.TEXT, warnings, line=None if plain else row.line)
        sent = (kind.provider, model.name, frozenset(settings), bool(named_urls(settings)), bool(ask.reference_urls))
        self.drafts.setdefault(sent, (kind.provider, ask))
        if plain:
            kind.longest, kind.most_blanks = max(kind.longest, length), max(kind.most_blanks, blanks)
            kind.largest_seed = max(kind.largest_seed, seed) if isinstance(seed, int) else kind.largest_seed

    def _shared(
        self, kind: RowKind, row: PromptRow, settings: Mapping[str, Any], *, plain: bool
    ) -> tuple[str, Decimal, Decimal]:
        """The end of the row's line, its hold and its expected price."""
        # Flags in the prompt may change what the call costs, and so does its length where words are billed; a character
        # of another script is several bytes.
        words, wished = (row.prompt, settings) if plain else as_read(kind.model, row.prompt, settings)
        length = len(words.encode()) if kind.priced_by_length else 0
        key = None
        if settings is kind.settings:
            policy = canonical(row.try_policy) if row.try_policy else ""
            key = (length, policy, "" if wished is settings else canonical(wished))
            known = kind.shared.get(key)
            if known is not None:
                return known
        found = price(
            kind.model,
            settings,
            on=self._today,
            max_image_cost=self._most(kind),
            references=pixels_of(kind.sent_references),
            prompt=row.prompt,
        )
        self.largest_hold_usd = max(self.largest_hold_usd, found.at_most_usd)
        shared = shared_columns(
            character_ids=[one.id for one in kind.characters],
            provider=kind.provider,
            model=kind.model.name,
            settings=settings,
            try_policy=row.try_policy,
            hold_usd=found.at_most_usd,
            price_usd=found.usd,
        )
        if key is not None:
            kind.shared[key] = (shared, found.at_most_usd, found.usd)
        return shared, found.at_most_usd, found.usd

    def _most(self, kind: RowKind) -> Decimal | None:
        """The most that a call may cost, or what the operator says that it costs where the catalogue only estimates."""
        if self._order.max_image_cost is None and all(one.estimate for one in kind.model.prices):
            return self._resources.estimates.get(kind.provider)
        return self._order.max_image_cost


def _named(settings: dict[str, Any], row: PromptRow) -> list[str]:
    """The addresses of references that go along; a row that wants none goes without the batch's.

    Raises:
        BadInput: the row names references and wants none.
    """
    wanted = how_many(settings)
    if wanted != 0:
        return named_urls(settings)[:wanted]
    if row.settings.get("cref_urls"):
        raise BadInput("the row names references in `cref_urls` and wants none by `references`; leave one of them out")
    settings.pop("cref_urls", None)
    return []


def _identity_rest(kind: RowKind, *, settings: Mapping[str, Any]) -> str:
    name = join_names(one.name for one in kind.characters)
    return canonical({"settings": settings, "provider": kind.provider, "model": kind.model.name, "character": name})


def _larger(seed: object, known: int) -> bool:
    return not isinstance(seed, int) or seed > known
