"""What a prompt file may look like, and the one sentence that each unusable one gets."""

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from pipeline.intake.findings import REFUSED, Findings
from pipeline.intake.prompt_file import read_prompts
from pipeline.intake.prompt_rows import LONGEST_PROMPT

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes, name: str = "prompts.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refusal(path: Path, **options: object) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read_prompts(path, **options)  # type: ignore[arg-type]  # tests give any option by name
    assert "\n" not in str(caught.value)
    return caught.value


# --- what is simply accepted


def test_the_review_log_of_the_owner_is_read_with_all_its_columns(write: Write) -> None:
    path = write("index,theme,variation,prompt,status\n1,Spring,a,A pig in the rain,approved\n")
    (row,) = read_prompts(path)
    assert (row.position, row.line, row.index, row.theme, row.variation) == (0, 2, "1", "Spring", "a")
    assert row.prompt == "A pig in the rain"
    assert row.extra == {"status": "approved"}


def test_a_byte_order_mark_carriage_returns_and_quoted_newlines_are_accepted(write: Write) -> None:
    path = write('\ufeffprompt,theme\r\n"two\r\nlines 🐷",x\r\nsecond,y\r\n')
    first, second = read_prompts(path)
    assert first.prompt == "two\r\nlines 🐷"
    assert (first.line, second.line) == (2, 4)


@pytest.mark.parametrize("header", ["Prompt", " prompt ", "PROMPT", '"prompt"'])
def test_the_header_may_be_cased_and_spaced_as_people_do(write: Write, header: str) -> None:
    assert read_prompts(write(f"theme,{header}\na,b\n"))[0].prompt == "b"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_the_one_that_finds_the_prompt_column(write: Write, separator: str) -> None:
    path = write(f"index{separator}prompt{separator}theme\n7{separator}a pig{separator}sea\n")
    (row,) = read_prompts(path)
    assert (row.index, row.prompt, row.theme) == ("7", "a pig", "sea")


def test_a_separator_inside_the_text_does_not_decide(write: Write) -> None:
    path = write('prompt,notes;with;semicolons\n"a; b; c",d\n')
    assert read_prompts(path)[0].prompt == "a; b; c"


def test_columns_that_steer_a_model_become_settings_under_their_canonical_names(write: Write) -> None:
    path = write(
        "prompt,Negative Prompt,AR,seed,cw,mode,character,model,provider,note\n"
        "a pig,text,16:09,42,80.0,fast,lulu,midjourney,ttapi,for Ann\n"
    )
    (row,) = read_prompts(path)
    assert row.settings == {
        "negative_prompt": "text",
        "aspect_ratio": "16:9",
        "seed": 42,
        "cref_weight": 80,
        "mode": "fast",
    }
    assert (row.character, row.model, row.provider) == ("lulu", "midjourney", "ttapi")
    assert row.extra == {"note": "for Ann"}


def test_short_rows_and_empty_padding_are_what_spreadsheets_write(write: Write) -> None:
    path = write("prompt,theme,,\nfirst\nsecond,x,,,,\n\n\n")
    assert [(row.prompt, row.theme) for row in read_prompts(path)] == [("first", None), ("second", "x")]


def test_blank_prompts_among_others_are_passed_over_and_counted(write: Write) -> None:
    rows = read_prompts(write("index,prompt\n1,first\n2,\n3,   \n4,second\n"))
    assert [(row.position, row.line, row.prompt) for row in rows] == [(0, 2, "first"), (1, 5, "second")]
    assert (rows.blank, rows.usable) == (2, 2)


def test_plain_text_holds_one_prompt_a_line(write: Write) -> None:
    rows = read_prompts(write('a pig, sitting\r\n\r\n“another”; with "quotes"', "prompts.txt"))
    assert [(row.line, row.prompt) for row in rows] == [(1, "a pig, sitting"), (3, '“another”; with "quotes"')]


def test_tab_delimited_text_from_a_spreadsheet_is_a_table(write: Write) -> None:
    rows = read_prompts(write("index\tprompt\n1\ta pig, sitting\n", "prompts.txt"))
    assert [row.prompt for row in rows] == ["a pig, sitting"]


def test_a_json_array_of_strings_and_objects_keeps_its_lines(write: Write) -> None:
    path = write(
        '[\n "first",\n {"Prompt": "second", "index": 7, "seed": 5, "tags": ["a"],\n  "theme": null}\n]\n', "p.json"
    )
    first, second = read_prompts(path)
    assert (first.line, first.prompt) == (2, "first")
    assert (second.line, second.index, second.settings, second.extra) == (3, "7", {"seed": 5}, {"tags": ["a"]})


def test_json_lines_may_be_strings_or_objects(write: Write) -> None:
    rows = read_prompts(write('"first"\n\n{"prompt": "second", "cref_urls": ["http://a", "http://b"]}\n', "p.jsonl"))
    assert [(row.line, row.prompt) for row in rows] == [(1, "first"), (3, "second")]
    assert rows[1].settings == {"cref_urls": "http://a http://b"}


