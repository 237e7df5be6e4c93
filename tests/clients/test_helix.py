"""The scripted session in Helix, set up as docs/editors/helix.md says, beside a server that looks for mistakes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import editor_steps as steps
from support.editor_stage import MODEL, Played, Stage, Told, open_stage
from support.helix import COMPLETE, DOWN, ESCAPE, Helix
from support.neovim import environ
from support.tracked import ROOT, text_of

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

CLIENT = "helix"
PAGE = Path("docs/editors/helix.md")
LANGUAGE_SERVERS = 'language-servers = ["ty", "ruff", "beast"]'
TITLE = re.compile(r"BEAST: [^│]*?(?=\s{2}|\s*│|$)", re.MULTILINE)
LINT = f"""
[language-server.lint]
command = {sys.executable!r}
args = [{str(ROOT / "tests" / "clients" / "editors" / "lint_server.py")!r}]
"""
HERE = '{"uri": "file://%{file_path_absolute}", "range": {"start": {"line": 6, "character": 4}, '
HERE += '"end": {"line": 6, "character": 4}}, "apply": false}'


def configure(home: Path) -> dict[str, str]:
    """Writes what the page shows; its other language servers are ours."""
    languages, config = re.findall(r"^~~~toml\n(.*?)^~~~$", text_of(PAGE) or "", re.MULTILINE | re.DOTALL)
    assert LANGUAGE_SERVERS in languages
    folder = home / "config" / "helix"
    folder.mkdir(parents=True)
    servers = languages.replace(LANGUAGE_SERVERS, 'language-servers = ["lint", "beast"]')
    (folder / "languages.toml").write_text(servers + LINT)
    (folder / "config.toml").write_text(f'[editor]\nend-of-line-diagnostics = "disable"\n{config}')
    return environ(home)


class Session:
    """What a person does in Helix; each step tells what was seen.

    Args:
        stage: Everything around Helix.
        helix: It runs.
    """

    def __init__(self, stage: Stage, helix: Helix) -> None:
        self.stage, self.helix = stage, helix
        self.played = Played()

    def play(self) -> Played:
        """Goes through all steps, until one fails."""
        try:
            for step in (self.attach, self.actions, self.command, self.preview, self.explain, self.cancel):
                step()
            for step in (self.complete, self.restart, self.chat, self.cost):
                step()
            self.tell("end", code=self.helix.end())
        except AssertionError as error:
            self.played.errors = str(error)
        provider = self.stage.provider
        self.played.rows, self.played.prompts = self.stage.daemon.rows(), provider.prompts()
        self.played.endings = [call.ended for call in provider.calls if "messages" in call.body]
        return self.played

    def tell(self, step: str, **facts: object) -> None:
        self.played.steps[step] = Told(facts, len(self.stage.provider.calls))

    def menu(self) -> list[str]:
        """Opens the menu of code actions, and reads it."""
        self.helix.type(" a")
        self.helix.see("BEAST: Explain")
        return [title.strip() for title in TITLE.findall(self.helix.text)]

    def choose(self, part: str, becomes: Callable[[], bool]) -> list[str]:
        """Chooses a code action, and waits for what it does."""
        titles = self.menu()
        self.helix.type(DOWN * titles.index(next(title for title in titles if part in title)))
        self.helix.type("\r")
        self.helix.see(becomes)
        return titles

    def page(self, words: str) -> str:
        """Waits for a page that the server has opened, reads it and closes it."""
        self.helix.see(words)
        self.helix.see(" $")
        shown = self.helix.buffer
        self.helix.command("bc")
        self.helix.see("sample.py")
        return shown

    def attach(self) -> None:
        self.helix.see("● 1")  # the other server has looked, and beast is started with it
        self.helix.type("gg3x")
        self.helix.see(self._offers)
        self.tell("menu", titles=self.menu())
        self.helix.type(ESCAPE)

    def _offers(self) -> bool:
        self.helix.type(" a", 0.5)
        found = "BEAST: Explain" in self.helix.text
        if found:
            self.helix.type(ESCAPE, 0.5)
        return found

    def actions(self) -> None:
        self.helix.type("gg3x")
        self.choose("docstring", lambda: "Written by a model" in self.helix.buffer)
        self.tell("docstring", text=self.helix.buffer)
        self.helix.type("]d")
        titles = self.choose("Fix", lambda: "a * b" in self.helix.buffer)
        self.tell("fix", text=self.helix.buffer, titles=titles)

    def command(self) -> None:
        self.helix.type("gg4x")
        self.helix.type(" Br")
        self.helix.see(lambda: "total" in self.helix.buffer)
        self.tell("command", text=self.helix.buffer)

    def preview(self) -> None:
        before = self.helix.buffer
        self.helix.command(f"lsp-workspace-command beast.docstring {HERE.replace('6', '7')}")
        self.helix.see("+++ b/sample.py")
        diff = self.helix.buffer
        self.helix.command("bc")
        self.helix.see(lambda: self.helix.buffer == before)
        self.helix.type(" By")
        self.helix.see(lambda: self.helix.buffer != before)
        self.tell("preview", before=before, diff=diff, text=self.helix.buffer)

    def explain(self) -> None:
        self.helix.type("gg4x")
        self.helix.type(" Ba")
        self.helix.type("Tell me in a few words\r")
        self.tell("stream", shown=self.page("You said: Tell me in a few words"))

    def begin_slowly(self, message: str) -> None:
        self.helix.type(" Bc")
        self.helix.type(f"{message}\r")
        self.helix.see(" words")

    def cancel(self) -> None:
        self.begin_slowly("Count slowly")
        self.helix.type(" Bs")
        self.helix.see(lambda: any(call.ended == "left" for call in self.stage.provider.calls))
        self.helix.look(0.5)
        self.tell("cancel", shown=self.helix.text)

    def complete(self) -> None:
        self.helix.type("geo")
        self.helix.type("\x15def sub(a, b):\r")
        self.helix.look(1.2)  # what is asked for right behind a key was not asked for by hand
        self.helix.type(COMPLETE)
        self.helix.see("BEAST: return a + b")
        self.helix.type(DOWN)
        self.helix.type("\r")
        self.helix.see(lambda: "BEAST: " not in self.helix.text)
        self.tell("inline", line=self.helix.buffer.rstrip("\n").splitlines()[-1])
        self.helix.type(ESCAPE)

    def restart(self) -> None:
        self.helix.type("ggO")
        self.helix.type("# not saved yet")
        self.helix.type(ESCAPE)
        self.begin_slowly("Count slowly again")
        self.stage.restart()
        self.helix.look(2.0)
        problem = self.helix.text
        self.helix.type("gg4x")
        self.helix.type(" Ba")
        self.helix.type("And after the restart\r")
        shown = self.page("You said: And after the restart")
        self.tell("restart", problem=problem, text=next(line for line in shown.splitlines() if line[:9] == "You said:"))

    def say(self, message: str) -> str:
        self.helix.type(" Bn")
        self.helix.type(" Bc")
        self.helix.type(f"{message}\r")
        return self.page(f"You said: {message}")

    def chat(self) -> None:
        message = "What is a semaphore?"
        self.tell("chat", first=self.say(message), again=self.say(message))

    def cost(self) -> None:
        self.helix.type(" Bq")
        self.helix.see("BEAST: today")
        notice = self.helix.text
        self.helix.type(" Bw")
        self.tell("cost", notice=notice, page=self.page("# Request req_"))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    home = configure(tmp_path_factory.mktemp("helix"))
    with open_stage() as stage:
        home["BEAST_HOME"] = str(stage.daemon.home)
        with Helix(home, stage.workspace, "sample.py") as helix:
            return Session(stage, helix).play()


def test_the_session_comes_to_its_end(played: Played) -> None:
    assert played.errors == ""
    assert played["end"]["code"] == 0


def test_the_menu_of_actions_calls_no_model(played: Played) -> None:
    titles = set(played["menu"]["titles"])
    assert {"BEAST: Explain", "BEAST: Refactor", "BEAST: Write docstring", "BEAST: Write tests"} <= titles
    assert played.calls_at("menu") == 0


def test_actions_are_resolved_and_applied(played: Played) -> None:
    steps.actions_were_resolved_and_applied(played)


def test_a_diagnostic_of_another_server_is_offered_to_be_mended(played: Played) -> None:
    assert "BEAST: Fix “Undefined name c”" in played["fix"]["titles"]


def test_a_command_on_a_selection_edits_it(played: Played) -> None:
    steps.command_edited(played)


def test_a_preview_waits_for_the_person(played: Played) -> None:
    steps.preview_waited_for_the_person(played)
    assert '+    """Written by a model."""' in played["preview"]["diff"]


def test_an_answer_is_shown_with_its_cost(played: Played) -> None:
    assert "You said: Tell me in a few words" in played["stream"]["shown"]
    assert f"*{MODEL} · " in played["stream"]["shown"]


def test_leaving_the_server_stops_what_runs(played: Played) -> None:
    steps.cancel_reached_the_provider(played)


def test_a_completion_is_asked_for_by_hand(played: Played) -> None:
    assert played["inline"]["line"] == "    return a + b"


def test_a_restart_of_the_daemon_in_the_middle(played: Played) -> None:
    steps.restart_kept_the_document(played)
    assert " words" not in played["restart"]["problem"]  # nothing is shown as running that was cut off


def test_a_chat_that_is_repeated_comes_from_the_cache(played: Played) -> None:
    for shown in (played["chat"]["first"], played["chat"]["again"]):
        assert "You said: What is a semaphore?" in shown
        assert f"*{MODEL} · " in shown
    assert "from the cache" not in played["chat"]["first"]
    assert "from the cache" in played["chat"]["again"]


def test_what_it_cost_is_shown(played: Played) -> None:
    steps.costs_are_told(played, CLIENT)
    assert "from the cache" in played["cost"]["notice"]
    assert "hit_exact" in played["cost"]["page"]
