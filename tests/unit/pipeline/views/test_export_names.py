"""Batches and themes are named freely; the folders and files of an export open on every system."""

import pytest

from pipeline.views.export import fit_name


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
