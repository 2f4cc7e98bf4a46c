"""The one sentence that each unusable prompt file gets, with its line."""

import os
from pathlib import Path
from typing import Any

import pytest

from domain.errors import BadInput
from pipeline.intake.findings import Findings
from pipeline.intake.prompt_file import read_prompts, rows_in
from pipeline.intake.prompt_rows import LONGEST_PROMPT
from tests.support.prompt_files import Write, refusal


@pytest.mark.parametrize("given", ["prompts.csv", "a pink pig", b"a pink pig", {"prompt": "a pink pig", "seed": 3}])
def test_a_script_that_gives_one_prompt_or_a_name_does_not_pay_for_each_letter(given: Any) -> None:
    with pytest.raises(BadInput, match=r"give a list, also of one prompt, or the path of a file \(a pathlib\.Path\)"):
        rows_in(given, sheet=None, findings=Findings())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "there is no file" in str(refusal(tmp_path / "nowhere.csv"))


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "is a directory" in str(refusal(tmp_path))


def test_a_file_that_may_not_be_read_is_refused(write: Write) -> None:
    path = write("prompt\na\n")
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)  # the superuser may read everything
    try:
        assert "may not be read" in str(refusal(path))
    finally:
        if user == 0:
            os.seteuid(user)


def test_a_file_without_a_prompt_column_gets_its_columns_and_a_near_one_named(write: Write) -> None:
    failure = refusal(write("index,Promt,theme\n1,a,b\n"))
    assert failure.line == 1
    assert "found: 'index', 'Promt', 'theme'" in str(failure)
    assert "rename 'Promt' to 'prompt'" in str(failure)


def test_a_negative_prompt_is_not_taken_for_the_prompt(write: Write) -> None:
    message = str(refusal(write("negative_prompt,text\na,b\n")))
    assert "name the column that holds the prompts 'prompt'" in message


@pytest.mark.parametrize("name", ["p.csv", "p.txt", "p.json", "p.jsonl", "p.tsv"])
@pytest.mark.parametrize("content", ["", "\ufeff", " \r\n\n"])
def test_an_empty_file_is_refused(write: Write, name: str, content: str) -> None:
    assert f"{name!r} is empty" in str(refusal(write(content, name)))


@pytest.mark.parametrize(("content", "name"), [("prompt,theme\n", "p.csv"), ("[]", "p.json")])
def test_a_file_with_a_header_only_is_refused(write: Write, content: str, name: str) -> None:
    assert "no row" in str(refusal(write(content, name)))


def test_blank_prompts_only_are_refused(write: Write) -> None:
    assert "all 2 prompts" in str(refusal(write("index,prompt\n1,\n2,  \n")))


def test_latin_1_bytes_get_their_line_and_offset(write: Write) -> None:
    failure = refusal(write("prompt\na pig\nein Schwein im Gr\u00fcnen\n".encode("latin-1")))
    assert failure.line == 3
    assert "byte 0xFC at offset 30" in str(failure)
    assert "iconv -f LATIN1" in str(failure)


def test_utf_16_is_recognised(write: Write) -> None:
    assert "UTF-16" in str(refusal(write("prompt\na\n".encode("utf-16"))))


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("length", [LONGEST_PROMPT + 1, 1_000_000])
def test_a_prompt_of_a_megabyte_is_refused(write: Write, length: int, quote: str) -> None:
    failure = refusal(write(f"prompt\nfirst\n{quote}{'p' * length}{quote}\n"))
    assert failure.line == 3
    assert "characters" in str(failure)


def test_a_prompt_of_the_greatest_length_is_accepted(write: Write) -> None:
    assert len(read_prompts(write(f"prompt\n{'p' * LONGEST_PROMPT}\n"))[0].prompt) == LONGEST_PROMPT


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("index,prompt\n7,a\n8,b\n7,c\n", "p.csv"),
        ('{"index":"7","prompt":"a"}\n"b"\n\n{"index":7,"prompt":"c"}', "p.jsonl"),
    ],
)
def test_an_index_twice_names_both_lines(write: Write, content: str, name: str) -> None:
    failure = refusal(write(content, name))
    assert failure.line == 4
    assert f"in line {2 if name == 'p.csv' else 1}" in str(failure)


