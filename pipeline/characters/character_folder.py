"""A character as a folder: its references, thresholds, calibration and description, to be kept, sent and read again.

`character.json` names every reference with its digest, so that a picture that was changed on the way is noticed.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from db.records import characters
from db.records.characters import CharacterRow, NewThresholds
from domain.access import LOCAL_TEAM, Actor
from domain.errors import BadInput, PictureLost, ServiceMissing, UnknownThing
from domain.ids import sha256
from domain.validation_messages import plain_message
from pipeline.characters import definitions
from pipeline.characters.threshold_origin import Weights, fitted_to, misfit
from pipeline.resources import Resources

FILE: Final = "character.json"
_REFERENCES: Final = "references"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Reference(_Strict):
    file: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class _Thresholds(_Strict):
    core: float = Field(ge=-1, le=1)
    style: float = Field(ge=-1, le=1)
    origin: str = Field(min_length=1, max_length=500)
    style_decides: bool
    aggregation: Literal["max", "mean"]
    model: str | None


class _Document(_Strict):
    likeness_character: Literal[1]
    name: str
    description: str
    references: Sequence[_Reference]
    thresholds: _Thresholds
    calibration: Mapping[str, Any] | None


def export_folder(resources: Resources, name: str, folder: Path) -> CharacterRow:
    """Write the character into `folder`; an earlier export of the same one there is replaced.

    Raises:
        UnknownThing: there is no such character.
        BadInput: the folder holds something else.
        ServiceMissing: a reference is not in the store of this machine.
        OSError: the folder cannot be used.
    """
    found = definitions.find(resources, name)
    _refuse_foreign(folder, found.name)
    drafts = folder / f".{_REFERENCES}.unfinished"
    shutil.rmtree(drafts, ignore_errors=True)
    drafts.mkdir(parents=True)
    listed = []
    for row in found.references:
        try:
            content = resources.store.get(row.r2_key)
        except (FileNotFoundError, PictureLost) as failure:
            raise ServiceMissing(
                f"reference {row.position + 1} of {name!r} is not in the picture store: {failure}"
            ) from None
        file = f"{row.position + 1:02d}-{row.sha256[:12]}{Path(row.r2_key).suffix}"
        (drafts / file).write_bytes(content)
        listed.append({"file": f"{_REFERENCES}/{file}", "sha256": row.sha256})
    # The document goes first and comes last: in between, there is no export that looks whole.
    (folder / FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / _REFERENCES, ignore_errors=True)
    drafts.replace(folder / _REFERENCES)
    draft = folder / f".{FILE}.unfinished"
    draft.write_text(json.dumps(_document(found, listed), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    draft.replace(folder / FILE)
    return found


def import_folder(
    resources: Resources, folder: Path, *, name: str | None = None, replace: bool = False, by: Actor | None = None
) -> CharacterRow:
    """Read a character from the folder that `export_folder` wrote; all of it, or nothing.

    Args:
        name: another one than its own.
        replace: an existing character of that name gets these references and thresholds, as a new version.
        by: who does so, for the team's acts.

    Raises:
        BadInput: no such folder, a document that can't be used, a picture that is missing or not the one that was
            exported, or a name that is taken.
    """
    document = _read(folder / FILE)
    called = (name or document.name).strip()
    if not replace and _exists(resources, called):
        raise BadInput(f"there is a character {called!r}; say --replace, or import it under another --name")
    paths = [_path(folder, one) for one in document.references]
    changed = [one.file for one, path in zip(document.references, paths, strict=True) if not _holds(path, one.sha256)]
    if changed:
        raise BadInput(
            f"not the references that were exported, by their digests: {', '.join(changed)}; nothing was written"
        )
    given = document.thresholds
    thresholds = NewThresholds(
        core=given.core,
        style=given.style,
        origin=given.origin,
        model=given.model,
        aggregation=given.aggregation,
        calibration=document.calibration,
        style_decides=given.style_decides,
    )
    return definitions.write(
        resources,
        name=called,
        description=document.description,
        references=paths,
        thresholds=thresholds,
        by=by,
    )


def misfit_of(character: CharacterRow, *, scored_by: Weights) -> str | None:
    """A sentence where its thresholds were fitted to another model than the one that scores here; else None."""
    return misfit(character.name, fitted_to=fitted_to(character), scored_by=scored_by)


def _document(found: CharacterRow, listed: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {
        "likeness_character": 1,
        "name": found.name,
        "description": found.description,
        "references": list(listed),
        "thresholds": {
            "core": found.thresholds.core,
            "style": found.thresholds.style,
            "origin": found.thresholds.origin,
            "style_decides": found.thresholds.style_decides,
            "aggregation": found.aggregation,
            "model": found.fitted_to,
        },
        "calibration": found.calibration,
    }


def _refuse_foreign(folder: Path, name: str) -> None:
    """Refuse a folder in which something else would be written over."""
    if not folder.exists() or not any(one for one in folder.iterdir() if not one.name.startswith(".")):
        return
    if not (folder / FILE).is_file() or _read(folder / FILE).name != name:
        raise BadInput(f"{str(folder)!r} holds something else than an export of {name!r}; name an empty folder")


def _read(path: Path) -> _Document:
    try:
        return _Document.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BadInput(f"there is no {str(path)!r}; name a folder that `character export` wrote") from None
    except OSError as failure:
        raise BadInput(f"{str(path)!r} cannot be read: {failure.strerror or failure}") from None
    except ValidationError as failure:
        first = failure.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise BadInput(
            f"{str(path)!r} is no character that can be used: {where}: {plain_message(first['msg'])}"
        ) from None


def _path(folder: Path, one: _Reference) -> Path:
    """The file of a reference, which lies in the folder and nowhere else."""
    path = (folder / one.file).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise BadInput(f"the reference {one.file!r} of {str(folder / FILE)!r} leads out of its folder")
    if not path.is_file():
        raise BadInput(f"the reference {one.file!r} is missing from {str(folder)!r}; nothing was written")
    return path


def _holds(path: Path, digest: str) -> bool:
    return sha256(path.read_bytes()) == digest


def _exists(resources: Resources, name: str) -> bool:
    try:
        with resources.database.transaction() as connection:
            characters.find(connection, name, team=LOCAL_TEAM)
    except UnknownThing:
        return False
    return True
