"""The scripted session in a plain Node.js client, on the libraries of VS Code: by `beast lsp`, and by the socket."""

from __future__ import annotations

import os

import pytest

from support import editor_steps as steps
from support import node_tools
from support.editor_stage import MODEL, Played, once, open_stage
from support.tracked import ROOT

CLIENT = "node"
PROGRAM = ROOT / "tests" / "editors" / "session.mjs"


@pytest.fixture(scope="module", params=["stdio", "socket"])
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Played:
    path = os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ.get("PATH", "")])

    def play() -> Played:
        with open_stage() as stage:
            return stage.play([node_tools.node(), str(PROGRAM), request.param], {**os.environ, "PATH": path})

    return once(tmp_path_factory, f"node-{request.param}", play)


def test_the_session_comes_to_its_end(played: Played) -> None:
    assert played["end"] == {"code": 0, "refused": 0}
    assert played.code == 0, played.errors


def test_the_server_announces_what_it_can(played: Played) -> None:
    told = played["attach"]
    assert told["name"] == "beast"
    can = told["capabilities"]
    assert can["codeActionProvider"]["resolveProvider"] is True
    assert can["positionEncoding"] == "utf-16"
    assert can["inlineCompletionProvider"] is not None
    assert {"beast.explain", "beast.chat", "beast.apply", "beast.cost"} <= set(
        can["executeCommandProvider"]["commands"]
    )


def test_the_menu_of_actions_calls_no_model(played: Played) -> None:
    steps.menu_called_no_model(played)


def test_actions_are_resolved_lazily_and_applied(played: Played) -> None:
    steps.actions_were_resolved_and_applied(played)
    assert played["docstring"]["before"] is None
    (change,) = played["docstring"]["edit"]["documentChanges"]
    assert change["textDocument"]["version"] == 1
    assert played["docstring"]["edit"]["changeAnnotations"]


def test_a_command_has_the_editor_apply_its_edit(played: Played) -> None:
    steps.command_edited(played)
    result = played["command"]["result"]
    assert result["applied"] is True
    assert [edit["kind"] for edit in result["edits"]] == ["modify"]
    assert result["model"] == MODEL
    assert (played["command"]["progress"][0], played["command"]["progress"][-1]) == ("begin", "end")


def test_edits_wait_for_the_person_who_wants_to_see_them(played: Played) -> None:
    steps.preview_waited_for_the_person(played)
    assert played["preview"]["kept"]["applied"] is False
    assert '+    """Written by a model."""' in played["preview"]["preview"]["diff"]
    assert played["preview"]["applied"]["applied"] is True


def test_an_answer_streams_in(played: Played) -> None:
    told = played["stream"]
    assert told["result"]["text"] == "".join(told["deltas"]) == "You said: Tell me in a few words"
    assert len(told["deltas"]) > 3
    assert told["done"] == [{"id": "s1", "cancelled": False}]


def test_stop_means_stop(played: Played) -> None:
    told = played["cancel"]
    assert told["error"]["code"] == steps.CANCELLED
    assert told["done"]["cancelled"] is True
    assert told["after"] == 0
    steps.cancel_reached_the_provider(played)


def test_ghost_text_asked_for_by_hand(played: Played) -> None:
    (item,) = played["inline"]["items"]
    assert item["insertText"] == "    return a + b"


def test_a_restart_of_the_daemon_in_the_middle(played: Played) -> None:
    steps.restart_kept_the_document(played)
    error = played["restart"]["error"]
    if error is not None:  # by `beast lsp`: the socket's own client has lost its connection
        assert error["code"] == steps.REQUEST_FAILED
        assert error["data"]["tip"]


def test_a_chat_that_is_repeated_comes_from_the_cache(played: Played) -> None:
    told = played["chat"]
    assert told["first"]["text"] == told["again"]["text"] == "You said: What is a semaphore?"
    assert told["first"]["cache"]["result"] == "miss"
    assert told["again"]["cache"]["result"] == "hit_exact"
    assert ["".join(deltas) for deltas in told["deltas"]] == [told["first"]["text"]] * 2
    assert "from the cache" in told["again"]["costLine"]


def test_what_it_cost_is_shown(played: Played) -> None:
    steps.costs_are_told(played, CLIENT)
    today = played["cost"]["cost"]["today"]
    assert today["cost_usd"] > 0
    assert today["saved_usd"] > 0
    assert played["cost"]["cost"]["line"]
    assert MODEL in played["command"]["result"]["costLine"]
    assert played["cost"]["status"]["health"] == "healthy"