@pytest.mark.parametrize("content", ["prompt\na pig\n", '["a pig"]', '{"prompt": "a pig"}\n', "a pig\n"])
def test_standard_input_is_recognised_by_its_content(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    assert [row.prompt for row in read_prompts(Path("-"))] == ["a pig"]


def test_two_hundred_thousand_rows_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "theme", "prompt"])
        writer.writerows([number, "sea 🌊", f'pig "{number}",\nby the sea'] for number in range(200_000))
    rows = read_prompts(path)
    assert len(rows) == 200_000
    assert (rows[-1].position, rows[-1].index, rows[-1].line) == (199_999, "199999", 400_000)


# --- ranges and approval


def test_start_and_end_count_usable_rows_from_zero_and_end_is_exclusive(write: Write) -> None:
    rows = read_prompts(write("prompt\na\n\nb\nc\nd\n"), start=1, end=3)
    assert [(row.position, row.prompt) for row in rows] == [(1, "b"), (2, "c")]
    assert rows.usable == 4


@pytest.mark.parametrize(("start", "end"), [(-1, None), (0, -1), (2, 2), (3, 1), (4, None), (0, 5)])
def test_a_range_outside_the_file_is_refused(write: Write, start: int, end: int | None) -> None:
    message = str(refusal(write("prompt\na\nb\nc\nd\n"), start=start, end=end))
    assert "rows count from 0" in message


def test_only_approved_rows_are_taken_where_that_is_asked_for(write: Write) -> None:
    path = write("index,prompt,Status\n1,a,approved\n2,b,rejected\n2,c, Approved \n3,d,\n")
    rows = read_prompts(path, approved_only=True)
    assert [(row.position, row.prompt) for row in rows] == [(0, "a"), (1, "c")]
    assert rows.unapproved == {"rejected": 1, "": 1}


def test_an_approved_column_may_say_yes(write: Write) -> None:
    path = write('{"prompt": "a", "approved": true}\n{"prompt": "b", "approved": false}\n{"prompt": "c"}\n', "p.jsonl")
    assert [row.prompt for row in read_prompts(path, approved_only=True)] == ["a"]


def test_two_columns_of_approval_must_agree(write: Write) -> None:
    path = write("prompt,status,approved\na,approved,no\nb,approved,yes\nc,,yes\n")
    assert [row.prompt for row in read_prompts(path, approved_only=True)] == ["b", "c"]


@pytest.mark.parametrize(("content", "name"), [("prompt\na\n", "p.csv"), ("a\n", "p.txt"), ('["a"]', "p.json")])
def test_approval_without_a_column_for_it_is_refused(write: Write, content: str, name: str) -> None:
    assert "needs a column 'status' or 'approved'" in str(refusal(write(content, name), approved_only=True))


def test_a_log_in_which_nothing_is_approved_is_refused_with_the_words_found(write: Write) -> None:
    message = str(refusal(write("prompt,status\na,pending\nb,pending\nc,\n"), approved_only=True))
    assert "'pending' (2)" in message
    assert "'blank' (1)" in message


# --- what is refused, with its line


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


# --- round trips

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
#: Begins as no bullet and no placeholder does; what looks broken or unfilled is let pass.
PROMPT = TEXT.map(lambda text: f"A pig {text}".strip())
THEME = TEXT.map(str.strip)


@given(
    rows=st.lists(st.tuples(PROMPT, THEME), min_size=1),
    separator=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig"]),
)
def test_what_a_spreadsheet_writes_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], separator: str, encoding: str
) -> None:
    path = tmp_path_factory.mktemp("trip") / "prompts.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(["index", "Prompt", "theme"])
        writer.writerows([number, prompt, theme] for number, (prompt, theme) in enumerate(rows))
    read = read_prompts(path, findings=Findings(lenient=REFUSED))
    assert [(row.prompt, row.theme or "") for row in read] == rows
    assert [row.index for row in read] == [str(number) for number in range(len(rows))]


@given(prompts=st.lists(PROMPT, min_size=1))
@pytest.mark.parametrize("escaped", [True, False])
def test_what_json_writes_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[str], *, escaped: bool
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    objects = [{"prompt": prompt} for prompt in prompts]
    array, lines = folder / "p.json", folder / "p.jsonl"
    array.write_text(json.dumps(objects, ensure_ascii=escaped, indent=1), encoding="utf-8")
    lines.write_text("\n".join(json.dumps(thing, ensure_ascii=escaped) for thing in objects), encoding="utf-8")
    assert [row.prompt for row in read_prompts(array, findings=Findings(lenient=REFUSED))] == prompts
    assert [row.prompt for row in read_prompts(lines, findings=Findings(lenient=REFUSED))] == prompts


@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: ("prompt\n" + text).encode())))
@pytest.mark.parametrize("ending", [".csv", ".txt", ".json", ".jsonl"])
def test_whatever_the_bytes_are_the_answer_is_rows_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, ending: str
) -> None:
    path = tmp_path_factory.mktemp("any") / f"prompts{ending}"
    path.write_bytes(content)
    try:
        rows = read_prompts(path)
    except BadInput as failure:
        assert "\n" not in str(failure)  # noqa: PT017 - either outcome is right, so neither can be demanded
    else:
        assert all(row.prompt.strip() for row in rows)
