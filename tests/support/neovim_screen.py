"""Neovim's screen as it draws it, through its own protocol for user interfaces: cells with their colours."""

from __future__ import annotations

import struct
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Any

import msgspec

LIMIT_S = 90.0
Look = dict[str, Any]
Cell = tuple[str, Look]


class IncompleteError(Exception):
    """More bytes must come before the next value is whole."""


class Unpacker:
    """Reads MessagePack values from a stream, which msgspec does from whole messages only."""

    def __init__(self) -> None:
        self._bytes = b""
        self._at = 0

    def feed(self, data: bytes) -> list[Any]:
        """Takes bytes; gives the values that are whole."""
        self._bytes += data
        found = []
        while self._bytes:
            self._at = 0
            try:
                found.append(self._value())
            except IncompleteError:
                break
            self._bytes = self._bytes[self._at :]
        return found

    def _take(self, count: int) -> bytes:
        taken = self._bytes[self._at : self._at + count]
        if len(taken) < count:
            raise IncompleteError
        self._at += count
        return taken

    def _number(self, form: str) -> Any:
        return struct.unpack(f">{form}", self._take(struct.calcsize(form)))[0]

    def _value(self) -> Any:
        kind = self._take(1)[0]
        if kind < 0x80 or kind >= 0xE0:
            return kind if kind < 0x80 else kind - 0x100
        if kind < 0x90:
            return self._map(kind & 15)
        if kind < 0xA0:
            return [self._value() for _ in range(kind & 15)]
        if kind < 0xC0:
            return self._take(kind & 31).decode(errors="replace")
        if kind in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[kind]
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind in _LENGTHS:
            return self._sized(kind, self._number(_LENGTHS[kind]))
        if 0xD4 <= kind <= 0xD8:  # a handle of a buffer, window or tab page
            return self._take(1 + (1 << (kind - 0xD4)))
        raise ValueError(f"MessagePack has no {kind:#x} here")

    def _map(self, count: int) -> dict[Any, Any]:
        return {self._value(): self._value() for _ in range(count)}

    def _sized(self, kind: int, length: int) -> Any:
        if kind in (0xC4, 0xC5, 0xC6):
            return self._take(length)
        if kind in (0xC7, 0xC8, 0xC9):
            return self._take(length + 1)
        if kind in (0xD9, 0xDA, 0xDB):
            return self._take(length).decode(errors="replace")
        if kind in (0xDC, 0xDD):
            return [self._value() for _ in range(length)]
        return self._map(length)


_NUMBERS = dict(zip([0xCA, 0xCB, *range(0xCC, 0xD4)], "fdBHIQbhiq", strict=True))
_LENGTHS = {
    **dict.fromkeys((0xC4, 0xC7, 0xD9), "B"),
    **dict.fromkeys((0xC5, 0xC8, 0xDA, 0xDC, 0xDE), "H"),
    **dict.fromkeys((0xC6, 0xC9, 0xDB, 0xDD, 0xDF), "I"),
}


@dataclass
class Screen:
    """What is drawn.

    Attributes:
        rows: Cells of the only grid.
        looks: Attributes by their number.
        colours: Of text and paper, where a cell says nothing of its own.
        cursor: Row and column.
    """

    rows: list[list[tuple[str, int]]] = field(default_factory=list)
    looks: dict[int, Look] = field(default_factory=lambda: {0: {}})
    colours: tuple[int, int] = (0xFFFFFF, 0)
    cursor: tuple[int, int] = (0, 0)

    def cells(self) -> list[list[Cell]]:
        """Every cell with its look."""
        return [[(text, self.looks.get(look, {})) for text, look in row] for row in self.rows]

    def draw(self, event: str, *arguments: Any) -> None:
        """Takes one event of `redraw`."""
        draws = getattr(self, f"_{event}", None)
        if draws is not None:
            draws(*arguments)

    def _grid_resize(self, grid: int, columns: int, rows: int) -> None:
        self.rows = [[(" ", 0)] * columns for _ in range(rows)]

    def _grid_clear(self, grid: int) -> None:
        self.rows = [[(" ", 0)] * len(row) for row in self.rows]

    def _default_colors_set(self, ink: int, paper: int, *rest: Any) -> None:
        self.colours = (ink, paper)

    def _hl_attr_define(self, number: int, look: Look, *rest: Any) -> None:
        self.looks[number] = look

    def _grid_cursor_goto(self, grid: int, row: int, column: int) -> None:
        self.cursor = (row, column)

    def _grid_line(self, grid: int, row: int, column: int, cells: list[Any], *rest: Any) -> None:
        look = 0
        for text, *more in cells:
            look = more[0] if more else look
            for _ in range(more[1] if len(more) > 1 else 1):
                self.rows[row][column] = (text, look)
                column += 1

    def _grid_scroll(self, grid: int, top: int, bottom: int, left: int, right: int, rows: int, columns: int) -> None:
        lines = range(top, bottom - rows) if rows > 0 else range(bottom - 1, top - rows - 1, -1)
        for row in lines:
            self.rows[row][left:right] = self.rows[row + rows][left:right]


def watch(command: list[str], environ: dict[str, str], folder: str, size: tuple[int, int]) -> Screen:
    """Runs Neovim until it says `vim.rpcnotify(0, 'picture')`, and gives its screen then.

    Args:
        command: Neovim and its arguments, without `--embed`.
        environ: Its environment.
        folder: Where it runs.
        size: Columns and rows.
    """
    process = subprocess.Popen(
        [command[0], "--embed", *command[1:]],
        env=environ,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    watchdog = threading.Timer(LIMIT_S, process.kill)
    watchdog.start()
    try:
        with process:
            return _ready(process, size)
    finally:
        watchdog.cancel()


def _ready(process: subprocess.Popen[bytes], size: tuple[int, int]) -> Screen:
    screen, unpacker = Screen(), Unpacker()
    assert process.stdin and process.stdout
    attach = [0, 1, "nvim_ui_attach", [*size, {"rgb": True, "ext_linegrid": True}]]
    process.stdin.write(msgspec.msgpack.encode(attach))
    process.stdin.flush()
    while data := process.stdout.read1(1 << 16):  # type: ignore[attr-defined]  # a buffered reader
        for kind, method, *rest in unpacker.feed(data):
            if kind == 2 and method == "redraw":
                for event, *calls in rest[0]:
                    for arguments in calls:
                        screen.draw(event, *arguments)
            elif kind == 2 and method == "picture":
                process.kill()
                problem = rest[0][0] if rest[0] else ""
                assert not problem, problem
                return screen
    raise AssertionError("Neovim ended before it was ready")
