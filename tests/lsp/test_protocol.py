"""The protocol on one connection: what pygls 2.1 gets wrong is right, and whatever an editor sends harms no other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types

from beastmode_lsp import protocol
from beastmode_lsp.connections import MAX_UNREAD_BYTES
from beastmode_lsp.frames import MAX_BODY_BYTES, BadFrameError, Frames, decode, encode, frame
from beastmode_lsp.protocol import progress_token
from beastmode_lsp.server import EditorServer
from support.fake_daemon import Call, FakeDaemon
from support.lsp_client import LspClient, LspError
from support.lsp_door import LspDoor
from support.waiting import until

CANCELLED, FAILED, INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR = -32800, -32803, -32602, -32600, -32700


class Events:
    """What the server's side has seen."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.started = threading.Event()
        self.cancelled = threading.Event()


def features(events: Events) -> Callable[[EditorServer], None]:
    def register(server: EditorServer) -> None:
        @server.command("test.echo")
        async def echo(ls: EditorServer, given: dict[str, Any] | None = None) -> Any:
            return {"given": given, "kind": type(given).__name__}

        @server.command("test.wait")
        async def wait(ls: EditorServer, given: Any = None) -> None:
            events.started.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                events.cancelled.set()
                raise

        @server.command("test.ask")
        async def ask(ls: EditorServer, given: Any = None) -> Any:
            events.started.set()
            params = types.ShowMessageRequestParams(type=types.MessageType.Info, message="which?")
            try:
                return await ls.window_show_message_request_async(params)
            except asyncio.CancelledError:
                events.cancelled.set()
                raise

        @server.command("test.callback")
        def callback(ls: EditorServer, given: Any = None) -> str:
            params = types.ShowMessageRequestParams(type=types.MessageType.Info, message="which?")
            ls.window_show_message_request(params, events.seen.append)
            return "asked"

        @server.command("test.unwritable")
        async def unwritable(ls: EditorServer, given: Any = None) -> Any:
            return object()

        @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
        def did_save(params: types.DidSaveTextDocumentParams) -> None:
            raise ValueError("the text of a document")

        @server.command("test.daemon")
        async def daemon(ls: EditorServer, given: dict[str, Any]) -> Any:
            return await ls.daemon.call(given["method"], given.get("params"))

        @server.command("test.fail")
        async def fail(ls: EditorServer, given: Any = None) -> None:
            raise ValueError("the text of a document")

        @server.command("test.flood")
        async def flood(ls: EditorServer, given: dict[str, Any]) -> None:
            for _ in range(given["times"]):
                ls.protocol.notify("test/much", {"text": "x" * given["bytes"]})

        @server.command("test.token")
        async def token(ls: EditorServer) -> Any:
            return progress_token()

        @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
        async def inline(params: types.InlineCompletionParams) -> list[Any]:
            return []

        @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
        async def did_open(params: types.DidOpenTextDocumentParams) -> None:
            events.seen.append(params.text_document)

    return register


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def door(events: Events) -> Iterator[LspDoor]:
    with LspDoor(features(events)) as door:
        yield door


@pytest.fixture
def editor(door: LspDoor) -> Iterator[LspClient]:
    with door.connect() as editor:
        editor.initialize()
        yield editor


def failure(request: Callable[[], Any]) -> LspError:
    with pytest.raises(LspError) as caught:
        request()
    return caught.value


# -- the handshake


def test_the_server_says_who_it_is_and_that_it_completes_inline(door: LspDoor) -> None:
    with door.connect() as editor:
        result = editor.initialize()
    assert result["serverInfo"] == {"name": "beast", "version": "1.2.3"}
    assert result["capabilities"]["inlineCompletionProvider"] == {}
    assert result["capabilities"]["textDocumentSync"]["change"] == types.TextDocumentSyncKind.Incremental


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, "utf-16"),
        (["utf-16"], "utf-16"),
        (["utf-8", "utf-16"], "utf-8"),
        (["utf-32", "utf-8"], "utf-32"),
        (["ebcdic", "utf-32"], "utf-32"),
        (["ebcdic"], "utf-16"),
    ],
)
def test_positions_are_counted_as_the_editor_likes_best(door: LspDoor, offered: list[str] | None, chosen: str) -> None:
    with door.connect() as editor:
        capabilities = {} if offered is None else {"general": {"positionEncodings": offered}}
        assert editor.initialize(capabilities)["capabilities"]["positionEncoding"] == chosen


