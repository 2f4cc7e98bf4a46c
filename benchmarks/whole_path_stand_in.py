"""Serve predictions that are done at once, and their pictures: Replicate's wire as far as the benchmark needs it.

Independent of the product and of the sandbox, and written for speed: what it costs is nobody's figure. Every job gets a
file of its own: a drawn picture of 256 pixels with the job's number in a text chunk; a job whose name begins with
`slow` is never done. What a tracer sends is thrown away.
Run as a program, with the seconds that each answer takes; prints its port.
"""

import asyncio
import io
import itertools
import json
import random
import struct
import sys
import zlib
from collections.abc import Iterator

from PIL import Image, ImageDraw

_PICTURES = 256
_SIZE = 256
_numbers: Iterator[int] = itertools.count(1)


def picture(seed: int) -> bytes:
    """A PNG of coloured shapes on a gradient, unlike that of any other seed."""
    luck = random.Random(seed)
    image = Image.linear_gradient("L").resize((_SIZE, _SIZE)).rotate(luck.randrange(360)).convert("RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(24):
        x, y, size = luck.randrange(_SIZE), luck.randrange(_SIZE), luck.randrange(10, 90)
        colour = (luck.randrange(256), luck.randrange(256), luck.randrange(256))
        shape = draw.ellipse if luck.random() < 0.5 else draw.rectangle
        shape((x, y, x + size, y + size), fill=colour)
    written = io.BytesIO()
    image.save(written, "PNG", compress_level=1)
    return written.getvalue()


def named(content: bytes, name: str) -> bytes:
    """The same picture with `name` in a text chunk, so that no two files have the same digest."""
    body = b"tEXt" + b"Title\0" + name.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content[:-12] + chunk + content[-12:]


class StandIn:
    """Answers by path; keeps nothing but a counter."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._pictures = [picture(seed) for seed in range(_PICTURES)]

    async def serve(self) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, backlog=1024)
        self._base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        print(self._base, flush=True)
        async with server:
            await server.serve_forever()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *fields = head.split("\r\n")
                headers = {key.lower(): value.strip() for key, _, value in (one.partition(":") for one in fields)}
                if length := int(headers.get("content-length", "0")):
                    await reader.readexactly(length)
                method, path, _ = line.split(" ", 2)
                status, media_type, content = self._answer(method, path)
                await asyncio.sleep(self._latency_s)
                head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len(content)}\r\n\r\n"
                writer.write(head.encode() + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, method: str, path: str) -> tuple[str, str, bytes]:
        number = path.rpartition("/")[2].removesuffix(".png").removeprefix("job")
        if path == "/v1/traces":
            return "200 OK", "application/x-protobuf", b""
        if path.startswith("/replicate/files/"):
            return "200 OK", "image/png", named(self._pictures[int(number) % _PICTURES], number)
        if method == "POST" and path.endswith("/predictions"):
            return "201 Created", "application/json", self._prediction(f"job{next(_numbers)}", "starting")
        if method == "GET" and (number.isdecimal() or number.startswith("slow")):
            job, status = (f"job{number}", "succeeded") if number.isdecimal() else (number, "processing")
            return "200 OK", "application/json", self._prediction(job, status)
        if path.startswith("/_sandbox/files"):
            # Two references get one address: nobody reads them.
            return (
                "201 Created",
                "application/json",
                json.dumps({"url": f"{self._base}/replicate/files/0.png"}).encode(),
            )
        return "200 OK", "application/json", json.dumps({"results": [], "type": "user", "username": "bench"}).encode()

    def _prediction(self, job: str, status: str) -> bytes:
        output = [f"{self._base}/replicate/files/{job}.png"] if status == "succeeded" else None
        return json.dumps({"id": job, "status": status, "output": output, "metrics": {"predict_time": 0.0}}).encode()


if __name__ == "__main__":
    sys.exit(asyncio.run(StandIn(float(sys.argv[1])).serve()))
