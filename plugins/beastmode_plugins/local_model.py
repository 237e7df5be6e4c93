"""The provider `local`: GGUF models on this machine, each in a child process that lives as long as it is needed."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from beastmode.core.deployments import Deployment
from beastmode.core.errors import BadInputError, EndpointNotFoundError, ShuttingDownError
from beastmode.core.plugins import Call, Context, OnDelta, Provider, Weights, hookimpl
from beastmode.core.types import Completion
from beastmode.wire.openai_completions import as_chat
from beastmode_plugins.local_child import Orders
from beastmode_plugins.local_process import LocalProcess
from beastmode_plugins.weights import LocalWeights, installed, weights_folder
from beastmode_plugins.weights_catalogue import catalogue

GGUF_MAGIC = b"GGUF"
Count = Annotated[int, Meta(ge=1)]


class LocalOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The table `[plugins.options.local_model]`.

    Attributes:
        weights_dir: Folder of the weights, which several homes may share; `~` is the home folder.
        idle_s: How long a model stays loaded after its last answer.
        n_ctx: Context of a model, in tokens: prompt and answer together.
        max_loaded: Models in memory at once.
        max_tokens: Longest answer of a request that sets no limit.
        threads: Threads that compute; None: one less than there are cores.
        batch_tokens: Prompt tokens read between two looks at whether the caller is still there;
            None: 64, or 512 on macOS, where the graphics processor reads them.
    """

    weights_dir: str | None = None
    idle_s: Annotated[float, Meta(gt=0)] = 900.0
    n_ctx: Annotated[int, Meta(ge=256)] = 4096
    max_loaded: Count = 1
    max_tokens: Count = 1024
    threads: Count | None = None
    batch_tokens: Annotated[int, Meta(ge=32)] | None = None


def read_options(options: object) -> LocalOptions:
    """Reads the options.

    Args:
        options: The user's table.

    Raises:
        BadInputError: An option is unknown or of the wrong type.
    """
    try:
        return msgspec.convert(options, LocalOptions, strict=False)
    except msgspec.ValidationError as error:
        raise BadInputError(
            f"plugins.options.local_model: {error}",
            tips=[f"known options: {', '.join(LocalOptions.__struct_fields__)}"],
        ) from error


class LocalProvider(Provider):
    """Runs models on this machine; costs nothing and needs no network."""

    name = "local"
    costs_money = False
    _pool: Pool | None = None

    async def start(self, context: Context) -> None:
        """Reads the options; loads nothing.

        Args:
            context: What the daemon lends.

        Raises:
            BadInputError: The options are wrong.
        """
        await super().start(context)
        self._options = read_options(context.options)
        self._folder = weights_folder(context.data, context.options)
        self._pool = Pool(self._options, context)
        await asyncio.to_thread(_sweep_sockets, context.run)

    async def call(self, call: Call, on_delta: OnDelta | None) -> Completion:
        """Answers one request, one after the other for each model.

        Args:
            call: What to ask.
            on_delta: Gets the text as it comes.

        Raises:
            ProviderError: With tips.
            BadInputError: Vectors are asked for.
        """
        if call.request.kind == "embedding":
            raise BadInputError(
                "Models of this machine answer in words and do not embed.",
                tips=["name a model that embeds, of OpenAI's or of a local endpoint such as Ollama: beast models list"],
                model=call.deployment.model,
            )
        if call.request.kind == "completion" and "prompt" in call.request.params:
            call = msgspec.structs.replace(call, request=as_chat(call.request))  # it says what is wrong with that
        assert self._pool is not None, "start() comes first"
        path = await asyncio.to_thread(self._find, call.deployment)
        while True:
            async with self._pool.lend(call.deployment.model, path) as child, child.turn:
                if child.alive:  # it may have ended while we waited for our turn
                    return await child.ask(call, on_delta)

    async def models(self, deployment: Deployment, key: str | None, timeout_s: float) -> list[str]:
        """Lists the weights that are here, and the user's own file when the deployment names one.

        Args:
            deployment: The model.
            key: Not needed.
            timeout_s: Not needed.

        Raises:
            EndpointNotFoundError: The model can not run here, and why.
        """

        def look() -> list[str]:
            known = _chat_models(self._folder)
            if not deployment.upstream_model:
                _check_extra(deployment)
                return list(known)
            path = self._find(deployment)
            return [*known, *([] if deployment.upstream_model in known else [str(path)])]

        return await asyncio.to_thread(look)

    async def close(self) -> None:
        """Ends every child."""
        if self._pool is not None:
            await self._pool.close()

    def _find(self, deployment: Deployment) -> Path:
        """Finds the GGUF file of a deployment; looks at the disk."""
        _check_extra(deployment)
        wanted = deployment.upstream_model or deployment.model.removeprefix("local:")
        if wanted.startswith(("/", "~")):
            return _own_file(Path(wanted).expanduser(), deployment)
        known = _chat_models(self._folder)
        if wanted in known:
            return known[wanted]
        names = [spec.name for spec in catalogue().values() if spec.serves == self.name]
        if wanted in names:
            what, tips = "are not on this machine", [f"beast models fetch {wanted}"]
        else:
            what, tips = "are not known", [f"known: {', '.join(names)}; or register the full path of a GGUF file"]
        raise _unfit(f"The weights {wanted} of {deployment.model} {what} (looked in {self._folder}).", tips, deployment)


