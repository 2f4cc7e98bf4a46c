"""Names of exported pictures: any theme on any system, no two the same, and the same again at the next export."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from pipeline.views.export_names import DEFAULT_TEMPLATE, FIELDS, ExportNames, fit_name


def row(number: int, theme: str = "", variation: str = "", **more: str) -> dict[str, str]:
    fields = dict.fromkeys(FIELDS, "") | {"batch": "farm", "row": f"{number:04d}", "id": f"id{number}"}
    return {**fields, "theme": theme, "variation": variation, **more}


def paths(template: str, *rows: dict[str, str], picture: str | None = None) -> list[str]:
    names = ExportNames(template, rows)
    return [str(names.path(one, picture)) for one in rows]


def test_the_default_is_a_folder_per_theme_and_variation() -> None:
    assert paths(DEFAULT_TEMPLATE, row(0, "beach", "dawn"), row(1, "beach"), row(2)) == [
        "beach/dawn/farm-0000",
        "beach/farm-0001",
        "farm-0002",
    ]


def test_a_template_names_by_theme_and_variation_and_leaves_out_what_is_empty() -> None:
    template = "{theme}_{variation}_{row}"
    assert paths(template, row(3, "beach", "dawn"), row(4, "beach"), row(5)) == [
        "beach_dawn_0003",
        "beach_0004",
        "0005",
    ]
    assert paths("{theme}", row(0)) == ["unnamed"]


def test_pictures_of_one_name_are_told_apart_by_their_row_however_many_are_accepted() -> None:
    every = [row(0, "Beach"), row(1, "beach"), row(2, "snow")]
    assert paths("{theme}", *every) == ["Beach-0000", "beach-0001", "snow"], "case tells nothing apart on some systems"
    assert str(ExportNames("{theme}", every).path(every[1])) == "beach-0001", "the same while row 0 is not accepted"
    assert paths("{theme}", row(0, "a-0001"), row(1, "a"), row(2, "a"), row(3, "A-0001")) == [
        "a-0001-0000",
        "a-0001",
        "a-0002",
        "A-0001-0003",
    ]
    assert paths("{theme}", row(0, "a-0001"), row(1, "a"), row(2, "a")) == ["a-0001", "a-0001-id1", "a-0002"]


def test_several_pictures_of_a_generation_have_their_number() -> None:
    assert paths("{theme}", row(0, "a"), picture="2.1") == ["a-2.1"]
    assert paths("{picture}/{theme}", row(0, "a"), picture="2.1") == ["2.1/a"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CON", "CON-"),
        ("con.png", "con-.png"),
        ("../../etc/passwd", "etc-passwd"),
        ("a/b\\c:d", "a-b-c-d"),
        (".hidden", "hidden"),
        ("trailing. ", "trailing"),
        ("☠️", "unnamed"),
        ("Ferkel über Öl", "Ferkel-über-Öl"),
    ],
)
def test_a_name_is_safe_on_any_system(text: str, name: str) -> None:
    assert fit_name(text) == name


@given(theme=st.text(max_size=400), variation=st.text(max_size=400))
def test_any_theme_is_a_name(theme: str, variation: str) -> None:
    for template in (DEFAULT_TEMPLATE, "{theme}_{variation}", "{variation}"):
        (path,) = paths(template, row(0, theme, variation))
        for part in path.split("/"):
            assert part not in {"", ".", ".."}
            assert len(part.encode()) <= 200
            assert not set(part) & set('<>:"\\|?*\0')


@pytest.mark.parametrize("template", ["{nobody}", "{row!r}", "{row:04d}", "{theme", "{theme}/", "", "{0}", "{row.x}"])
def test_a_template_that_cannot_be_used_is_refused(template: str) -> None:
    with pytest.raises(BadInput, match="template"):
        ExportNames(template, [])


@pytest.mark.parametrize("device", ["CON", "nul", "Aux", "PRN", "com1", "COM0", "LPT9", "com¹"])
def test_a_device_of_windows_is_no_name(device: str) -> None:
    assert fit_name(device) == f"{device}-"
    assert fit_name(f"{device}.theme") == f"{device}-.theme", "an ending makes it no other device"
    assert fit_name(f" {device}. ") == f"{device}-"


@pytest.mark.parametrize("name", ["CONTENT", "nullarbor", "console", "aux-sea", "com10", "lpt", "sea.con"])
def test_a_name_that_only_looks_like_a_device_stays(name: str) -> None:
    assert fit_name(name) == name


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("../../etc", "etc"),
        ("sea/side", "sea-side"),
        ("a:b|c", "a-b-c"),
        (".hidden", "hidden"),
        ("海", "海"),
        ("?", "unnamed"),
    ],
)
def test_a_name_has_no_separator_and_is_not_hidden(name: str, fit: str) -> None:
    assert fit_name(name) == fit
