"""What is on disk now: pieces that are what they were hold, wherever they lie; whatever else is there does not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from beastmode.core.clock import Clock
from beastmode.core.settings import WorkspaceSettings
from beastmode.core.types import Piece
from beastmode.workspace.index import truth as module
from beastmode.workspace.index.truth import Truth

ONE = "def one():\n    return 1\n"
TWO = "def two():\n    return 2\n"
SECRET = "sk-" + "ant-" + "x" * 30


class LateClock(Clock):
    """A clock that is ahead, so that every file has been left alone for long."""

    ahead_s = 3600.0

    def wall_s(self) -> float:
        return super().wall_s() + self.ahead_s


@pytest.fixture
def clock() -> LateClock:
    return LateClock()


@pytest.fixture
async def truth(clock: LateClock) -> AsyncIterator[Truth]:
    truth = Truth(lambda: WorkspaceSettings(max_file_bytes=4096), clock)
    yield truth
    truth.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg" / "a.py").write_text(f"{ONE}\n\n{TWO}")
    (root / "b.py").write_text("B = 1\n")
    return root


async def pieces_of(truth: Truth, root: Path, path: str) -> list[Piece]:
    found = await truth.current(str(root), path)
    assert found is not None
    return [Piece(path, one.sha256, one.symbol, one.first_line, one.last_line) for one in found[1]]


async def piece_of(truth: Truth, root: Path, path: str, symbol: str) -> Piece:
    return next(one for one in await pieces_of(truth, root, path) if one.symbol == symbol)


def whole(root: Path, path: str) -> Piece:
    return Piece(path, module.sha256((root / path).read_bytes()).hexdigest(), whole=True)


class TestHold:
    async def test_what_nobody_touched_holds_and_is_read_once(self, truth: Truth, root: Path) -> None:
        pieces = [*await pieces_of(truth, root, "pkg/a.py"), *await pieces_of(truth, root, "b.py")]
        reads = truth.reads
        for _ in range(5):
            assert await truth.hold(str(root), pieces) == pieces
        assert truth.reads == reads == 2

    async def test_no_pieces_hold(self, truth: Truth, root: Path) -> None:
        assert await truth.hold(str(root), []) == []

    async def test_a_piece_that_moved_is_named_where_it_lies_now(self, truth: Truth, root: Path) -> None:
        two = await piece_of(truth, root, "pkg/a.py", "two")
        (root / "pkg/a.py").write_text(f"import os\n\n\n{ONE}\n\n{TWO}")
        (now,) = await truth.hold(str(root), [two]) or []
        assert (now.symbol, now.first_line - two.first_line, now.last_line - two.last_line) == ("two", 3, 3)

    async def test_one_piece_that_changed_is_enough(self, truth: Truth, root: Path) -> None:
        pieces = [await piece_of(truth, root, "pkg/a.py", name) for name in ("one", "two")]
        (root / "pkg/a.py").write_text(f"{ONE.replace('1', '7')}\n\n{TWO}")
        assert await truth.hold(str(root), pieces) is None
        assert await truth.hold(str(root), pieces[1:]) == pieces[1:]

    async def test_a_whole_file_holds_as_long_as_no_byte_changes(self, truth: Truth, root: Path) -> None:
        piece = whole(root, "pkg/a.py")
        assert await truth.hold(str(root), [piece]) == [piece]
        with (root / "pkg/a.py").open("a") as file:
            file.write("\n")
        assert await truth.hold(str(root), [piece]) is None

    async def test_of_two_equal_pieces_the_nearer_one_is_named(self, truth: Truth, root: Path) -> None:
        (root / "twice.py").write_text(f"{ONE}\n\n{TWO}\n\n{ONE}")
        first, last = [one for one in await pieces_of(truth, root, "twice.py") if one.symbol == "one"]
        assert first.sha256 == last.sha256
        assert await truth.hold(str(root), [last, first]) == [last, first]

    @pytest.mark.parametrize("path", ["gone.py", "../outside.py", "pkg/../b.py", "/b.py", "pkg", "", "a\0b", "pkg/"])
    async def test_what_is_no_file_of_it_does_not_hold(self, truth: Truth, root: Path, path: str) -> None:
        (root.parent / "outside.py").write_text("B = 1\n")
        piece = msgspec.structs.replace((await pieces_of(truth, root, "b.py"))[0], path=path)
        assert await truth.hold(str(root), [piece]) is None

    async def test_a_root_that_is_gone_holds_nothing(self, truth: Truth, root: Path) -> None:
        pieces = await pieces_of(truth, root, "b.py")
        root.rename(root.with_name("elsewhere"))
        assert await truth.hold(str(root), pieces) is None
        root.symlink_to(root.with_name("elsewhere"))
        assert await truth.hold(str(root), pieces) is None


def in_place(path: Path) -> None:
    """Writes as many other bytes, and puts the time of writing back."""
    found = path.stat()
    path.write_text(path.read_text().replace("1", "7"))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def replaced(path: Path) -> None:
    fresh = path.with_name("fresh")
    fresh.write_text(path.read_text().replace("1", "7"))
    fresh.replace(path)


def removed(path: Path) -> None:
    path.unlink()


def renamed(path: Path) -> None:
    path.rename(path.with_name("c.py"))


def out_by_a_link(path: Path) -> None:
    outside = path.parents[1] / "outside.py"
    outside.write_text(path.read_text())
    path.unlink()
    path.symlink_to(outside)


def in_by_a_link(path: Path) -> None:
    path.rename(path.with_name("c.py"))
    path.symlink_to("c.py")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_secret(path: Path) -> None:
    path.write_text(f"{path.read_text()}\nKEY = '{SECRET}'\n")


def too_large(path: Path) -> None:
    path.write_text(path.read_text() + "#" * 5000)


def binary(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\xff\xfe")


CHANGES = [
    in_place,
    replaced,
    removed,
    renamed,
    out_by_a_link,
    in_by_a_link,
    a_pipe,
    a_folder,
    a_secret,
    too_large,
    binary,
]


class TestChanges:
    @pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
    @pytest.mark.parametrize("ahead_s", [0.0, 3600.0], ids=["just written", "long left alone"])
    async def test_it_is_seen_by_the_next_look(
        self, truth: Truth, clock: LateClock, root: Path, change: Callable[[Path], None], ahead_s: float
    ) -> None:
        clock.ahead_s = ahead_s
        pieces = await pieces_of(truth, root, "b.py")
        await asyncio.sleep(0.02 if ahead_s else 0.0)  # the clock is not true: the file system's has to go on
        assert await truth.hold(str(root), pieces) == pieces
        change(root / "b.py")
        assert await truth.hold(str(root), pieces) is None

    async def test_a_folder_that_became_a_link_is_not_followed(self, truth: Truth, root: Path) -> None:
        pieces = await pieces_of(truth, root, "pkg/a.py")
        assert await truth.hold(str(root), pieces) == pieces
        (root / "pkg").rename(root.parent / "pkg")
        (root / "pkg").symlink_to(root.parent / "pkg")
        assert await truth.hold(str(root), pieces) is None
        assert await truth.current(str(root), "pkg/a.py") is None

    async def test_going_back_makes_it_hold_again(self, truth: Truth, root: Path) -> None:
        pieces = await pieces_of(truth, root, "b.py")
        text = (root / "b.py").read_text()
        for _ in range(3):
            (root / "b.py").write_text("B = 2\n")
            assert await truth.hold(str(root), pieces) is None
            (root / "b.py").write_text(text)
            assert await truth.hold(str(root), pieces) == pieces

    async def test_two_writes_in_one_tick_are_told_apart(self, root: Path) -> None:
        truth = Truth(WorkspaceSettings, Clock())
        path = root / "b.py"
        for number in range(300):
            path.write_text(f"B = {number % 10}\n")
            pieces = await pieces_of(truth, root, "b.py")
            path.write_text(f"B = {(number + 1) % 10}\n")
            assert await truth.hold(str(root), pieces) is None
        truth.close()

    async def test_a_file_that_was_just_written_is_read_until_it_is_quiet(
        self, truth: Truth, clock: LateClock, root: Path
    ) -> None:
        clock.ahead_s = 0.0
        (root / "b.py").write_text("B = 2\n")
        pieces = await pieces_of(truth, root, "b.py")
        await truth.hold(str(root), pieces)
        assert truth.reads == 2
        clock.ahead_s = 1.0
        for _ in range(3):
            await truth.hold(str(root), pieces)
        assert truth.reads == 3

    async def test_a_file_from_the_future_is_trusted_by_when_it_was_changed(self, truth: Truth, root: Path) -> None:
        os.utime(root / "b.py", (4e9, 4e9))
        pieces = await pieces_of(truth, root, "b.py")
        for _ in range(3):
            assert await truth.hold(str(root), pieces) == pieces
        assert truth.reads == 1

    async def test_a_file_system_that_counts_seconds_is_trusted_later(
        self, truth: Truth, clock: LateClock, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look = module.Look(6, 10**18, 10**18, 1)
        assert not module._quiet(look, 10**18 + 2 * 10**9)
        assert module._quiet(look, 10**18 + 3 * 10**9)
        assert module._quiet(msgspec.structs.replace(look, ctime_ns=10**18 + 1), 10**18 + 2 * 10**8)


class TestUnsaved:
    async def test_an_unsaved_text_wins_over_the_disk(self, truth: Truth, root: Path) -> None:
        pieces = await pieces_of(truth, root, "b.py")
        assert await truth.hold(str(root), pieces, {"b.py": "B = 2\n"}) is None
        assert await truth.hold(str(root), pieces, {"pkg/a.py": "other"}) == pieces
        (root / "b.py").write_text("B = 3\n")
        assert await truth.hold(str(root), pieces, {"b.py": "# typed\n\n\nB = 1\n"}) is None
        assert await truth.hold(str(root), pieces, {"b.py": "\n\nB = 1\n"}) == [
            msgspec.structs.replace(pieces[0], first_line=3, last_line=3)
        ]

    async def test_an_unsaved_text_with_a_secret_holds_nothing(self, truth: Truth, root: Path) -> None:
        one = await piece_of(truth, root, "pkg/a.py", "one")
        assert await truth.hold(str(root), [one], {"pkg/a.py": f"{ONE}\n\n{TWO}"}) == [one]
        assert await truth.hold(str(root), [one], {"pkg/a.py": f"{ONE}\n\nKEY = '{SECRET}'\n"}) is None
        env = msgspec.structs.replace(one, path=".env")
        assert await truth.hold(str(root), [env], {".env": f"{ONE}\n\n{TWO}"}) is None

    async def test_a_whole_unsaved_text_is_compared_as_bytes(self, truth: Truth, root: Path) -> None:
        piece = whole(root, "b.py")
        assert await truth.hold(str(root), [piece], {"b.py": "B = 1\n"}) == [piece]
        assert await truth.hold(str(root), [piece], {"b.py": "B = 1"}) is None
        assert await truth.hold(str(root), [piece], {"b.py": "\ud800"}) is None


class TestCurrent:
    async def test_it_is_what_the_file_is_now(self, truth: Truth, root: Path) -> None:
        for number in range(3):
            (root / "b.py").write_text(f"B = {number}\n")
            found = await truth.current(str(root), "b.py")
            assert found is not None
            text, chunks = found
            assert text == f"B = {number}\n"
            assert [chunk.text for chunk in chunks] == [f"B = {number}"]

    async def test_the_same_text_is_cut_once(self, truth: Truth, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cuts = []
        cut = module.cut
        monkeypatch.setattr(module, "cut", lambda path, text: cuts.append(path) or cut(path, text))
        for number in (1, 2, 1, 2, 1):
            (root / "b.py").write_text(f"B = {number}\n")
            await truth.current(str(root), "b.py")
        assert len(cuts) == 2

    @pytest.mark.parametrize("change", CHANGES[2:], ids=lambda one: one.__name__)
    async def test_what_is_not_to_be_read_is_nothing(
        self, truth: Truth, root: Path, change: Callable[[Path], None]
    ) -> None:
        await truth.current(str(root), "b.py")
        change(root / "b.py")
        assert await truth.current(str(root), "b.py") is None

    async def test_a_name_that_looks_like_a_secret_is_not_read(self, truth: Truth, root: Path) -> None:
        (root / ".env").write_text("A = 1\n")
        assert await truth.current(str(root), ".env") is None
        assert truth.reads == 0


class TestBounds:
    async def test_it_knows_no_more_than_it_may(
        self, truth: Truth, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "PLACES_MAX", 20)
        monkeypatch.setattr(module, "CUTS_MAX_CHARS", 2000)
        for number in range(50):
            (root / f"f{number}.py").write_text(f"F = {number}\n")
        pieces = [(await pieces_of(truth, root, f"f{number}.py"))[0] for number in range(50)]
        assert truth._places == sum(map(module._size, truth._known.values())) <= 20
        assert truth._cut_chars == sum(map(module._chars, truth._cuts.values())) <= 2000
        assert await truth.hold(str(root), pieces) == pieces, "what it forgot is read again"

    async def test_what_is_closed_is_forgotten(self, truth: Truth, root: Path) -> None:
        pieces = await pieces_of(truth, root, "b.py")
        truth.let_go("/elsewhere")
        assert len(truth._known) == 1
        truth.let_go(str(root))
        assert (len(truth._known), len(truth._cuts), truth._places, truth._cut_chars) == (0, 0, 0, 0)
        assert await truth.hold(str(root), pieces) == pieces

    async def test_many_look_at_once(self, truth: Truth, root: Path) -> None:
        pieces = [*await pieces_of(truth, root, "pkg/a.py"), *await pieces_of(truth, root, "b.py")]
        found = await asyncio.gather(*(truth.hold(str(root), pieces) for _ in range(200)))
        assert found == [pieces] * 200