def test_words_that_the_protocol_does_not_know_yet_prevent_no_handshake(door: LspDoor) -> None:
    capabilities = {
        "textDocument": {"completion": {"completionItemKind": {"valueSet": [1, 2, 9999]}}, "tomorrow": {"x": 1}},
        "workspace": {"symbol": {"symbolKind": {"valueSet": [1, 777]}}},
    }
    with door.connect() as editor:
        result = editor.initialize(capabilities, trace="compact", clientInfo={"name": "future"})
        assert result["serverInfo"]["name"] == "beast"
    assert door.servers[0].client_name == "future"


def test_before_initialize_everything_else_is_turned_away(door: LspDoor) -> None:
    with door.connect() as editor:
        assert failure(lambda: editor.command("test.echo")).code == -32002
        editor.initialize()
        assert editor.command("test.echo") == {"given": None, "kind": "NoneType"}


def test_a_second_initialize_is_turned_away(editor: LspClient) -> None:
    assert (
        failure(lambda: editor.request("initialize", {"capabilities": {}, "processId": None})).code == INVALID_REQUEST
    )


def test_after_shutdown_only_exit_may_follow_and_it_ends_this_connection_alone(
    door: LspDoor, editor: LspClient, events: Events
) -> None:
    with door.connect() as other:
        other.initialize()
        waiting = editor.begin("workspace/executeCommand", {"command": "test.wait"})
        assert events.started.wait(10)
        assert editor.request("shutdown") is None
        assert failure(waiting.result).code == CANCELLED
        assert failure(lambda: editor.command("test.echo")).code == INVALID_REQUEST
        editor.notify("exit")
        assert editor.ended.wait(10)
        assert other.command("test.echo", {"a": 1})["given"] == {"a": 1}


# -- commands


def test_arguments_of_commands_are_plain_json_whatever_the_annotation(editor: LspClient) -> None:
    given = {"uri": "file:///a", "range": {"start": {"line": 0}}, "jsonrpc": "2.0", "more": [1, None, {"id": 3}]}
    assert editor.command("test.echo", given) == {"given": given, "kind": "dict"}


def test_an_unknown_command_is_told_with_the_nearest_one(editor: LspClient) -> None:
    error = failure(lambda: editor.command("test.ecko"))
    assert error.code == INVALID_PARAMS
    assert "test.echo" in error.message


def test_too_many_arguments_are_told(editor: LspClient) -> None:
    assert failure(lambda: editor.command("test.echo", {}, {})).code == INVALID_PARAMS


def test_the_progress_token_of_a_command_is_that_of_its_own_request(editor: LspClient) -> None:
    params = {"command": "test.token", "workDoneToken": "t1"}
    assert editor.request("workspace/executeCommand", params) == "t1"
    assert editor.command("test.token") is None


# -- stop means stop


def test_a_cancelled_command_stops_within(editor: LspClient, events: Events) -> None:
    waiting = editor.begin("workspace/executeCommand", {"command": "test.wait"})
    assert events.started.wait(10)
    editor.cancel(waiting)
    assert failure(waiting.result).code == CANCELLED
    assert events.cancelled.wait(10)


def test_a_command_that_is_cancelled_while_it_asks_the_editor_survives_the_late_answer(
    editor: LspClient, events: Events
) -> None:
    may_answer = threading.Event()

    def answer_late(params: Any) -> None:
        may_answer.wait(10)

    editor.answers["window/showMessageRequest"] = answer_late
    waiting = editor.begin("workspace/executeCommand", {"command": "test.ask"})
    editor.wait_for("window/showMessageRequest")
    editor.cancel(waiting)
    assert events.cancelled.wait(10)
    may_answer.set()
    assert failure(waiting.result).code == CANCELLED
    assert editor.of("$/cancelRequest"), "the question is taken back"
    assert editor.command("test.echo", {})["given"] == {}


def test_an_editor_that_goes_away_takes_its_work_along_in_the_daemon_too(events: Events) -> None:
    cancelled = threading.Event()

    def hang(params: dict[str, Any], call: Call) -> None:
        events.started.set()
        if call.cancelled.wait(20):
            cancelled.set()

    with FakeDaemon({"chat": hang}) as daemon, LspDoor(features(events), daemon.socket_path) as door:
        with door.connect() as editor:
            editor.initialize()
            editor.begin("workspace/executeCommand", {"command": "test.daemon", "arguments": [{"method": "chat"}]})
            assert events.started.wait(10)
        assert cancelled.wait(10)
        until(lambda: not door.connections.open)
        until(lambda: bool(daemon.cancelled))  # by name, before the connection closes


