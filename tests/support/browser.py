"""A real browser that a test drives over its own protocol (Chrome DevTools), without a library of drivers.

Source: chromedevtools.github.io/devtools-protocol, 1.3.
"""

import asyncio
import itertools
import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tornado.websocket import WebSocketClientConnection, websocket_connect

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
    # Only the loopback, where the test listens, can be reached.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Browser:
    """One page of one browser; what its console says as an error is kept."""

    def __init__(self, connection: WebSocketClientConnection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.errors: list[str] = []

    async def listen(self) -> None:
        while True:
            message = await self._connection.read_message()
            if message is None:
                return
            said = json.loads(message)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif said["method"] == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(said["params"]["exceptionDetails"])[:500])
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.errors.append(said["params"]["entry"]["text"])

    async def _send(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._waiting[number] = self._loop.create_future()
        await self._connection.write_message(json.dumps({"id": number, "method": method, "params": params}))
        return await answer

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        said = asyncio.run_coroutine_threadsafe(self._send(method, params), self._loop).result(timeout=60)
        assert "error" not in said, (method, said["error"])
        result: dict[str, Any] = said["result"]
        return result

    def goto(self, url: str) -> None:
        self.send("Page.navigate", url=url)
        self.until("document.readyState === 'complete'", what=url)

    def js(self, expression: str) -> Any:
        said = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def until(self, expression: str, *, what: str, timeout_s: float = 60) -> Any:
        """The value of `expression` as soon as it is one that counts as true."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                found = self.js(expression)
            except AssertionError:
                found = None  # the page is being exchanged
            if found:
                return found
            assert time.monotonic() < deadline, (
                f"waited in vain for {what}: {self.js('document.body.innerText')[:2000]}"
            )
            time.sleep(0.1)

    def choose_file(self, selector: str, path: Path) -> None:
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def size(self, width: int, height: int = 900, *, scheme: str = "light") -> None:
        phone = width < 600
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a profile in `folder`; without one installed the test fails and says so."""
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    assert program, f"no browser is installed; one of {', '.join(BROWSERS)} is needed"
    process = subprocess.Popen(
        [program, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        connection = asyncio.run_coroutine_threadsafe(_connect(_address(folder)), loop).result(timeout=60)
        page = Browser(connection, loop)
        listening = asyncio.run_coroutine_threadsafe(page.listen(), loop)
        for domain in ("Page", "Runtime", "Log", "DOM"):
            page.send(f"{domain}.enable")
        yield page
        loop.call_soon_threadsafe(connection.close)
        listening.result(timeout=20)
    finally:
        process.terminate()
        process.wait(timeout=30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=20)
        loop.close()


async def _connect(address: str) -> WebSocketClientConnection:
    return await websocket_connect(address, max_message_size=64 * 2**20)


def _address(folder: Path) -> str:
    """Where the first page of the browser takes commands, once it says so."""
    deadline = time.monotonic() + 60
    while True:
        try:
            port = (folder / "DevToolsActivePort").read_text().splitlines()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as reply:
                pages = [one for one in json.load(reply) if one["type"] == "page"]
            return str(pages[0]["webSocketDebuggerUrl"])
        except (OSError, IndexError):
            assert time.monotonic() < deadline, "the browser did not start"
            time.sleep(0.2)
