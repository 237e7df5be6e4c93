"""Pictures of VS Code for docs/editors: the chat, a diff before it is applied, the status bar.

Run as `.venv/bin/python -P tests/support/vscode_pictures.py`, after `.ci/setup clients`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from support.browser import chromium
from support.code_server import code_server, pack
from support.daemon import Daemon
from support.pictures import MAX_BYTES, small
from support.told_provider import ToldProvider
from support.vscode_window import Window, window

FOLDER = Path(__file__).parents[2] / "docs" / "editors"
SIZE = (1280, 720)
MODEL = "custom:qwen"
SETTINGS = f'[cache]\nsemantic = "off"\n[routing]\ndefault_model = "{MODEL}"\n'
FILE = '''"""A shelf of books, sorted by title."""

from bisect import bisect_left, insort


class Shelf:
    def __init__(self, titles=()):
        self._titles = sorted(titles)

    def add(self, title):
        insort(self._titles, title)

    def find(self, title):
        place = bisect_left(self._titles, title)
        if place < len(self._titles) and self._titles[place] == title:
            return place
        return None

    def between(self, first, last):
        return [t for t in self._titles if first <= t <= last]
'''
FASTER = """        start = bisect_left(self._titles, first)
        end = bisect_right(self._titles, last)
        return self._titles[start:end]"""
ANSWER = f"""`between` looks at **every** title, so it takes time in proportion to the shelf. The titles are sorted, so
two binary searches find both ends:

```python
    def between(self, first, last):
{FASTER}
```

- `bisect_left` gives the first title that is not before `first`,
- `bisect_right` the place after the last one that is not behind `last`.

Import `bisect_right` beside the other two."""
REWRITTEN = f"""```python
    def between(self, first, last):
        \"\"\"Titles from first to last, both included.\"\"\"
{FASTER}
```"""
QUESTION = "Can between() be faster?"


def keep(opened: Window, name: str) -> None:
    """Takes a picture of the window, and keeps it small.

    Args:
        opened: The window.
        name: Of the file.
    """
    content = small(opened.page.screenshot())
    assert len(content) <= MAX_BYTES, f"{name} has {len(content)} bytes"
    (FOLDER / f"{name}.png").write_bytes(content)
    print(f"{name}.png {len(content) // 1000} kB")


def chat(opened: Window) -> None:
    """A question, and the same again in another chat: from the cache."""
    opened.open_file("shelf.py")
    opened.select_lines(19, 20)
    for _ in range(2):
        opened.open_chat()
        opened.new_chat()
        opened.chat.locator("#attach").check()
        opened.ask(QUESTION)
        opened.answered()
    widen(opened)
    opened.page.wait_for_timeout(6000)  # until the status has come
    keep(opened, "vscode-chat")


def widen(opened: Window) -> None:
    """Gives the side bar more room, by its edge."""
    side = opened.page.locator(".part.sidebar").bounding_box()
    assert side
    edge, middle = side["x"] + side["width"], side["y"] + side["height"] / 2
    opened.page.mouse.move(edge, middle)
    opened.page.mouse.down()
    opened.page.mouse.move(edge + 140, middle, steps=5)
    opened.page.mouse.up()
    opened.page.mouse.move(edge + 400, middle)


def preview(opened: Window) -> None:
    """An edit, before it is applied."""
    opened.open_file("shelf.py")
    opened.select_lines(19, 20)
    opened.run("BEAST MODE: Refactor")
    opened.answer("two binary searches")
    opened.tab("BEAST: Refactor").wait_for()
    opened.notification("BEAST: Refactor").wait_for()
    opened.page.wait_for_timeout(1000)
    keep(opened, "vscode-preview")
    opened.run("BEAST MODE: Discard This Edit")
    opened.tab("shelf.py").wait_for()
    opened.page.wait_for_timeout(2000)


def status(opened: Window) -> None:
    """What the status bar tells of today."""
    opened.status.hover()
    opened.page.locator(".workbench-hover-container", has_text="From the cache").wait_for()
    opened.page.wait_for_timeout(800)
    keep(opened, "vscode-status")


def main() -> None:
    """Takes all pictures."""
    os.environ["BEAST_HTTP__PORT"] = "0"
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as name,
        ToldProvider() as provider,
        Daemon(SETTINGS, {"BEAST_LSP__ENABLED": "true"}) as daemon,
        chromium() as browser,
    ):
        daemon.add(MODEL, f"{provider.url}/v1", key="not-a-key", price={"prompt": 0.8, "completion": 2.4})
        workspace = Path(name) / "library"
        (workspace / ".vscode").mkdir(parents=True)
        (workspace / "shelf.py").write_text(FILE)
        (workspace / ".vscode" / "settings.json").write_text('{"beast.edits.preview": true}')
        settings = {"beast.home": str(daemon.home), "workbench.statusBar.feedback.visible": False}
        with (
            code_server(pack(Path(name)), settings) as editor,
            window(browser, editor.url, workspace, size=SIZE) as opened,
        ):
            provider.says = ANSWER
            chat(opened)
            provider.says = REWRITTEN
            preview(opened)
            status(opened)


if __name__ == "__main__":
    main()