def test_an_index_twice_on_one_line_is_still_twice(write: Write) -> None:
    assert refusal(write('[{"index":1,"prompt":"a"},{"index":1,"prompt":"b"}]', "p.json")).line == 1


def test_a_nul_byte_gets_its_line(write: Write) -> None:
    failure = refusal(write("prompt\na\nb\0c\n"))
    assert failure.line == 3
    assert "NUL" in str(failure)


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud83d"])
def test_text_that_no_database_stores_is_refused_in_json_too(write: Write, escape: str) -> None:
    assert refusal(write(f'"fine"\n{{"prompt": "a", "deep": [{{"x": "{escape}"}}]}}\n', "p.jsonl")).line == 2


def test_a_quote_never_closed_names_the_line_where_it_opened(write: Write) -> None:
    failure = refusal(write('prompt,theme\n"fine\nhere",x\n"never closed,y\nnext,z\n'))
    assert failure.line == 4
    assert "never closed" in str(failure)


def test_a_quote_closed_by_the_next_row_names_the_line_where_it_opened(write: Write) -> None:
    failure = refusal(write('index,prompt\n1,"first\n2,"second"\n'))
    assert failure.line == 2
    assert "in line 3" in str(failure)


def test_a_quote_that_would_swallow_a_long_file_is_found(write: Write) -> None:
    failure = refusal(write('prompt\nfirst\n"second\n' + "another prompt\n" * 100_000))
    assert failure.line == 3
    assert "double quote opened here" in str(failure)


def test_a_row_with_more_cells_than_the_header_is_refused(write: Write) -> None:
    failure = refusal(write("prompt,theme\na,b\na pig, sitting,b\n"))
    assert failure.line == 3
    assert "3 cells" in str(failure)


def test_a_column_named_twice_is_refused(write: Write) -> None:
    assert "twice" in str(refusal(write("prompt,theme,Prompt\na,b,c\n")))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('[\n"a",\n"b"\n"c"]', 4),
        ('[\n"a",\n]', 3),
        ('[\n"a"\n', 3),
        ('["a"]\nmore', 1),
        ('{"prompt": "a"}', 1),
        ("[\n5]", 2),
        ('[\n{"prompt": 5}]', 2),
        ('[\n"a", NaN]', 2),
        ('[\n{"prompt": "a", "prompt": "b"}]', 2),
        ('[\n{"prompt": "a", "PROMPT": "b"}]', 2),
        ("[" * 200_000, 1),
    ],
)
def test_json_that_is_wrong_gets_its_line(write: Write, content: str, line: int) -> None:
    assert refusal(write(content, "p.json")).line == line


def test_invalid_json_gets_its_column(write: Write) -> None:
    assert "column 12" in str(refusal(write('"fine"\n{"prompt": }\n', "p.jsonl")))


@pytest.mark.parametrize(
    ("column", "value"),
    [("seed", "many"), ("seed", "-1"), ("seed", "4294967296"), ("cref_weight", "5000"), ("chaos", "1.5")],
)
def test_a_number_that_is_none_gets_its_line(write: Write, column: str, value: str) -> None:
    failure = refusal(write(f"prompt,{column}\na,\nb,{value}\n"))
    assert failure.line == 3
    assert f"{column} in 'prompts.csv' is {value!r}" in str(failure)


def test_an_ending_that_is_unknown_is_refused(write: Write) -> None:
    assert "'.py'" in str(refusal(write("print()", "p.py")))


def test_a_bad_last_line_means_that_nothing_is_returned(write: Write) -> None:
    content = "index,prompt\n" + "".join(f"{number},pig\n" for number in range(5_000)) + "4999,pig\n"
    assert refusal(write(content)).line == 5_002
