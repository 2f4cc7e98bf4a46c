"""The contact sheet in a real browser: it loads, fetches nothing, shows every picture, and its filters work."""

import json
import os
import re
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from domain.states import GenerationState as S
from reports.cards import MOST_ON_ONE_PAGE
from reports.contact_sheet import write_report
from reports.records import AssetLine, GenerationLine, Picture, Report

BEGAN = datetime(2026, 11, 21, 14, 3, tzinfo=UTC)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--enable-logging=stderr",
    # The browser itself telephones home; only the loopback, where the test listens, can be reached.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Seen:
    """A page after loading: the attributes of its root, its cards, and what the console said."""

    def __init__(self, dom: str, log: str) -> None:
        self.dom = dom
        self.console = re.findall(r"CONSOLE.*", log)
        root = re.search(r"<html[^>]*>", dom)
        assert root, f"no page came: {log[-2000:]}"
        self.root = dict(re.findall(r'data-([a-z]+)="([^"]*)"', root[0]))
        self.scripted = "scripted" in root[0]
        cards = re.findall(r"<article[^>]*>", dom)
        self.visible = [int(re.findall(r'data-position="(\d+)"', card)[0]) for card in cards if " hidden" not in card]


See = Callable[..., Seen]


@pytest.fixture
def see(tmp_path: Path) -> See:
    programs = [found for name in BROWSERS if (found := shutil.which(name))]
    if not programs:
        reason = "no Chromium on this machine"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)

    def see(page: Path, *more: str, at: str = "") -> Seen:
        command = [
            programs[0],
            *OPTIONS,
            f"--user-data-dir={tmp_path / 'profile'}",
            *more,
            "--dump-dom",
            page.as_uri() + at,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
        return Seen(done.stdout, done.stderr)

    return see


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server's address, and the paths that it was asked for."""
    paths: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def page(tmp_path: Path, asked: tuple[str, list[str]]) -> Path:
    address, _ = asked
    picture = tmp_path / "picture.png"
    Image.linear_gradient("L").resize((512, 512)).convert("RGB").save(picture)
    nasty = (
        f'"><script src={address}/script></script><img src={address}/image onerror=alert(1)> שלום 🐷 ' + "long" * 400
    )

    def asset(core: float, position: int, path: Path | None = picture) -> AssetLine:
        return AssetLine(
            position=position,
            path=path,
            url=f"{address}/original",
            width=512,
            height=512,
            best=position == 0,
            core=core,
            core_threshold=0.75,
            style=0.7,
            style_threshold=0.6,
            passed=core >= 0.75,
        )

    def line(position: int, state: S, *, theme: str, core: float | None = None) -> GenerationLine:
        assets = [] if core is None else [asset(core, 0), asset(core - 0.1, 1), asset(core - 0.2, 2, None)]
        return GenerationLine(position=position, prompt=nasty, theme=theme, variation=nasty, state=state, assets=assets)

    generations = [
        line(0, S.COMPLETED, theme="Sea & <b>sand</b>", core=0.9),
        line(1, S.REJECTED, theme="Snow", core=0.7),
        line(2, S.FAILED, theme="Snow"),
        line(3, S.REJECTED, theme="Sea & <b>sand</b>", core=0.6),
        line(4, S.COMPLETED, theme="Snow", core=0.8),
        line(5, S.QUEUED, theme="Snow"),
    ]
    report = Report(
        batch_id="b",
        name="lulu-pig",
        title=nasty,
        created_at=BEGAN,
        wall_s=60,
        character="Lulu",
        references=[Picture(path=picture, label="Reference")],
        counts={"completed": 2, "rejected": 2, "failed": 1, "queued": 1},
        total=6,
        accepted=2,
        charged_usd=Decimal("0.16"),
        limit_usd=Decimal(1),
        generations=generations,
        spend=[(BEGAN + timedelta(seconds=5), Decimal("0.16"))],
    )
    path = tmp_path / "report.html"
    write_report(report, path)
    return path


def _report(lines: list[GenerationLine]) -> Report:
    counts = Counter(str(line.state) for line in lines)
    return Report(
        batch_id="b",
        name="lulu-pig",
        title="lulu-pig",
        created_at=BEGAN,
        wall_s=60,
        character="Lulu",
        counts=counts,
        total=len(lines),
        accepted=counts["completed"],
        charged_usd=Decimal("0.16"),
        generations=lines,
    )


def with_script(page: Path, script: str) -> Path:
    """A copy of `page` in which a person's actions are played; its own policy forbids every script but its own."""
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    copy = page.with_name("played.html")
    copy.write_text(html.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    return copy


def test_the_page_loads_without_a_complaint_and_every_picture_decodes(see: See, page: Path) -> None:
    seen = see(page)
    assert seen.console == []
    assert seen.root["pictures"] == "9"  # one reference, and two of each four-card attempt that are on this machine
    assert seen.root["broken"] == "0"
    assert seen.visible == [2, 3, 1, 4, 0]


def test_the_page_asks_nobody_for_anything(see: See, page: Path, asked: tuple[str, list[str]]) -> None:
    address, paths = asked
    control = page.with_name("control.html")
    control.write_text(f"<!doctype html><html><img src='{address}/control'></html>")
    see(control)
    assert paths == ["/control"]  # a request would be noticed
    assert see(page).root["requests"] == "0"
    assert paths == ["/control"]


def test_an_address_chooses_what_is_shown(see: See, page: Path) -> None:
    seen = see(page, at="#rejected&order=file")
    assert seen.visible == [1, 3]
    assert seen.root["shown"] == "2"
    assert seen.console == []


def test_a_changed_address_changes_what_is_shown(see: See, page: Path) -> None:
    addresses = {
        "#accepted": [4, 0],
        "#rejected": [3, 1],
        "#failed": [2],
        "#all&order=file": [0, 1, 2, 3, 4],
        "#rejected&theme=Snow": [1],
        "#all&theme=Sea+%26+%3Cb%3Esand%3C%2Fb%3E&order=best": [0, 3],
        "#canceled": [2, 3, 1, 4, 0],
        '#"]<b>': [2, 3, 1, 4, 0],
        "#%E0%A4%A": [2, 3, 1, 4, 0],
        "": [2, 3, 1, 4, 0],
    }
    visit = """
      const visible = [];
      for (const address of ADDRESSES) {
        history.replaceState(null, "", address || location.pathname);
        dispatchEvent(new Event("hashchange"));
        visible.push([...document.querySelectorAll("article:not([hidden])")].map((card) => +card.dataset.position));
      }
      document.documentElement.dataset.visible = JSON.stringify(visible);
    """
    seen = see(with_script(page, visit.replace("ADDRESSES", json.dumps(list(addresses)).replace("<", "\\u003c"))))
    assert json.loads(seen.root["visible"]) == list(addresses.values())
    assert seen.console == []


def test_the_buttons_and_the_lists_choose_what_is_shown(see: See, page: Path) -> None:
    clicks = """
      document.querySelector("[data-show=rejected]").click();
      const order = document.querySelector("select[name=order]");
      order.value = "file";
      order.dispatchEvent(new Event("change", { bubbles: true }));
      document.querySelector("article[data-position='1'] button.picture.small").click();
      document.documentElement.dataset.open = document.querySelector("dialog").open;
      document.documentElement.dataset.address = location.hash;
    """
    seen = see(with_script(page, clicks))
    assert seen.visible == [1, 3]
    assert seen.root["open"] == "true"
    assert seen.root["address"] == "#rejected&amp;order=file"
    assert 'data-show="rejected" aria-pressed="true"' in seen.dom


def test_every_filter_is_driven_alone_and_with_the_others(see: See, tmp_path: Path) -> None:
    def line(position: int, state: S, theme: str, core: float | None, *characters: str) -> GenerationLine:
        passed = state is S.COMPLETED
        shown = AssetLine(
            position=0, url="https://a.example/p.png", best=True, core=core, core_threshold=0.7, passed=passed
        )
        return GenerationLine(
            position=position,
            prompt="p",
            theme=theme,
            state=state,
            characters=characters,
            assets=[] if core is None else [shown],
        )

    lines = [
        line(0, S.COMPLETED, "Sea", 0.9, "Lulu"),
        line(1, S.COMPLETED, "Snow", 0.8, "Lulu", "Ann"),
        line(2, S.REJECTED, "Sea", 0.6, "Ann"),
        line(3, S.REJECTED, "Snow", 0.5, "Lulu"),
        line(4, S.FAILED, "Sea", None, "Ann"),
    ]
    page = tmp_path / "report.html"
    write_report(_report(lines), page)
    steps: list[tuple[dict[str, str], list[int]]] = [
        ({"theme": "Sea"}, [0, 2, 4]),
        ({"character": "Ann"}, [2, 4]),
        ({"theme": ""}, [1, 2, 4]),
        ({"low": "0.55"}, [1, 2]),
        ({"high": "0.75"}, [2]),
        ({"character": ""}, [2]),
        ({"low": ""}, [2, 3]),
        ({"show": "accepted"}, []),
        ({"high": "0.8"}, [1]),
        ({"show": "failed", "high": ""}, [4]),
        ({"show": "all"}, [0, 1, 2, 3, 4]),
    ]
    drive = """
      const told = [];
      for (const step of STEPS) {
        for (const [name, value] of Object.entries(step)) {
          if (name === "show") { document.querySelector(`[data-show=${value}]`).click(); continue; }
          const field = document.querySelector(`.bar [name=${name}]`);
          field.value = value;
          field.dispatchEvent(new Event("change", { bubbles: true }));
        }
        told.push([...document.querySelectorAll("article:not([hidden])")].map((card) => +card.dataset.position).sort());
      }
      document.documentElement.dataset.told = JSON.stringify(told);
    """
    seen = see(with_script(page, drive.replace("STEPS", json.dumps([step for step, _ in steps]))))
    assert seen.console == []
    assert json.loads(seen.root["told"]) == [wanted for _, wanted in steps]


def test_hostile_prompts_are_harmless_where_cards_are_made_later(
    see: See, tmp_path: Path, asked: tuple[str, list[str]]
) -> None:
    address, paths = asked
    hostile = [
        f"</script><script src={address}/script></script><img src={address}/image onerror=alert(1)>",
        "\u202eright to left\u202c שלום עולם",
        "ten kilobytes " + "x" * 10_000,
        f'=HYPERLINK("{address}/formula")',
        "<!--<script>",
    ]
    number = MOST_ON_ONE_PAGE + 1
    lines = [
        GenerationLine(
            position=at, prompt=hostile[at % len(hostile)], theme=hostile[at % len(hostile)][:300], state=S.FAILED
        )
        for at in range(number)
    ]
    page = tmp_path / "report.html"
    write_report(_report(lines), page)
    made = """
      dispatchEvent(new Event("beforeprint"));
      const cards = [...document.querySelectorAll("article")];
      document.documentElement.dataset.cards = cards.length;
      document.documentElement.dataset.verbatim =
        PROMPTS.every((one) => cards.some((card) => card.textContent.includes(one)));
    """
    seen = see(
        with_script(page, made.replace("PROMPTS", json.dumps(hostile).replace("<", "\\u003c"))), "--window-size=360,900"
    )
    assert (seen.root["cards"], seen.root["verbatim"]) == (str(number), "true")
    assert (seen.console, paths, seen.root["overflow"]) == ([], [], "0")


def test_without_script_everything_is_shown(see: See, page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    page.write_text(re.sub(r"script-src '[^']*'", "script-src 'none'", html), encoding="utf-8")
    seen = see(page, at="#rejected")
    assert not seen.scripted
    assert seen.visible == [2, 3, 1, 4, 0]


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_is_wider_than_the_window(see: See, page: Path, width: int) -> None:
    assert see(page, f"--window-size={width},900").root["overflow"] == "0"
