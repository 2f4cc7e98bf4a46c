"""No page has a barrier that axe-core calls serious, light or dark, and all of them can be used without a mouse."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.support.accessibility import serious_barriers
from tests.support.api_server import ApiServer
from tests.support.browser import Browser, browser

TAB = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
ENTER = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
ESCAPE = {"key": "Escape", "code": "Escape", "windowsVirtualKeyCode": 27}


PAGES = ("analytics", "characters", "lanes", "nothing-here")


def sign_in(api: ApiServer, page: Browser) -> None:
    page.goto(f"{api.base}/#key={api.key()}")
    page.until("document.querySelector('.brand') !== null", what="the sign-in by a key in the address")


def press(page: Browser, key: dict[str, object]) -> None:
    page.send("Input.dispatchKeyEvent", type="keyDown", **key)
    page.send("Input.dispatchKeyEvent", type="keyUp", **{name: key[name] for name in key if name != "text"})


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path / "profile") as opened:
        yield opened


@pytest.fixture
def batch_page(api: ApiServer) -> str:
    """A batch with a character's thresholds, a picture, a failure, and something that a person did."""
    face = io.BytesIO()
    Image.new("RGB", (40, 40), "pink").save(face, "PNG")
    http = api.as_()
    http.post("/api/characters", data={"name": "lulu"}, files=[("references", ("a.png", face.getvalue(), "image/png"))])
    made = http.post("/api/batches", json={"name": "seen", "prompts": ["a pig", "a pig " * 60]}).json()
    api.work()
    http.post(f"{made['statusUrl']}/pause", json={"reason": "lunch"})
    api.books.sql("UPDATE batches SET character_id = (SELECT id FROM characters)")
    api.books.sql("UPDATE lanes SET closed_until = now() + interval '1 hour', reason = 'no money', last_error = 'no'")
    api.books.sql("UPDATE lanes SET last_error_at = now()")
    return f"{api.base}/batches/{made['id']}"


def test_no_page_has_a_serious_barrier(api: ApiServer, page: Browser, batch_page: str) -> None:
    found = {}
    for scheme in ("light", "dark"):
        page.size(1440, scheme=scheme)
        page.send("Network.clearBrowserCookies")
        page.goto(f"{api.base}/lanes")
        found[f"the sign-in in {scheme}"] = serious_barriers(page)
        sign_in(api, page)
        for address in (api.base, batch_page, *(f"{api.base}/{one}" for one in PAGES)):
            page.goto(address)
            found[f"{address} in {scheme}"] = serious_barriers(page)
        page.goto(batch_page)
        page.js("document.querySelector('[data-full]').click()")
        found[f"a picture in {scheme}"] = serious_barriers(page)
    assert {where: barriers for where, barriers in found.items() if barriers} == {}


def test_a_keyboard_reaches_what_a_mouse_does(api: ApiServer, page: Browser, batch_page: str) -> None:
    sign_in(api, page)
    page.goto(batch_page)
    press(page, TAB)
    assert page.js("document.activeElement.className") == "skip", "the first stop skips the navigation"
    press(page, ENTER)
    assert page.js("location.hash") == "#main"
    reached = set()
    for _ in range(60):
        press(page, TAB)
        reached.add(page.js("(document.activeElement.innerText || document.activeElement.name || '').trim()"))
        if "Report" in reached and "All 2" in {" ".join(one.split()) for one in reached}:
            break
    assert {"All 2", "max_cost_usd", "Set", "Report"} <= {" ".join(one.split()) for one in reached}
    page.js("document.querySelector('[data-full]').focus()")
    press(page, ENTER)
    page.until("document.querySelector('#enlarged').open", what="the picture")
    press(page, ESCAPE)
    page.until("!document.querySelector('#enlarged').open", what="the end of it")
    assert page.js("document.activeElement.matches('[data-full]')"), "the focus is where it was"
