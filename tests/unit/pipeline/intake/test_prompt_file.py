"""What a prompt file may look like, and the one sentence that each unusable one gets."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from pipeline.intake.findings import REFUSED, Findings
from pipeline.intake.prompt_file import read_prompts
from tests.support.prompt_files import Write, refusal


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
