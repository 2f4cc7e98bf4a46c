"""How the code is laid out in folders: their size, and names that mean the same wherever they stand."""

from collections import Counter, defaultdict
from pathlib import PurePath

from tests.support.source import product

MOST_MODULES = 22
#: Basenames that stand in several packages, each with the one thing that it means there. A name that is missing here
#: either gets a more telling name in one of the places, or a line that is true of all of them.
ROLES = {
    "adapter": "writes the calls of one provider and reads its replies",
    "app": "builds the application object of a framework",
    "audit": "compares the books",
    "acts": "who did what",
    "base": "the contract of its package",
    "batch_control": "pauses, resumes, cancels and retries batches",
    "by_person": "settles doubts and moves generations by hand",
    "by_provider": "a batch's totals by provider",
    "calibrate": "calibrates the thresholds of a character",
    "calibration": "figures and rows of a calibration",
    "characters": "the named identities, as rows and in scripts",
    "closed_loop": "decides on further tries",
    "commands": "the commands of one group",
    "contract": "the contract of its package",
    "doubts": "submissions that may have been paid",
    "errors": "the failures of its package",
    "events": "what happened in the batches of a team",
    "failures": "turns failures into classes of ours, or decides what becomes of them",
    "faults": "repeated faults of a lane",
    "feedback": "what users say about pictures",
    "finish": "asks for accepted pictures to be finished",
    "finishing": "makes accepted pictures larger or cuts them out",
    "forecast": "what running batches will still cost",
    "generate": "makes one picture",
    "generations": "lists and finds generations",
    "heartbeat": "the ticks of beat",
    "ids": "types of ids",
    "kept_answers": "answers to requests with an Idempotency-Key",
    "keys": "keys of the HTTP API",
    "lanes": "the provider accounts",
    "late_discovery": "adopts jobs that turn up late",
    "limits": "spending limits",
    "main": "starts a process",
    "near_duplicates": "pictures of a batch that are too alike",
    "records": "plain records handed to the outside",
    "personas": "the tastes of customers",
    "preferences": "choices between pictures, and the head that is fitted to them",
    "reference_agreement": "how well a character's references agree",
    "replies": "replies of providers",
    "preparation": "the stages before the picture",
    "rescore": "judges finished generations again",
    "rescue": "takes over work of dead workers",
    "resources": "what the steps of a process need",
    "routing": "chooses the model of a generation",
    "scoring": "the scoring process, and its client",
    "stages": "the stages of a generation",
    "tables": "tables of the terminal",
    "tries": "the tries of a generation",
    "validate": "checks pictures against a character",
    "webhooks": "webhooks of providers",
    "words": "calls of models that answer in words",
}


def test_no_folder_holds_more_modules_than_a_reader_can_survey() -> None:
    sizes = Counter(str(PurePath(one.path).parent) for one in product() if not one.path.endswith("__init__.py"))
    assert {folder: size for folder, size in sizes.items() if size > MOST_MODULES} == {}


def _places() -> dict[str, set[str]]:
    """Folders by basename; the sandbox is another program, with names of its own."""
    places: dict[str, set[str]] = defaultdict(set)
    for one in product():
        path = PurePath(one.path)
        if path.stem not in {"__init__", "__main__"} and path.parts[0] not in {"sandbox", "tools"}:
            places[path.stem].add(str(path.parent))
    return places


def test_a_basename_in_several_folders_is_a_known_role() -> None:
    shared = {name: sorted(folders) for name, folders in _places().items() if len(folders) > 1}
    assert {name: folders for name, folders in shared.items() if name not in ROLES} == {}


def test_a_role_stands_in_several_folders() -> None:
    places = _places()
    assert [name for name in ROLES if len(places.get(name, ())) < 2] == []
