"""A failure that nobody foresaw tells the caller a reference, and nothing that a statement holds."""

from pathlib import Path

from tests.support.books import Books
from tests.support.command_line import CommandLine


def test_statements_and_parameters_stay_in_the_log(likeness: CommandLine, books: Books, tmp_path: Path) -> None:
    books.batch(1, name="a-secret-name")
    books.sql("ALTER TABLE generations RENAME COLUMN completed_at TO gone")
    ended = likeness("status", "a-secret-name", "--json")
    error = likeness.document("status", "a-secret-name", code=1)["error"]
    assert error["code"] == "defect"
    for said in (ended.out, ended.err, error["message"]):
        assert "SELECT" not in said
        assert "Traceback" not in said
        assert "a-secret-name" not in said
    reference = error["message"].partition("reference ")[2].partition(":")[0]
    (log,) = tmp_path.rglob("defects.log")
    kept = log.read_text(encoding="utf-8")
    assert f"--- {reference} " in kept
    assert "UndefinedColumn" in kept
    assert "a-secret-name" not in kept, "parameters are nowhere"
    assert log.stat().st_mode & 0o077 == 0
    assert str(log) in error["message"] or log.name in error["message"]
