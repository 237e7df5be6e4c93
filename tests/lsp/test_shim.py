"""`beast lsp`: an editor's standard streams, joined to whichever server for editors there is at the time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types

from beastmode.cli import lsp_session, lsp_text
from beastmode.core.errors import BeastError
from beastmode.core.paths import Paths
from beastmode_lsp.documents import Documents
from beastmode_lsp.server import EditorServer
from support.daemon import Daemon
from support.lsp_client import LspClient, LspError
from support.lsp_door import LspDoor
from support.waiting import until

FAILED = -32803
PROGRAM = [sys.executable, "-m", "beastmode.cli", "lsp"]
URI = "file:///work/a.py"


class Seen:
    """What the servers behind the socket have seen, the newest last."""

    def __init__(self) -> None:
        self.documents: list[Documents] = []
        self.settings: list[Any] = []
        self.folders: list[list[str]] = []
        self.initialized: list[Any] = []
        self.answers: list[Any] = []
        self.waiting = threading.Event()

    def register(self, server: EditorServer) -> None:
        @server.feature(types.INITIALIZE)
        def initialize(params: types.InitializeParams) -> None:
            encodings = params.capabilities.general and params.capabilities.general.position_encodings
            encoding = str(getattr(encodings[0], "value", encodings[0])) if encodings else "utf-16"
            documents = Documents(None, params.workspace_folders, encoding)
            server.protocol._workspace = documents
            self.documents.append(documents)
            self.initialized.append(params.initialization_options)

        @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
        def configured(params: types.DidChangeConfigurationParams) -> None:
            self.settings.append(params.settings)

        @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
        def moved(params: Any) -> None:
            self.folders.append([folder.uri for folder in server.workspace.folders.values()])

        @server.command("test.echo")
        async def echo(ls: EditorServer, given: Any = None) -> Any:
            return given

        @server.command("test.text")
        async def text(ls: EditorServer, given: str) -> Any:
            document = self.documents[-1].find(given)
            return None if document is None else {"text": document.text, "version": document.version}

        @server.command("test.wait")
        async def wait(ls: EditorServer, given: Any = None) -> None:
            self.waiting.set()
            await asyncio.sleep(60)

        @server.command("test.ask")
        async def ask(ls: EditorServer, given: Any = None) -> Any:
            params = types.ShowMessageRequestParams(type=types.MessageType.Info, message=str(given))
            answer = await ls.window_show_message_request_async(params)
            self.answers.append(answer)
            return answer and answer.title

        @server.command("test.say")
        async def say(ls: EditorServer, given: Any) -> None:
            ls.protocol.notify("beast/delta", given)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("s")
    (home / "run").mkdir(mode=0o700)
    return home


@pytest.fixture
def serve(home: Path, seen: Seen) -> Callable[[], LspDoor]:
    return lambda: LspDoor(seen.register, path=home / "run" / "lsp.sock")


def environ(home: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "BEAST_HOME": str(home), "BEAST_KEYS__STORE": "file", **more}


def shim(home: Path, *words: str, **more: str) -> LspClient:
    return LspClient.run([*PROGRAM, *words], environ(home, **more))


@pytest.fixture
def editor(home: Path, serve: Callable[[], LspDoor]) -> Iterator[LspClient]:
    """An editor over the shim, not yet initialized."""
    with shim(home) as editor:
        yield editor


def failure(request: Callable[[], Any]) -> LspError:
    with pytest.raises(LspError) as caught:
        request()
    return caught.value


def place(line: int, character: int) -> dict[str, int]:
    return {"line": line, "character": character}


# -- the usual day


def test_it_relays_requests_replies_notifications_and_questions(serve: Callable[[], LspDoor], home: Path) -> None:
    with serve(), shim(home) as editor:
        assert editor.initialize()["serverInfo"]["name"] == "beast"
        assert editor.command("test.echo", {"a": "ä😀", "jsonrpc": "2.0"}) == {"a": "ä😀", "jsonrpc": "2.0"}
        editor.answers["window/showMessageRequest"] = lambda params: {"title": params["message"]}
        assert editor.command("test.ask", "which?") == "which?"
        editor.command("test.say", {"id": 1, "delta": "word"})
        assert editor.wait_for("beast/delta") == {"id": 1, "delta": "word"}
        editor.shutdown()
        assert editor.process is not None
        assert editor.process.wait(10) == 0


def test_megabytes_pass_unchanged_both_ways(serve: Callable[[], LspDoor], home: Path) -> None:
    text = "ein Wort, 😀, \u2028 und noch eins\r\n" * 150_000
    with serve(), shim(home) as editor:
        editor.initialize()
        editor.open(URI, text)
        assert editor.command("test.text", URI)["text"] == text


def test_ids_may_be_words_and_members_come_in_any_order(serve: Callable[[], LspDoor], home: Path) -> None:
    with serve(), shim(home) as editor:
        editor.initialize()
        for id_ in ("a-1", "ü\n", 'say "so"', -3, 0):
            params = {"command": "test.echo", "arguments": [{"id": 9, "method": "exit"}]}
            editor.send({"params": params, "method": "workspace/executeCommand", "id": id_, "jsonrpc": "2.0"})
            until(lambda wanted=id_: any(stray["id"] == wanted for stray in editor.strays))
        assert all(stray["result"] == {"id": 9, "method": "exit"} for stray in editor.strays)


@pytest.mark.parametrize("words", [("--stdio",), ("--stdio", "--clientProcessId=1"), ("--clientProcessId", "1")])
def test_words_that_editors_add_are_taken(serve: Callable[[], LspDoor], home: Path, words: tuple[str, ...]) -> None:
    with serve(), shim(home, *words) as editor:
        assert editor.initialize()


def test_the_home_may_be_named_on_the_command_line(serve: Callable[[], LspDoor], home: Path, tmp_path: Path) -> None:
    with serve(), shim(tmp_path, "--home", str(home)) as editor:
        assert editor.initialize()


# -- a server that comes back


def test_a_new_server_is_told_what_the_old_one_knew(serve: Callable[[], LspDoor], home: Path, seen: Seen) -> None:
    with shim(home) as editor:
        with serve():
            folders = [{"uri": "file:///work", "name": "work"}]
            editor.initialize(initializationOptions={"model": "a"}, workspaceFolders=folders)
            editor.open(URI, "one\ntwo\n")
            editor.change(URI, 2, {"range": {"start": place(0, 0), "end": place(0, 3)}, "text": "eins"})
            editor.open("file:///b", "closed again")
            editor.close_document("file:///b")
            editor.notify("workspace/didChangeConfiguration", {"settings": {"n": 1}})
            editor.notify("workspace/didChangeConfiguration", {"settings": {"n": 2}})
            added = [{"uri": "file:///more", "name": "more"}]
            editor.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": added, "removed": []}})
            assert editor.command("test.text", URI) == {"text": "eins\ntwo\n", "version": 2}
        with serve():
            assert editor.command("test.text", URI) == {"text": "eins\ntwo\n", "version": 2}
            assert editor.command("test.text", "file:///b") is None
            editor.change(URI, 3, {"range": {"start": place(1, 0), "end": place(1, 3)}, "text": "zwei"})
            assert editor.command("test.text", URI) == {"text": "eins\nzwei\n", "version": 3}
        assert editor.strays == [], "the second reply to initialize is for the shim alone"
    assert seen.initialized == [{"model": "a"}] * 2
    assert seen.settings == [{"n": 1}, {"n": 2}, {"n": 2}]
    assert seen.folders == [["file:///work", "file:///more"]] * 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_a_document_with_many_changes_has_its_text_of_now(
    serve: Callable[[], LspDoor], home: Path, encoding: str
) -> None:
    wide = {"utf-8": 4, "utf-16": 2, "utf-32": 1}[encoding]
    expected = "😀|\r\nend"
    with shim(home) as editor:
        with serve():
            editor.initialize({"general": {"positionEncodings": [encoding]}})
            editor.open(URI, expected)
            for version in range(2, 2 * lsp_session.KEPT_CHANGES + 50):
                sign = "😀" if version % 50 == 0 else "x"
                here = place(0, wide)
                editor.change(URI, version, {"range": {"start": here, "end": here}, "text": sign})
                expected = expected[0] + sign + expected[1:]
        with serve():
            assert editor.command("test.text", URI)["text"] == expected


def test_what_was_pending_is_answered_with_an_error_and_the_next_question_works(
    serve: Callable[[], LspDoor], home: Path, seen: Seen
) -> None:
    with shim(home) as editor, serve() as door:
        editor.initialize()
        waiting = editor.begin("workspace/executeCommand", {"command": "test.wait"})
        assert seen.waiting.wait(10)
        for connection in list(door.connections.open):
            door.run(_abort(connection))
        error = failure(waiting.result)
        assert error.code == FAILED
        assert "restarted or ended" in error.message
        assert error.data["tip"]
        assert editor.command("test.echo", 1) == 1


async def _abort(connection: Any) -> None:
    connection.abort()


def test_an_answer_to_a_server_that_has_gone_reaches_no_other(
    serve: Callable[[], LspDoor], home: Path, seen: Seen
) -> None:
    may_answer, asked = threading.Event(), threading.Event()

    def answer(params: Any) -> Any:
        asked.set()
        if params["message"] == "old":
            may_answer.wait(20)
        return {"title": params["message"]}

    with shim(home) as editor:
        editor.answers["window/showMessageRequest"] = answer
        with serve():
            editor.initialize()
            old = editor.begin("workspace/executeCommand", {"command": "test.ask", "arguments": ["old"]})
            assert asked.wait(10)
        with serve():
            may_answer.set()
            assert failure(old.result).code == FAILED
            assert editor.command("test.ask", "new") == "new"
    assert [answer.title for answer in seen.answers] == ["new"]


def test_an_initialize_that_was_pending_is_answered_by_the_next_server(
    serve: Callable[[], LspDoor], home: Path
) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as deaf:
        path = home / "run" / "lsp.sock"
        deaf.bind(str(path))
        deaf.listen()
        with shim(home) as editor:
            waiting = editor.begin("initialize", {"processId": None, "capabilities": {}})
            connection, _ = deaf.accept()
            connection.recv(1)
            path.unlink()
            with serve():
                connection.close()
                assert waiting.result()["serverInfo"]["name"] == "beast"


def test_what_is_asked_while_there_is_no_server_waits_in_order(serve: Callable[[], LspDoor], home: Path) -> None:
    with shim(home) as editor:
        with serve():
            editor.initialize()
            editor.open(URI, "a")
            waiting = editor.begin("workspace/executeCommand", {"command": "test.wait"})
        failure(waiting.result)
        editor.change(URI, 2, {"text": "b"})
        first = editor.begin("workspace/executeCommand", {"command": "test.text", "arguments": [URI]})
        editor.change(URI, 3, {"text": "c"})
        second = editor.begin("workspace/executeCommand", {"command": "test.text", "arguments": [URI]})
        with serve():
            assert (first.result()["text"], second.result()["text"]) == ("b", "c")


def test_a_server_that_never_answers_initialize_is_told(home: Path) -> None:
    import socket

    impatient = "import beastmode.cli.lsp_shim as shim; shim.SILENCE_LIMIT_S = 0.2; raise SystemExit(shim.run())"
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(home / "run" / "lsp.sock"))
        deaf.listen()
        with LspClient.run([sys.executable, "-c", impatient], environ(home)) as editor:
            error = failure(lambda: editor.request("initialize", {"capabilities": {}}))
    assert (error.code, "beast health" in error.message) == (FAILED, True)


# -- the end


def ended(editor: LspClient) -> int:
    assert editor.process is not None
    return editor.process.wait(10)


def test_exit_codes_are_as_the_protocol_says(serve: Callable[[], LspDoor], home: Path) -> None:
    with serve():
        with shim(home) as polite:
            polite.initialize()
            polite.shutdown()
            assert ended(polite) == 0
        with shim(home) as hasty:
            hasty.initialize()
            hasty.notify("exit")
            assert ended(hasty) == 1
        with shim(home) as gone:
            gone.initialize()
            assert gone.process is not None and gone.process.stdin is not None
            gone.process.stdin.close()
            assert ended(gone) == 0


def test_shutdown_and_exit_are_honoured_where_there_is_no_server(serve: Callable[[], LspDoor], home: Path) -> None:
    with shim(home) as editor:
        with serve():
            editor.initialize()
        assert editor.request("shutdown") is None
        editor.notify("exit")
        assert ended(editor) == 0


def test_a_shutdown_that_the_server_took_along_is_done(home: Path) -> None:
    session = lsp_session.Session()
    session.say({"id": 1, "method": "shutdown"}, b"")
    assert session.lose() == [("1", "shutdown")]


def test_what_is_no_message_ends_it(home: Path, serve: Callable[[], LspDoor]) -> None:
    with serve(), shim(home) as editor:
        editor.send_raw(b"Content-Length: nonsense\r\n\r\n")
        assert ended(editor) == 1


def test_what_is_no_json_is_told_and_nothing_else_suffers(home: Path, serve: Callable[[], LspDoor]) -> None:
    with serve(), shim(home) as editor:
        editor.initialize()
        editor.send_raw(b"Content-Length: 5\r\n\r\n{nope")
        assert editor.command("test.echo", 1) == 1
        assert [(stray["id"], stray["error"]["code"]) for stray in editor.strays] == [(None, -32700)]


# -- the daemon


def answers(daemon: Daemon) -> bool:
    try:
        return bool(daemon.call("ping"))
    except BeastError:
        return False


def tells_its_version(editor: LspClient) -> bool:
    with contextlib.suppress(LspError):
        return bool(editor.command("beast.status")["version"])
    return False


def test_it_starts_the_daemon_where_none_runs_and_starts_it_again_when_it_is_needed(home: Path) -> None:
    daemon = Daemon(environ={"BEAST_LSP__ENABLED": "true"})
    try:
        with LspClient.run(PROGRAM, daemon.environ) as editor:
            assert editor.initialize()["serverInfo"]["name"] == "beast"
            first = daemon.call("ping")["pid"]
            os.kill(first, 9)
            until(lambda: not answers(daemon))
            until(lambda: tells_its_version(editor), 60.0)  # it may be asked before the loss is noticed
            assert daemon.call("ping")["pid"] != first
    finally:
        subprocess.run([sys.executable, "-m", "beastmode.cli", "stop"], env=daemon.environ, check=True)
        daemon.__exit__()


def test_ten_at_once_start_one_daemon(home: Path) -> None:
    daemon = Daemon(environ={"BEAST_LSP__ENABLED": "true"})

    def attach(_: int) -> str:
        with LspClient.run(PROGRAM, daemon.environ) as editor:
            return str(editor.request("initialize", {"capabilities": {}}, 60)["serverInfo"]["name"])

    try:
        with ThreadPoolExecutor(10) as pool:
            assert list(pool.map(attach, range(10))) == ["beast"] * 10
        log = (daemon.home / "state" / "logs" / "beast.log").read_text()
        assert log.count('"daemon ready"') == 1
    finally:
        subprocess.run([sys.executable, "-m", "beastmode.cli", "stop"], env=daemon.environ, check=True)
        daemon.__exit__()


def test_headers_without_end_end_it(home: Path, serve: Callable[[], LspDoor]) -> None:
    with serve(), shim(home) as editor:
        with contextlib.suppress(BrokenPipeError):
            editor.send_raw(b"X: " + b"y" * 200_000)
        assert ended(editor) == 1


def test_an_editor_that_stops_reading_and_leaves_leaves_no_shim(home: Path, serve: Callable[[], LspDoor]) -> None:
    with serve(), shim(home) as editor:
        editor.initialize()
        assert editor.process is not None and editor.process.stdout is not None and editor.process.stdin is not None
        editor.process.send_signal(signal.SIGSTOP)
        editor.begin("workspace/executeCommand", {"command": "test.echo", "arguments": ["x" * 60_000]})
        editor.notify("exit")
        editor.process.stdin.close()
        editor.process.send_signal(signal.SIGCONT)
        assert ended(editor) == 1


def test_a_daemon_that_can_not_start_is_told_to_the_editor_with_what_to_do(home: Path) -> None:
    (home / "config.toml").write_text("[cache]\nthreshhold = 1\n")
    with shim(home, BEAST_LSP__ENABLED="true") as editor:
        error = failure(lambda: editor.request("initialize", {"capabilities": {}}))
        assert (error.code, error.data["retry"]) == (FAILED, False)
        assert "threshhold" in error.message
        assert error.data["tip"]
        shown = editor.wait_for("window/showMessage")
        assert (shown["type"], "threshhold" in shown["message"]) == (1, True)
        assert editor.request("shutdown") is None
        editor.notify("exit")
        assert ended(editor) == 0


def test_switched_off_it_says_which_setting_says_so(home: Path) -> None:
    off = {"BEAST_LSP__ENABLED": "false"}
    with Daemon(environ=off) as daemon, LspClient.run(PROGRAM, daemon.environ) as editor:
        error = failure(lambda: editor.request("initialize", {"capabilities": {}}))
    assert error.code == FAILED
    assert "lsp.enabled" in error.message
    assert any("config.toml" in tip for tip in error.data["tip"])


# -- small and plain


def test_it_loads_neither_click_nor_asyncio_nor_anything_else_that_costs_much() -> None:
    program = "import sys, beastmode.cli.lsp_shim; print(*sys.modules)"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, env=plain, capture_output=True, text=True, check=True).stdout.split()
    dear = {"click", "asyncio", "typing", "pathlib", "subprocess", "socket", "msgspec", "beastmode.core.errors", "ssl"}
    assert dear.isdisjoint(loaded)
    assert not [name for name in loaded if name.startswith(("pygls", "beastmode_lsp"))]


def test_its_help_is_in_the_list_of_commands() -> None:
    def said(*words: str) -> str:
        command = [sys.executable, "-m", "beastmode.cli", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "lsp " in said("--help")
    assert "Language Server Protocol" in said("lsp", "--help")


@pytest.mark.parametrize("home", ["/h//x/./y", "/h/x/", "relative/x", "~/x", "/h/../x", "/" + "h" * 200])
def test_it_looks_where_the_daemon_listens(home: str) -> None:
    from beastmode.core.run_folder import run_folder, socket_path

    paths = Paths.from_environment({"BEAST_HOME": home})
    assert socket_path(run_folder({"BEAST_HOME": home}), "lsp.sock") == str(paths.lsp_socket)
    assert str(paths.run) == str(Path(home).expanduser().absolute() / "run")


# -- the text that is told to a new server


signs = st.sampled_from(["a", "é", "€", "😀", "\t", " ", "\n", "\r\n", "\r", "\u2028", "\x0c", "e\u0301", "👩‍👩‍👧"])
texts = st.lists(signs, max_size=30).map("".join)


@given(
    texts,
    st.lists(st.tuples(*[st.integers(0, 12)] * 4, texts), max_size=6),
    st.sampled_from(["utf-8", "utf-16", "utf-32"]),
)
@settings(max_examples=400, deadline=None)
def test_changes_make_of_a_text_what_they_make_of_it_in_the_server(
    text: str, edits: list[tuple[int, int, int, int, str]], encoding: str
) -> None:
    documents = Documents(None, None, encoding)
    documents.put_text_document(types.TextDocumentItem(uri=URI, language_id="x", version=1, text=text))
    changes: list[dict[str, object]] = []
    for version, (line, character, further, last, new) in enumerate(edits, 2):
        start, end = place(line, character), place(line + further, last if further else character + last)
        changes.append({"range": {"start": start, "end": end}, "text": new})
        event = types.TextDocumentContentChangePartial(
            range=types.Range(types.Position(**start), types.Position(**end)), text=new
        )
        documents.update_text_document(types.VersionedTextDocumentIdentifier(version=version, uri=URI), event)
    document = documents.find(URI)
    assert document is not None
    assert lsp_text.changed(text, changes, encoding) == document.text


def test_a_change_without_a_range_is_the_whole_text() -> None:
    assert lsp_text.changed("old", [{"text": "new\r"}, {"text": "newer"}], "utf-16") == "newer"


def test_an_error_names_its_request_as_the_editor_did() -> None:
    assert json.loads(lsp_session.failure('"a\\n"', "No.", {}))["id"] == "a\n"
