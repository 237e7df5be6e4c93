"""Pictures of the dashboard for docs/dashboard: both widths, light and dark, small enough to keep.

Run by `make screenshots`.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).parents[1]))

from playwright.sync_api import Browser

from support import history
from support.browser import NARROW, WIDE, Tab, chromium
from support.daemon import Daemon

FOLDER = Path(__file__).parents[2] / "docs" / "dashboard"
COLOURS = 256
MAX_BYTES = 300_000
QUESTIONS = ("What does EAGAIN mean?", "Why is the sky blue?", "How do I undo a commit?", "What is a semaphore?")


def pixels(png: bytes) -> NDArray[np.uint8]:
    """Decodes a PNG of 8 bits a channel, as Chromium writes them.

    Args:
        png: The file.

    Returns:
        Rows of pixels of three channels.
    """
    place, data, head = 8, b"", (0, 0, 0, 0)
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        kind, chunk = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            head = struct.unpack(">IIBB", chunk[:10])
        elif kind == b"IDAT":
            data += chunk
        place += 12 + length
    width, height, _, colour = head
    depth = {2: 3, 6: 4}[colour]
    lines = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * depth)
    found = np.zeros((height, width * depth), np.uint8)
    above = np.zeros(width * depth, np.uint8)
    for number, line in enumerate(lines):
        above = found[number] = _unfiltered(int(line[0]), line[1:], above, depth)
    return found.reshape(height, width, depth)[:, :, :3]


def _unfiltered(how: int, line: NDArray[np.uint8], above: NDArray[np.uint8], depth: int) -> NDArray[np.uint8]:
    if how == 0:
        return line
    if how == 2:
        return line + above
    if how == 1:
        return np.cumsum(line.reshape(-1, depth), axis=0, dtype=np.uint8).reshape(-1)
    made = [0] * len(line)
    up = above.tolist()
    for place, value in enumerate(line.tolist()):
        left, corner = (made[place - depth], up[place - depth]) if place >= depth else (0, 0)
        made[place] = (value + ((left + up[place]) >> 1 if how == 3 else _paeth(left, up[place], corner))) & 255
    return np.array(made, np.uint8)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]


def small(png: bytes) -> bytes:
    """The same picture with at most 256 colours, each pixel in the nearest of them.

    Args:
        png: As Chromium writes it.
    """
    picture = pixels(png)
    height, width, _ = picture.shape
    codes = (picture.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(axis=2, dtype=np.uint32)
    known, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    every = _channels(known)
    some = _palette(every, np.argsort(-counts)[: COLOURS // 2])
    nearest = np.array([int(((some - one) ** 2).sum(axis=1).argmin()) for one in every], np.uint8)
    rows = nearest[inverse].reshape(height, width)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    palette = some.astype(np.uint8).tobytes()
    body = zlib.compress(lines, 9)
    chunks = {b"IHDR": head, b"PLTE": palette, b"IDAT": body, b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks.items())


def _palette(every: NDArray[np.int64], common: NDArray[np.int64]) -> NDArray[np.int64]:
    """The common colours, and then again and again the one that is furthest from all that were chosen."""
    chosen = [every[place] for place in common]
    away = np.min([((every - one) ** 2).sum(axis=1) for one in chosen], axis=0)
    while len(chosen) < min(COLOURS, len(every)):
        chosen.append(every[int(away.argmax())])
        away = np.minimum(away, ((every - chosen[-1]) ** 2).sum(axis=1))
    return np.array(chosen)


def _channels(codes: NDArray[np.uint32]) -> NDArray[np.int64]:
    return np.stack([codes >> 16 & 255, codes >> 8 & 255, codes & 255], axis=1).astype(np.int64)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def take(browser: Browser, daemon: Daemon, name: str, *, dark: bool, size: tuple[int, int], drawer: bool) -> None:
    """Takes one picture.

    Args:
        browser: The browser.
        daemon: Whose dashboard.
        name: Of the file.
        dark: In dark colours.
        size: Of the window.
        drawer: With one request opened; else the whole page.
    """
    with Tab(browser, daemon, dark=dark, size=size, reduced_motion="reduce") as tab:
        page = tab.open()
        page.wait_for_timeout(1500)
        if drawer:
            page.locator("#feed .row:has(.badge:text-is('miss'))").nth(5).click()
            page.wait_for_selector("#drawer [data-part=who]")
            page.wait_for_timeout(500)
        content = small(page.screenshot(full_page=not drawer))
    assert len(content) <= MAX_BYTES, f"{name} has {len(content)} bytes"
    (FOLDER / f"{name}.png").write_bytes(content)
    print(f"{name}.png {len(content) // 1000} kB")


def main() -> None:
    """Takes all pictures, of a daemon with a past."""
    FOLDER.mkdir(exist_ok=True)
    os.environ["BEAST_HTTP__PORT"] = "0"
    daemon = Daemon('[cache]\nsemantic = "off"\n')  # where the weights are is nobody's business
    history.write(daemon.home)
    with daemon, chromium() as browser:
        daemon.add("openai:gpt-4o", key="not-a-key")
        daemon.add("anthropic:claude-sonnet-4-5", key="not-a-key")
        daemon.add("custom:qwen", "http://127.0.0.1:8000/v1", price={"prompt": 0.2, "completion": 0.6})
        daemon.add("echo:echo", price={"prompt": 3.0, "completion": 15.0})
        for number, question in enumerate(QUESTIONS):
            for _ in range(6 - number):
                daemon.call("chat", {"message": question, "model": "echo:echo"})
        for dark in (False, True):
            for size in (WIDE, NARROW):
                name = f"{size[0]}-{'dark' if dark else 'light'}"
                take(browser, daemon, name, dark=dark, size=size, drawer=False)
        take(browser, daemon, "request-light", dark=False, size=WIDE, drawer=True)
        take(browser, daemon, "request-dark", dark=True, size=WIDE, drawer=True)


if __name__ == "__main__":
    main()