def test_a_cancel_of_something_unknown_is_ignored(editor: LspClient) -> None:
    editor.notify("$/cancelRequest", {"id": 4711})
    editor.notify("$/cancelRequest", {"id": "beast-1"})
    assert editor.command("test.echo", {})["given"] == {}


# -- what the editor is asked


def test_a_refusal_of_the_editor_is_an_error_of_the_command(editor: LspClient) -> None:
    def refuse(params: Any) -> Any:
        raise LspError(-32001, "not now")

    editor.answers["window/showMessageRequest"] = refuse
    error = failure(lambda: editor.command("test.ask"))
    assert (error.code, error.message) == (-32001, "not now")


def test_an_answer_of_another_shape_is_an_error_of_the_command(editor: LspClient) -> None:
    editor.answers["window/showMessageRequest"] = lambda params: {"name": 3}
    assert failure(lambda: editor.command("test.ask")).code == INVALID_PARAMS


def test_an_answer_may_be_waited_for_by_a_callback(editor: LspClient, events: Events) -> None:
    editor.answers["window/showMessageRequest"] = lambda params: {"title": "this"}
    assert editor.command("test.callback") == "asked"
    until(lambda: [one.title for one in events.seen] == ["this"])


# -- errors


def test_a_result_that_can_not_be_written_is_a_fault_of_our_own(editor: LspClient) -> None:
    assert failure(lambda: editor.command("test.unwritable")).code == -32603
    assert editor.command("test.echo", {})["given"] == {}


def test_a_notification_that_fails_is_logged_and_harms_nothing(
    editor: LspClient, caplog: pytest.LogCaptureFixture
) -> None:
    editor.notify("textDocument/didSave", {"textDocument": {"uri": "file:///a"}})
    assert editor.command("test.echo", {})["given"] == {}
    assert "a notification failed" in [record.getMessage() for record in caplog.records]


def test_an_error_of_the_daemon_arrives_with_its_sentence_its_first_tip_and_its_data(events: Events) -> None:
    from beastmode.core.errors import BudgetError

    def refuse(params: dict[str, Any], call: Call) -> None:
        raise BudgetError("The budget is spent.", tips=["beast budget", "wait"], request_id="req_1")

    with (
        FakeDaemon({"chat": refuse}) as daemon,
        LspDoor(features(events), daemon.socket_path) as door,
        door.connect() as editor,
    ):
        editor.initialize()
        error = failure(lambda: editor.command("test.daemon", {"method": "chat"}))
    assert (error.code, error.message) == (FAILED, "The budget is spent. Try: beast budget")
    assert (error.data["kind"], error.data["tip"]) == ("budget", ["beast budget", "wait"])
    assert error.data["request_id"] == "req_1"


def test_a_daemon_that_is_gone_is_told_and_found_again_once_it_is_back(events: Events) -> None:
    with (
        FakeDaemon({"ping": {"pid": 1}}) as daemon,
        LspDoor(features(events), daemon.socket_path) as door,
        door.connect() as editor,
    ):
        editor.initialize()
        assert editor.command("test.daemon", {"method": "ping"}) == {"pid": 1}
        daemon.stop()
        error = failure(lambda: editor.command("test.daemon", {"method": "ping"}))
        assert (error.code, error.data["kind"]) == (FAILED, "daemon_not_running")
        daemon.start()
        assert editor.command("test.daemon", {"method": "ping"}) == {"pid": 1}


def test_a_fault_of_our_own_tells_its_kind_and_nothing_of_a_document(
    editor: LspClient, caplog: pytest.LogCaptureFixture
) -> None:
    error = failure(lambda: editor.command("test.fail"))
    assert error.code == -32603
    assert "ValueError" in error.message
    assert "document" not in error.message
    assert any(record.exc_info for record in caplog.records)


def test_an_unknown_method_is_told_and_an_unknown_notification_ignored(editor: LspClient) -> None:
    editor.notify("$/tomorrow", {"a": 1})
    editor.notify("tomorrow/too")
    assert failure(lambda: editor.request("textDocument/tomorrow", {})).code == -32601


