"""The scripted session in Neovim, by the plugin: through `beast lsp`, and over the socket."""

from __future__ import annotations

import pytest

from support import editor_steps as steps
from support import neovim
from support.editor_stage import MODEL, Played, once, open_stage
from support.tracked import ROOT

CLIENT = "neovim"
SCRIPT = ROOT / "tests" / "editors" / "session.lua"


@pytest.fixture(scope="module", params=["stdio", "socket"])
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Played:
    environ = neovim.environ(tmp_path_factory.mktemp("neovim"))

    def play() -> Played:
        with open_stage() as stage:
            return stage.play(neovim.script(SCRIPT, request.param), environ)

    return once(tmp_path_factory, f"neovim-{request.param}", play)


@pytest.fixture
def by_socket(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.callspec.params["played"] == "socket")


def test_the_session_comes_to_its_end(played: Played) -> None:
    assert played["end"] == {"clients": 0, "running": 0}
    assert played.code == 0, played.errors


def test_neovim_attaches_by_the_plugin_alone(played: Played) -> None:
    assert played["attach"]["name"] == "beast"
    assert played["attach"]["encoding"] == "utf-8"


def test_the_menu_of_actions_calls_no_model(played: Played) -> None:
    steps.menu_called_no_model(played)


def test_actions_are_resolved_and_applied(played: Played) -> None:
    steps.actions_were_resolved_and_applied(played)


def test_a_command_on_a_selection_edits_it_and_says_what_it_cost(played: Played) -> None:
    steps.command_edited(played)
    assert any(MODEL in notice and "$" in notice for notice in played["command"]["notices"])


def test_a_preview_shows_both_texts_and_waits(played: Played) -> None:
    steps.preview_waited_for_the_person(played)
    before, after = played["preview"]["sides"]
    assert before["diff"] and after["diff"]
    assert before["text"].rstrip("\n") == played["preview"]["before"].rstrip("\n")
    assert after["text"].rstrip("\n") == played["preview"]["text"].rstrip("\n")


def test_an_explanation_streams_into_a_window(played: Played) -> None:
    told = played["stream"]
    assert told["shown"] == told["text"] == "You said: Tell me in a few words"
    assert told["deltas"] > 3
    assert told["cost"] in told["footer"]


def test_stop_means_stop(played: Played) -> None:
    told = played["cancel"]
    assert "BEAST ask" in told["busy"]
    assert (told["added"], told["running"]) == (0, 0)
    assert "stopped" in told["footer"]
    steps.cancel_reached_the_provider(played)


def test_ghost_text_asked_for_by_hand(played: Played) -> None:
    assert played["inline"]["ghost"] == played["inline"]["line"] == "    return a + b"
    assert played["inline"]["native"] is True


def test_a_restart_of_the_daemon_in_the_middle(played: Played, by_socket: bool) -> None:
    steps.restart_kept_the_document(played)
    assert played["restart"]["problem"]["code"] == steps.REQUEST_FAILED
    assert played["restart"]["same_client"] is not by_socket


def test_a_chat_that_is_repeated_comes_from_the_cache(played: Played) -> None:
    told = played["chat"]
    for shown in (told["first"], told["again"]):
        assert "What is a semaphore?" in shown
        assert "You said: What is a semaphore?" in shown
        assert MODEL in shown
    assert "from the cache" not in told["first"]
    assert "from the cache" in told["again"]


def test_conversations_are_found_again(played: Played) -> None:
    told = played["chat"]
    assert {session["id"] for session in told["sessions"]} >= set(told["ids"])
    assert "You said: What is a semaphore?" in told["history"]


def test_what_it_cost_is_shown(played: Played) -> None:
    steps.costs_are_told(played, CLIENT)
    assert any("$" in notice for notice in played["cost"]["notices"])
    assert MODEL in played["cost"]["statusline"] or "$" in played["cost"]["statusline"]
