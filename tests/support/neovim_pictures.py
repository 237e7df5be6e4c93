"""Pictures of Neovim with the plugin for docs/editors: what is on its screen, drawn by Chromium.

Run by `make screenshots`.
"""

from __future__ import annotations

import html
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from playwright.sync_api import Browser

from support import neovim
from support.browser import chromium
from support.coding_provider import told
from support.daemon import Daemon
from support.neovim_screen import Look, Screen, watch
from support.pictures import small
from support.told_provider import ToldProvider
from support.tracked import ROOT

FOLDER = ROOT / "docs" / "editors"
SCRIPT = ROOT / "tests" / "editors" / "picture.lua"
MAX_BYTES = 200_000
MODEL = "custom:qwen"
SETTINGS = f'[cache]\nsemantic = "off"\n[routing]\ndefault_model = "{MODEL}"\n'
SIZE = (126, 40)
FILE = '''"""Books on a shelf, found by their title."""


class Shelf:
    def __init__(self):
        self.books = []

    def add(self, title, author):
        self.books.append((title, author))

    def find(self, title):
        found = None
        for book in self.books:
            if book[0] == title and found is None:
                found = book
        return found

    def remove(self, title):
        book = self.find(title)
        if book is not None:
            self.books.remove(book)
'''
SLOW = """`find` looks at **every** book, even after it has found one: `found is None` keeps the result, not the time.

1. Leave the loop at the first match.
2. Better, keep a `dict` from title to book: one lookup, however long the shelf is.

```python
def find(self, title):
    return self.by_title.get(title)
```
"""
REMOVED = """`remove` pays twice: `find` walks the list, then `list.remove` walks it again. With the `dict`:

```python
def remove(self, title):
    self.by_title.pop(title, None)
```
"""
EARLY = """```python
    def find(self, title):
        for book in self.books:
            if book[0] == title:
                return book
        return None
```
"""


class PictureProvider(ToldProvider):
    """Says what belongs into the picture."""

    async def _chat(self, request: Any) -> Any:
        _, asked = told(await request.json())
        self.says = REMOVED if "removed" in asked else EARLY if "return early" in asked else SLOW
        return await super()._chat(request)


def take(browser: Browser, daemon: Daemon, scene: str) -> None:
    """Takes one picture.

    Args:
        browser: Draws it.
        daemon: Answers.
        scene: Of picture.lua.
    """
    with tempfile.TemporaryDirectory(prefix="shelf-") as folder:
        workspace = Path(folder)
        (workspace / ".git").mkdir()
        (workspace / "sample.py").write_text(FILE)
        more = {"BEAST_HOME": str(daemon.home), "WORKSPACE": folder, "SCENE": scene}
        start = ["--cmd", f"set runtimepath^={neovim.PLUGIN}", "-c", f"luafile {SCRIPT}"]
        command = [neovim.program(), *neovim.CLEAN, *start]
        screen = watch(command, neovim.environ(workspace / "home", **more), folder, SIZE)
        page = browser.new_page(viewport={"width": 200, "height": 200}, device_scale_factor=1.5)
        page.set_content(page_of(screen))
        content = small(page.locator("pre").screenshot())
        page.close()
    assert len(content) <= MAX_BYTES, f"{scene} has {len(content)} bytes"
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"neovim-{scene}.png").write_bytes(content)
    print(f"neovim-{scene}.png {len(content) // 1000} kB")


def page_of(screen: Screen) -> str:
    """The screen as a page.

    Args:
        screen: What Neovim has drawn.
    """
    ink, paper = (f"#{colour:06x}" for colour in screen.colours)
    rows = [[(text, style_of(look, ink, paper)) for text, look in row] for row in screen.cells()]
    row, column = screen.cursor
    text, _ = rows[row][column]
    rows[row][column] = (text or " ", f"color:{paper};background:{ink}")
    style = (
        f"pre {{ display: inline-block; margin: 0; padding: 10px 12px; background: {paper}; color: {ink}; "
        "font: 13px/18px 'DejaVu Sans Mono', monospace; } "
        "i { font-style: normal; display: inline-block; height: 18px; }"
    )
    lines = "\n".join(line_of(cells) for cells in rows)
    return f"<!doctype html><meta charset=utf-8><style>body {{ margin: 0 }} {style}</style><pre>{lines}</pre>"


def line_of(cells: list[tuple[str, str]]) -> str:
    """A row, with one element for neighbours that look alike."""
    parts: list[tuple[str, str]] = []
    for text, style in cells:
        if parts and parts[-1][0] == style:
            parts[-1] = (style, parts[-1][1] + text)
        else:
            parts.append((style, text))
    return "".join(f'<i style="{style}">{html.escape(text)}</i>' for style, text in parts)


def style_of(look: Look, ink: str, paper: str) -> str:
    """Attributes of a cell as CSS."""
    front = f"#{look['foreground']:06x}" if "foreground" in look else ink
    back = f"#{look['background']:06x}" if "background" in look else paper
    if look.get("reverse"):
        front, back = back, front
    found = [f"color:{front}", f"background:{back}"]
    found += ["font-weight:bold"] * bool(look.get("bold")) + ["font-style:italic"] * bool(look.get("italic"))
    found += ["text-decoration:underline"] * bool(look.get("underline"))
    return ";".join(found)


def main() -> None:
    """Takes all pictures."""
    os.environ["BEAST_HTTP__PORT"] = "0"
    with (
        PictureProvider() as provider,
        Daemon(SETTINGS, {"BEAST_LSP__ENABLED": "true"}) as daemon,
        chromium() as browser,
    ):
        daemon.add(MODEL, f"{provider.url}/v1", price={"prompt": 2.0, "completion": 8.0})
        for scene in sys.argv[1:] or ("chat", "preview"):
            take(browser, daemon, scene)


if __name__ == "__main__":
    main()