def test_parameters_of_another_shape_are_an_error_of_their_request_alone(editor: LspClient) -> None:
    assert failure(lambda: editor.request("textDocument/inlineCompletion", {"position": "here"})).code == INVALID_PARAMS
    assert failure(lambda: editor.request("textDocument/inlineCompletion", [1, 2])).code == INVALID_PARAMS
    editor.notify("textDocument/didOpen", {"textDocument": 3})
    assert editor.command("test.echo", {})["given"] == {}


def test_one_id_serves_one_request_at_a_time(editor: LspClient, events: Events) -> None:
    waiting = editor.begin("workspace/executeCommand", {"command": "test.wait"})
    assert events.started.wait(10)
    message = {
        "jsonrpc": "2.0",
        "id": waiting.id,
        "method": "workspace/executeCommand",
        "params": {"command": "test.echo"},
    }
    editor.send(message)
    assert failure(waiting.result).code == INVALID_REQUEST


def test_an_editor_that_asks_without_end_is_told_to_wait(
    editor: LspClient, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MAX_UNANSWERED", 3)
    waiting = [editor.begin("workspace/executeCommand", {"command": "test.wait"}) for _ in range(4)]
    assert failure(waiting[3].result).code == FAILED
    editor.cancel(waiting[0])
    assert failure(waiting[0].result).code == CANCELLED
    assert editor.command("test.echo", {})["given"] == {}


# -- what is a message, and what is none


def test_an_object_with_a_key_called_jsonrpc_inside_a_message_is_no_message(editor: LspClient, events: Events) -> None:
    inner = {"jsonrpc": "2.0", "id": 1, "method": "exit", "result": None}
    assert editor.command("test.echo", {"deep": inner})["given"] == {"deep": inner}
    editor.open("file:///a.json", json.dumps(inner))
    until(lambda: bool(events.seen))
    assert events.seen[0].text == json.dumps(inner)


def test_an_id_that_can_be_none_is_told(editor: LspClient) -> None:
    editor.send({"jsonrpc": "2.0", "id": [1], "method": "workspace/executeCommand"})
    until(lambda: bool(editor.strays))
    assert (editor.strays[0]["id"], editor.strays[0]["error"]["code"]) == (None, INVALID_REQUEST)


def test_a_reply_that_nobody_asked_for_is_ignored(editor: LspClient, events: Events) -> None:
    waiting = editor.begin("workspace/executeCommand", {"command": "test.wait"})
    assert events.started.wait(10)
    editor.send({"jsonrpc": "2.0", "id": waiting.id, "result": "mine"})
    editor.send({"jsonrpc": "2.0", "id": "beast-0-1", "error": {"code": 1, "message": "no"}})
    editor.send({"jsonrpc": "2.0", "id": None, "result": 1})
    assert editor.command("test.echo", {})["given"] == {}
    assert not waiting.arrived.is_set()


BROKEN = {
    "a length that is no number": b"Content-Length: many\r\n\r\n{}",
    "a negative length": b"Content-Length: -5\r\n\r\n{}",
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "no length": b"Content-Type: text\r\n\r\n{}",
    "a header without a colon": b"GET / HTTP/1.1\r\n\r\n",
    "headers without an end": b"X: " + b"y" * 20_000,
    "more than is taken": b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1),
    "a length beyond all numbers": b"Content-Length: " + b"9" * 400 + b"\r\n\r\n",
    "no JSON": frame(b"{nope"),
    "no UTF-8": frame(b'{"jsonrpc":"2.0","method":"\xff\xfe"}'),
    "a list": frame(b"[]"),
    "a number": frame(b"7"),
    "another version": frame(b'{"jsonrpc":"1.0","id":1,"method":"x"}'),
    "too deep": frame(b'{"jsonrpc":"2.0","id":9,"method":"x","params":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_message_closes_its_connection_politely_and_no_other(
    door: LspDoor, editor: LspClient, data: bytes
) -> None:
    with door.connect() as broken:
        broken.initialize()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            broken.send_raw(data)
        assert broken.ended.wait(10)
        (told,) = broken.strays
    assert (told["id"], told["error"]["code"]) == (None, PARSE_ERROR)
    assert "closed" in told["error"]["message"]
    assert editor.command("test.echo", {})["given"] == {}


def test_half_a_surrogate_pair_closes_nothing(editor: LspClient, events: Events) -> None:
    body = rb'{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///a",'
    body += rb'"languageId":"x","version":1,"text":"a\ud83db\udca9 \ud83d\udca9"}}}'
    editor.send_raw(frame(body))
    until(lambda: bool(events.seen))
    assert events.seen[0].text == "a\ufffdb\ufffd \U0001f4a9"


@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_messages_are_cut_the_same_wherever_the_bytes_are_cut(bodies: list[bytes], step: int) -> None:
    stream = b"".join(b"Content-Type: x\r\n" * (len(body) % 2) + frame(body) for body in bodies)
    frames, found = Frames(), []
    for start in range(0, len(stream), step):
        frames.feed(stream[start : start + step])
        while (body := frames.take()) is not None:
            found.append(body)
    assert found == bodies


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_messages_or_are_refused(data: bytes) -> None:
    frames = Frames()
    frames.feed(data)
    try:
        while (body := frames.take()) is not None:
            assert decode(body) is not Ellipsis
    except BadFrameError as error:
        assert error.sentence.endswith(".")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4))
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_again_but_for_halves_of_pairs(message: dict[str, Any]) -> None:
    def whole(value: Any) -> Any:
        if isinstance(value, str):
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if isinstance(value, list):
            return [whole(one) for one in value]
        return {name: whole(one) for name, one in value.items()} if isinstance(value, dict) else value

    assert decode(encode(message)) == whole(message)


