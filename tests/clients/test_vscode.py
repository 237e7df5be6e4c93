"""The extension in VS Code itself: the scripted session of an editor, driven in Chromium as a person would."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from beastmode.client import Client
from support.browser import chromium
from support.code_server import BIN, Editor, code_server, pack
from support.editor_stage import MODEL, SAMPLE, Stage, open_stage
from support.vscode_window import Window, window
from support.waiting import until

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

WRONG = "function mul(a: number, b: number): number {\n    return a * c;\n}\nexport { mul };\n"
DOCSTRING = '"""Written by a model."""'
DOCUMENTED = SAMPLE.replace("    result", f"    {DOCSTRING}\n    result", 1)
REFACTORED = DOCUMENTED.replace("result", "total")
KEY = "key-of-a-person-0123456789"


@pytest.fixture(scope="module")
def vsix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("vsix"))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as stage:
        (stage.workspace / "wrong.ts").write_text(WRONG)
        (stage.workspace / "same.py").write_text(SAMPLE)
        yield stage


@pytest.fixture(scope="module")
def editor(stage: Stage, vsix: Path) -> Iterator[Editor]:
    with code_server(vsix, {"beast.home": str(stage.daemon.home)}) as editor:
        yield editor


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shared(browser: Browser, stage: Stage, editor: Editor) -> Iterator[Window]:
    with window(browser, editor.url, stage.workspace) as opened:
        yield opened


@pytest.fixture(scope="module")
def careful(browser: Browser, editor: Editor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """A window of another workspace, which wants to see edits first."""
    folder = tmp_path_factory.mktemp("careful")
    (folder / ".vscode").mkdir()
    (folder / ".vscode" / "settings.json").write_text('{"beast.edits.preview": true}')
    (folder / "sample.py").write_text(SAMPLE)
    with window(browser, editor.url, folder) as opened:
        opened.open_file("sample.py")
        yield opened


@pytest.fixture
def w(shared: Window, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Window]:
    """The window as the test before left it, with nothing open over it."""
    for _ in range(3):
        shared.page.keyboard.press("Escape")
    failed = request.session.testsfailed
    yield shared
    if request.session.testsfailed > failed:
        shared.page.screenshot(path=tmp_path / "failed.png")


def test_the_status_bar_shows_health_cost_and_share(w: Window) -> None:
    expect(w.status).to_contain_text("BEAST 0 $")
    expect(w.status.locator(".codicon-zap")).to_be_visible()


def test_the_menu_of_code_actions_calls_no_model(stage: Stage, w: Window) -> None:
    w.open_file("sample.py")
    w.select_lines(1, 3)
    titles = w.code_actions().all_text_contents()
    assert {"BEAST: Refactor", "BEAST: Write docstring", "BEAST: Write tests", "BEAST: Generate here"} <= set(titles)
    assert stage.provider.calls == []


def test_a_code_action_is_resolved_and_its_edit_applied(stage: Stage, w: Window) -> None:
    w.open_file("sample.py")
    w.select_lines(1, 3)
    w.act("BEAST: Write docstring", DOCUMENTED)
    assert len(stage.provider.calls) == 1
    w.until(lambda: "0 $" not in w.status.inner_text(), "the status bar shows what it cost")


def test_a_diagnostic_is_fixed_from_its_light_bulb(stage: Stage, w: Window) -> None:
    w.open_file("wrong.ts")
    w.page.locator(".squiggly-error").first.wait_for()
    w.go_to(2, 17)
    w.act("BEAST: Fix “Cannot find name 'c'", WRONG.replace("* c", "* b"))
    assert "Cannot find name 'c'" in stage.provider.prompts()[-1]


def test_a_command_of_the_palette_edits(w: Window) -> None:
    w.open_file("sample.py")
    w.select_lines(1, 4)
    w.run("BEAST MODE: Refactor")
    w.answer("")
    w.reads(REFACTORED)
    expect(w.page.locator(".statusbar-item", has_text=f"{MODEL} ·")).to_be_visible()


def test_an_edit_is_shown_first_where_that_is_wished(careful: Window) -> None:
    careful.select_lines(6, 7)
    careful.run("BEAST MODE: Write Docstring")
    careful.tab("BEAST: Write docstring").wait_for()
    expect(careful.page.locator(".monaco-diff-editor .line-insert").first).to_be_visible()
    expect(careful.page.locator(".monaco-diff-editor .editor.modified")).to_contain_text(DOCSTRING)
    careful.button("Apply")
    careful.tab("sample.py").wait_for()
    careful.reads(SAMPLE.replace("    return a * c", f"    {DOCSTRING}\n    return a * c"))


def test_a_code_action_is_shown_first_too_and_what_is_discarded_changes_nothing(
    careful: Window,
) -> None:
    careful.open_file("sample.py")
    before = careful.text
    careful.select_lines(1, 3)
    careful.code_actions().filter(has_text="BEAST: Refactor").click()
    careful.tab("BEAST: Refactor").wait_for()
    expect(careful.page.locator(".monaco-diff-editor .editor.modified")).to_contain_text("total")
    careful.run("BEAST MODE: Discard This Edit")
    careful.tab("sample.py").wait_for()
    assert careful.text == before


def test_an_answer_is_told_in_the_chat(stage: Stage, w: Window) -> None:
    w.open_file("sample.py")
    w.select_lines(1, 4)
    w.run("BEAST MODE: Explain")
    answer = w.answered()
    expect(answer).to_contain_text("You said: Explain the selected part.")
    expect(answer.locator(".cost")).to_contain_text(f"{MODEL} ·")
    expect(w.chat.locator("article.user").last).to_contain_text("sample.py:1-4")


def test_the_same_action_from_the_terminal_comes_from_the_cache(stage: Stage, w: Window) -> None:
    w.open_file("same.py")
    w.select_lines(1, 3)
    w.run("BEAST MODE: Refactor")
    w.answer("")
    w.reads(SAMPLE.replace("result", "total"))
    calls = len(stage.provider.calls)
    command = [str(BIN / "beast"), "action", "refactor", "same.py", "--lines", "1-3", "--json"]
    done = subprocess.run(command, cwd=stage.workspace, env=stage.daemon.environ, capture_output=True, timeout=60)
    assert json.loads(done.stdout)["cache"]["result"] == "hit_exact", done.stderr
    assert len(stage.provider.calls) == calls


def test_a_question_that_is_repeated_comes_from_the_cache(stage: Stage, w: Window) -> None:
    w.open_chat()
    w.new_chat()
    w.ask("What is a semaphore?")
    expect(w.answered().locator(".cost")).to_have_text(re.compile(r"· (< )?0\.000"))
    calls = len(stage.provider.calls)
    w.new_chat()
    w.ask("What is a semaphore?")
    expect(w.answered().locator(".cost")).to_contain_text("from the cache (exact")
    assert len(stage.provider.calls) == calls


def test_stop_means_stop(stage: Stage, w: Window) -> None:
    w.open_chat()
    w.ask("Count slowly")
    expect(w.chat.locator("article.assistant").last).to_contain_text("word3")
    w.chat.locator("#stop").click()
    answer = w.answered()
    expect(answer).to_contain_text("Stopped.")
    until(lambda: stage.provider.calls[-1].ended == "left")
    until(lambda: stage.daemon.rows()[0]["outcome"] == "cancelled")
    said = answer.inner_text()
    w.page.wait_for_timeout(500)
    assert answer.inner_text() == said


def test_code_of_an_answer_goes_into_the_file(w: Window) -> None:
    w.open_file("wrong.ts")
    w.page.keyboard.press("Control+End")
    w.open_chat()
    w.new_chat()
    w.ask("Write the code of a constant")
    block = w.answered().locator(".code")
    expect(block.locator("code")).to_have_text("GENERATED = 42")
    block.locator("[data-do=insert]").click()
    w.until(lambda: "GENERATED = 42" in w.text, "the code is in the file")
    block.locator("[data-do=copy]").click()
    expect(block.locator("[data-do=copy]")).to_have_text("Copied")


def test_ghost_text_when_asked_for(w: Window) -> None:
    w.open_file("sample.py")
    w.page.keyboard.press("Control+End")
    w.page.keyboard.type("\n\ndef sub(a, b):\n")
    w.page.keyboard.press("Home")
    w.run("Trigger Inline Suggestion")
    ghost = w.page.locator("[class*=ghost-text]").first
    ghost.wait_for()
    w.page.keyboard.press("Tab")
    w.until(lambda: "return" in w.text.split("def sub(a, b):")[1], "the ghost text was taken")


def test_a_restart_of_the_daemon_loses_nothing(stage: Stage, w: Window) -> None:
    w.open_file("sample.py")
    w.page.keyboard.press("Control+Home")
    w.page.keyboard.type("# not saved yet\n")
    w.open_chat()
    w.new_chat()
    w.ask("Count slowly again")
    expect(w.chat.locator("article.assistant").last).to_contain_text("word3")
    stage.restart()
    expect(w.answered().locator(".error, .stopped")).to_be_visible()
    w.chat.locator("#attach").check()
    w.ask("And after the restart")
    expect(w.answered()).to_contain_text("You said: And after the restart")
    assert "# not saved yet" in json.dumps(stage.provider.calls[-1].body)
    expect(w.chat.locator("article.user").first).to_contain_text("Count slowly again")
    w.chat.locator("#attach").uncheck()


def test_a_model_is_registered_and_its_key_is_in_no_file_of_the_editor(stage: Stage, editor: Editor, w: Window) -> None:
    w.run("BEAST MODE: Register Custom Model")
    for answer in ("other", f"{stage.provider.url}/v1", "coder", KEY, "1 2"):
        w.answer(answer)
    w.notification("custom:other is registered").wait_for()
    assert "custom:other" in [one["id"] for one in stage.daemon.call("models.list")["models"]]
    w.button("Use It Here")
    expect(w.chat.locator("#model")).to_have_value("custom:other")
    w.new_chat()
    w.ask("Which model is this?")
    expect(w.answered().locator(".cost")).to_contain_text("custom:other ·")
    assert stage.provider.calls[-1].headers["authorization"] == f"Bearer {KEY}"
    files = [file for folder in (stage.workspace, editor.folder) for file in folder.rglob("*") if file.is_file()]
    assert [file for file in files if KEY.encode() in file.read_bytes()] == []
    w.chat.locator("#model").select_option("")


def test_the_last_answer_is_explained_and_a_stored_one_denied(stage: Stage, w: Window) -> None:
    w.open_chat()
    for _ in range(2):
        w.new_chat()
        w.ask("What is a mutex?")
        answer = w.answered()
    expect(answer.locator(".cost")).to_contain_text("from the cache")
    w.run("BEAST MODE: Explain Last Answer")
    w.page.locator(".tab.active", has_text="Preview").wait_for()
    calls = len(stage.provider.calls)
    answer.get_by_role("button", name="Not a good answer").click()
    w.notification("will not be given to this question again").wait_for()
    w.new_chat()
    w.ask("What is a mutex?")
    expect(w.answered().locator(".cost")).not_to_contain_text("from the cache")
    assert len(stage.provider.calls) == calls + 1


def test_costs_are_shown(w: Window) -> None:
    w.run("BEAST MODE: Show Cost")
    dialog = w.page.locator(".monaco-dialog-box")
    dialog.wait_for()
    expect(dialog).to_contain_text("from the cache")
    w.page.keyboard.press("Escape")


def test_history_brings_a_conversation_back(w: Window) -> None:
    w.run("BEAST MODE: Chat History")
    w.pick("What is a semaphore?")
    expect(w.chat.locator("article.user").first).to_contain_text("What is a semaphore?")


def test_the_chat_of_the_editor_itself_has_beast(stage: Stage, w: Window) -> None:
    w.page.keyboard.press("Control+Alt+i")
    box = w.page.locator(".interactive-session .chat-input-container .monaco-editor").first
    box.click()
    w.page.keyboard.type("@beast What is a monitor?", delay=20)
    w.page.keyboard.press("Escape")
    w.page.keyboard.press("Enter")
    answer = w.page.locator(".interactive-response", has_text="You said: What is a monitor?")
    answer.wait_for()
    expect(answer).to_contain_text(f"{MODEL} ·")


def test_the_editors_own_agent_works_with_the_daemons_models_and_no_account(
    browser: Browser, stage: Stage, editor: Editor
) -> None:
    with window(browser, editor.url, stage.workspace) as opened:
        opened.run("Chat: Manage Language Models")
        opened.page.get_by_text("Auto (BEAST MODE)").last.wait_for()
        opened.page.wait_for_timeout(
            6000
        )  # this loads the editor's own part for agents, which does not say when it is there
        opened.page.keyboard.press("Escape")
        opened.page.keyboard.press("Control+Alt+i")
        box = opened.page.locator(".interactive-session .chat-input-container .monaco-editor").first
        box.click()
        opened.page.keyboard.type("Which tools are there?", delay=20)
        opened.page.keyboard.press("Enter")
        opened.until(lambda: "tools" in stage.provider.calls[-1].body, "the agent asks with its tools")
        answer = opened.page.locator(".interactive-response", has_text="Which tools are there?").last
        answer.wait_for()
    body = stage.provider.calls[-1].body
    assert {"read_file", "create_file"} <= {tool["function"]["name"] for tool in body["tools"]}


def test_the_ledger_knows_the_editor(stage: Stage) -> None:
    names = [row["client"] for row in stage.daemon.rows()]
    assert set(names) == {"vscode", "beast"}
    assert names.count("beast") == 1  # the action from the terminal


def test_nothing_was_asked_of_hosts_elsewhere_by_the_extension(w: Window) -> None:
    assert w.blocked <= {"open-vsx.org"}  # the editor's own shop


def test_without_a_daemon_one_is_started(browser: Browser, vsix: Path, stage: Stage) -> None:
    """By `beast lsp`, in the folder that the settings name."""
    home = Path(f"{stage.daemon.home}-2")
    settings = {"beast.home": str(home), "beast.path": str(BIN / "beast")}
    with code_server(vsix, settings) as editor, window(browser, editor.url, stage.workspace) as opened:
        expect(opened.status).to_contain_text("BEAST 0 $", timeout=60_000)
        with Client(home / "run" / "rpc.sock") as client:
            client.call("shutdown")
        until(lambda: not (home / "run" / "rpc.sock").exists(), 30)
    shutil.rmtree(home)
