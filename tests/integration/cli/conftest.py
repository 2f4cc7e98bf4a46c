"""Fixtures of the calibration commands: a gallery of known embeddings, and a character with examples in it."""

from itertools import count
from pathlib import Path

import pytest

from db.session import Database
from pipeline.process.embedding_cache import KeptEmbeddings
from tests.support.command_line import CommandLine
from tests.support.gallery import MODEL, Gallery, spread


@pytest.fixture
def gallery(database: Database, tmp_path: Path) -> Gallery:
    kept = KeptEmbeddings(database)
    kept.keep_model(MODEL)
    return Gallery(folder=tmp_path, kept=kept, numbers=count(1))


@pytest.fixture
def lulu(likeness: CommandLine, gallery: Gallery) -> str:
    """A character with one reference, from which every picture has the cosines that it was given."""
    likeness.document("character", "add", "lulu", gallery.file("lulu.png", core=1.0, style=1.0))
    return "lulu"


@pytest.fixture
def good(gallery: Gallery) -> Path:
    return gallery.set_of("good", spread(0.8, 0.95), spread(0.7, 0.9))


@pytest.fixture
def bad(gallery: Gallery) -> Path:
    return gallery.set_of("bad", spread(0.1, 0.6), spread(0.0, 0.3))