# -- nobody holds up anybody, and nothing is kept


def test_an_editor_that_stops_reading_is_cut_off_before_it_costs_much_memory(
    door: LspDoor, editor: LspClient, events: Events
) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(door.path))
        flood = {
            "command": "test.flood",
            "arguments": [{"times": 2 * MAX_UNREAD_BYTES // 1_000_000, "bytes": 1_000_000}],
        }
        for message in (
            {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}, "processId": None}},
            {"jsonrpc": "2.0", "id": 2, "method": "workspace/executeCommand", "params": flood},
        ):
            deaf.sendall(frame(json.dumps(message).encode()))
            until(lambda: len(door.servers) == 2)
        until(lambda: len(door.connections.open) == 1)
        assert editor.command("test.echo", {})["given"] == {}


def test_thousands_of_messages_at_once_do_not_keep_another_editor_waiting(door: LspDoor, editor: LspClient) -> None:
    with door.connect() as busy:
        busy.initialize()
        one = frame(b'{"jsonrpc":"2.0","method":"$/tomorrow","params":{"text":"' + b"x" * 100 + b'"}}')
        last = {"jsonrpc": "2.0", "id": 99, "method": "workspace/executeCommand", "params": {"command": "test.echo"}}
        busy.send_raw(one * 20_000)
        assert editor.command("test.echo", {})["given"] == {}
        busy.send(last)
        until(lambda: any(stray.get("id") == 99 for stray in busy.strays))


def test_a_notification_and_a_connection_leave_nothing_behind(door: LspDoor, events: Events) -> None:
    with door.connect() as editor:
        editor.initialize()
        for number in range(50):
            editor.open(f"file:///{number}", "text")
        editor.command("test.echo")
        until(lambda: len(events.seen) == 50)
        assert door.servers[0].protocol._request_futures == {}
    until(lambda: not door.connections.open)
    gone = weakref.ref(door.servers.pop().protocol)

    def collected() -> bool:
        gc.collect()
        return gone() is None

    until(collected)


def test_a_foreign_user_is_turned_away() -> None:
    with LspDoor(read_peer=lambda connection: 12345) as door, door.connect() as editor:
        assert editor.ended.wait(10)
        assert door.servers == []


def test_nothing_of_a_message_is_logged(editor: LspClient, events: Events, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "what is in the document"
    editor.open("file:///a", secret)
    editor.notify("textDocument/didOpen", {"textDocument": {"uri": 3, "text": secret}})
    editor.command("test.echo", {"text": secret})
    failure(lambda: editor.request("textDocument/inlineCompletion", {"position": secret}))
    failure(lambda: editor.request("textDocument/tomorrow", {"text": secret}))
    until(lambda: bool(events.seen))
    ours = [record for record in caplog.records if record.name.startswith("beastmode_lsp")]
    assert not [record for record in ours if secret in logging.Formatter().format(record)]


def test_what_runs_when_the_worker_ends_is_answered_with_an_error(
    door: LspDoor, editor: LspClient, events: Events
) -> None:
    waiting = editor.begin("workspace/executeCommand", {"command": "test.wait"})
    assert events.started.wait(10)
    door.run(door.connections.stop())
    error = failure(waiting.result)
    assert (error.code, error.data["kind"]) == (FAILED, "shutting_down")
    assert editor.ended.wait(10)
    assert events.cancelled.wait(10)