class Pool:
    """The children that are loaded: few at a time, started once, ended when nobody needs them.

    Args:
        options: How many and how long.
        context: Folder for sockets, and the clock.
    """

    def __init__(self, options: LocalOptions, context: Context) -> None:
        self._options = options
        self._run = context.run
        self._clock = context.clock
        self._children: dict[Path, LocalProcess] = {}
        self._door = asyncio.Lock()  # whoever wants a model goes through here, in the order of coming
        self._left = asyncio.Event()
        self._sweeper: asyncio.Task[None] | None = None
        self._closed = False

    @asynccontextmanager
    async def lend(self, model: str, path: Path) -> AsyncIterator[LocalProcess]:
        """Lends a loaded model; loads it first where it must, and ends another one to make room.

        Args:
            model: Its id, for errors.
            path: Its file.

        Raises:
            UpstreamError: It can not be loaded.
        """
        async with self._door:
            child = await self._ready(model, path)
            child.users += 1
        try:
            yield child
        finally:
            child.users -= 1
            child.last_used_s = self._clock.mono_s()
            self._left.set()

    async def _ready(self, model: str, path: Path) -> LocalProcess:
        child = self._children.get(path)
        if child is not None and child.alive:
            return child
        await self._drop(child)
        while len(self._children) >= self._options.max_loaded:
            idle = sorted((c for c in self._children.values() if not c.users), key=lambda c: c.last_used_s)
            self._left.clear()
            await (self._drop(idle[0]) if idle else self._left.wait())
        if self._closed:
            raise ShuttingDownError("The local models are being ended.", tips=["beast start"])
        child = LocalProcess(model, path, self._run, self._clock, lambda socket, key: self._orders(path, socket, key))
        self._children[path] = child
        try:
            await child.start()
        except BaseException:
            self._children.pop(path, None)
            raise
        child.last_used_s = self._clock.mono_s()
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.ensure_future(self._sweep())
        return child

    async def _drop(self, child: LocalProcess | None) -> None:
        if child is not None:
            self._children.pop(child.path, None)
            await child.stop()

    async def _sweep(self) -> None:
        """Ends children that were idle for too long; ends itself with the last of them."""
        while self._children:
            due_s = min(child.last_used_s for child in self._children.values()) + self._options.idle_s
            await self._clock.sleep(max(due_s - self._clock.mono_s(), self._options.idle_s / 20))
            async with self._door:
                for child in list(self._children.values()):
                    idle_s = self._clock.mono_s() - child.last_used_s
                    if not child.alive or (not child.users and idle_s >= self._options.idle_s):
                        await self._drop(child)

    def _orders(self, path: Path, socket: Path, key: str) -> Orders:
        options = self._options
        return Orders(
            model=str(path),
            alias=path.stem,
            socket=str(socket),
            key=key,
            parent=os.getpid(),
            threads=options.threads or max(1, (os.cpu_count() or 2) - 1),
            context_tokens=options.n_ctx,
            batch_tokens=options.batch_tokens or (512 if sys.platform == "darwin" else 64),
            max_tokens=options.max_tokens,
        )

    async def close(self) -> None:
        """Ends every child, those that answer or load among them, and lends none any more."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        children = list(self._children.values())
        await asyncio.gather(*(self._drop(child) for child in children))


def _sweep_sockets(run: Path) -> None:
    """Removes what a daemon left that was killed; there is one daemon for a folder of sockets."""
    for socket in run.glob("local-*.sock"):
        socket.unlink(missing_ok=True)


def _chat_models(folder: Path) -> dict[str, Path]:
    return {name: path for name, path in installed(folder).items() if catalogue()[name].serves == LocalProvider.name}


def _own_file(path: Path, deployment: Deployment) -> Path:
    try:
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        tips = [f"check the path: ls -l {path}"]
        raise _unfit(f"{path} of {deployment.model} can not be read: {error.strerror}.", tips, deployment) from error
    if magic != GGUF_MAGIC:
        tips = ["local models are GGUF files; fetch a known one: beast models fetch smollm2"]
        raise _unfit(f"{path} of {deployment.model} is not a GGUF file.", tips, deployment)
    return path


def _check_extra(deployment: Deployment) -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        tips = ["pip install 'beastmode[local]'", "then: beast restart"]
        raise _unfit("Local models need the package xllamacpp, which is not installed.", tips, deployment)


def _unfit(message: str, tips: list[str], deployment: Deployment) -> EndpointNotFoundError:
    return EndpointNotFoundError(message, tips=tips, model=deployment.model)


@hookimpl
def beast_providers() -> list[Provider]:
    """Brings the provider `local`."""
    return [LocalProvider()]


@hookimpl
def beast_weights() -> list[Weights]:
    """Brings the catalogue of weights."""
    return [LocalWeights()]
