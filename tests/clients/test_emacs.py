"""The scripted session in Emacs, with eglot set up as docs/editors/emacs.md says, and the commands that it shows."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from support import editor_steps as steps
from support import emacs
from support.editor_stage import MODEL, Played, open_stage
from support.neovim import environ
from support.tracked import ROOT, text_of

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

CLIENT = "emacs"
PAGE = Path("docs/editors/emacs.md")
SCRIPT = ROOT / "tests" / "clients" / "editors" / "session.el"


def blocks() -> list[str]:
    """The Lisp that the page shows."""
    return re.findall(r"^```elisp\n(.*?)^```$", text_of(PAGE) or "", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    home = tmp_path_factory.mktemp("emacs")
    init, commands = home / "init.el", home / "beast.el"
    init.write_text(blocks()[0])
    commands.write_text(next(text for text in blocks() if "(provide 'beast)" in text))
    with open_stage() as stage:
        return stage.play(emacs.script(SCRIPT, init, commands), environ(home, LC_ALL="C.UTF-8"))


def test_the_session_comes_to_its_end(played: Played) -> None:
    assert played["end"] == {"running": 0, "code": 0}
    assert played.code == 0, played.errors


def test_eglot_attaches(played: Played) -> None:
    assert played["attach"]["name"] == "beast"
    assert played["attach"]["encoding"] == "utf-32"  # the first that eglot lists


def test_the_menu_of_actions_calls_no_model(played: Played) -> None:
    assert played.calls_at("offered") == 0
    assert played["offered"]["titles"] == played["menu"]["titles"]
    assert ["BEAST: Fix “Undefined name c”", "quickfix"] in played["menu"]["wrong"]
    assert played.calls_at("menu") == 1  # the docstring's; looking for mistakes asked nobody


def test_actions_are_resolved_and_applied(played: Played) -> None:
    steps.actions_were_resolved_and_applied(played)


def test_a_command_on_a_region_edits_it_and_says_what_it_cost(played: Played) -> None:
    steps.command_edited(played)
    assert any(MODEL in notice and "$" in notice for notice in played["command"]["notices"])


def test_a_preview_waits_for_the_person(played: Played) -> None:
    steps.preview_waited_for_the_person(played)
    assert '+    """Written by a model."""' in played["preview"]["diff"]


def test_an_explanation_is_shown_with_its_cost(played: Played) -> None:
    assert played["stream"]["shown"].startswith("You said: Tell me in a few words\n")
    assert f"*{MODEL} · " in played["stream"]["shown"]


def test_stop_means_stop(played: Played) -> None:
    assert played["cancel"] == {"added": 0, "notices": ["BEAST: The request was cancelled."]}
    steps.cancel_reached_the_provider(played)


def test_a_completion_is_asked_for_by_hand(played: Played) -> None:
    assert played["inline"] == {"items": ["BEAST: return a + b"], "line": "    return a + b"}


def test_a_restart_of_the_daemon_in_the_middle(played: Played) -> None:
    steps.restart_kept_the_document(played)
    assert played["restart"]["same_client"] is True
    assert any("daemon" in notice for notice in played["restart"]["problem"])


def test_a_chat_that_is_repeated_comes_from_the_cache(played: Played) -> None:
    for shown in (played["chat"]["first"], played["chat"]["again"]):
        assert "## What is a semaphore?\n\nYou said: What is a semaphore?\n\n*" in shown
    assert "from the cache" not in played["chat"]["first"]
    assert "from the cache" in played["chat"]["again"]


def test_what_it_cost_is_shown(played: Played) -> None:
    steps.costs_are_told(played, CLIENT)
    assert any("BEAST: today" in notice and "$" in notice for notice in played["cost"]["notices"])
    assert "hit_exact" in played["cost"]["page"]


@pytest.fixture(scope="module")
def in_lsp_mode(tmp_path_factory: pytest.TempPathFactory) -> Played:
    home = tmp_path_factory.mktemp("lsp-mode")
    init = home / "init.el"
    init.write_text(next(text for text in blocks() if "lsp-register-client" in text))
    more = {"PYTHON": sys.executable, "LINT": str(SCRIPT.with_name("lint_server.py")), "ADDONS": str(emacs.addons())}
    with open_stage() as stage:
        script = emacs.script(SCRIPT.with_name("lsp_mode.el"), init)
        return stage.play(script, environ(home, LC_ALL="C.UTF-8", **more))


def test_lsp_mode_applies_actions_beside_another_server(in_lsp_mode: Played) -> None:
    assert in_lsp_mode.code == 0, in_lsp_mode.errors
    steps.actions_were_resolved_and_applied(in_lsp_mode)
    assert in_lsp_mode.calls_at("menu") == 0
    assert "BEAST: Fix “Undefined name c”" in in_lsp_mode["fix"]["titles"]


def test_lsp_mode_shows_answers_completes_and_tells_the_cost(in_lsp_mode: Played) -> None:
    assert in_lsp_mode["stream"]["shown"].startswith("You said: ")
    assert f"*{MODEL} · " in in_lsp_mode["stream"]["shown"]
    assert in_lsp_mode["inline"]["items"] == ["BEAST: return a + b"]
    assert "BEAST: today" in in_lsp_mode["cost"]["notice"]
    assert {row["client"] for row in in_lsp_mode.rows} == {CLIENT}
