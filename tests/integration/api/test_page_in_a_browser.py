"""The page in a real browser: a file is chosen, pictures arrive, the batch is steered, and nothing complains."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api_server import ApiServer
from tests.support.browser import Browser, browser


@pytest.fixture
def page(api: ApiServer, tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path / "profile") as opened:
        opened.goto(f"{api.base}/#key={api.key()}")
        opened.until("document.querySelector('.brand') !== null", what="the sign-in by a key in the address")
        # The browser itself says so where the sign-in page answers 401.
        opened.errors.clear()
        yield opened


def test_a_file_becomes_pictures_under_a_persons_eyes(api: ApiServer, page: Browser, tmp_path: Path) -> None:
    prompts = tmp_path / "autumn walk.csv"
    prompts.write_text("theme,prompt\n" + "".join(f"rain,a pig with umbrella {n}\n" for n in range(6)))
    assert page.js("location.hash") == "", "the key left the address"
    page.choose_file("#file", prompts)
    page.until("document.querySelector('.price b')?.textContent.includes('6 new prompts') === true", what="the price")
    page.js("document.querySelector('#new [name=maxCostUsd]').value = '0.30'")
    page.js("document.querySelector('#new .primary').click()")
    page.until("location.pathname.startsWith('/batches/')", what="the batch")
    page.until("document.querySelectorAll('[data-card]').length === 6", what="the cards")
    page.until("document.querySelector('#bar [data-show=unfinished]') !== null", what="the filters")
    worker = threading.Thread(target=api.work)
    worker.start()
    page.until("document.querySelectorAll('[data-end=accepted] .picture.large img').length === 2", what="two pictures")
    worker.join()
    page.until("document.body.innerText.includes('the budget is used up')", what="the stop")
    page.js("document.querySelector('[name=max_cost_usd]').value = '5'")
    page.js("document.querySelector('form[action$=\"/budget\"] button').click()")
    page.until("!document.body.innerText.includes('the budget is used up')", what="another budget")
    api.work()
    page.until("document.querySelectorAll('[data-end=accepted]').length === 6", what="all six")
    page.js("document.querySelector('[data-card] [value=heart]').click()")
    page.until("document.querySelector('[data-card] [value=heart]').ariaPressed === 'true'", what="the word")
    page.js("document.querySelector('[name=find]').value = 'umbrella 3'")
    page.js("document.querySelector('[name=find]').dispatchEvent(new Event('input', {bubbles: true}))")
    assert page.js("[...document.querySelectorAll('[data-card]')].filter((one) => !one.hidden).length") == 1
    for path, words in (("/analytics", "Cost per accepted picture"), ("/lanes", "replicate"), ("/", "autumn walk")):
        page.goto(f"{api.base}{path}")
        assert words in page.js("document.body.innerText")
    assert page.errors == []


def test_no_page_is_wider_than_its_window(api: ApiServer, page: Browser) -> None:
    made = api.generate("a pig " * 200)
    api.work()
    for width in (390, 1440):
        for scheme in ("light", "dark"):
            page.size(width, scheme=scheme)
            for path in ("/", f"/batches/{made['batchId']}", "/analytics", "/lanes", "/characters"):
                page.goto(f"{api.base}{path}")
                over = page.js("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert over <= 0, (path, width, scheme)
    assert page.errors == []


def test_keys_move_through_the_cards(api: ApiServer, page: Browser) -> None:
    made = api.as_().post("/api/batches", json={"name": "keys", "prompts": ["a pig", "a cow"]}).json()
    api.work()
    page.goto(f"{api.base}/batches/{made['id']}")
    for key, at in (("j", 0), ("j", 1), ("k", 0)):
        page.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        focused = "[...document.querySelectorAll('[data-card]')].indexOf(document.activeElement)"
        assert page.js(focused) == at
    page.send("Input.dispatchKeyEvent", type="keyDown", key="4", text="4")
    stars = "document.querySelectorAll('[data-card] .stars [aria-pressed=true]').length"
    page.until(f"{stars} === 4", what="four stars")
