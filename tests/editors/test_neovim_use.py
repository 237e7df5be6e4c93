"""What people do with the plugin in Neovim: models, attachments, code blocks, typing meanwhile, failures, health."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from support import neovim
from support.editor_stage import MODEL, SAMPLE, Played, once, open_stage
from support.neovim_screen import watch
from support.tracked import ROOT

HERE = ROOT / "tests" / "editors"
NOBODY = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    home = tmp_path_factory.mktemp("neovim")
    other = tmp_path_factory.mktemp("project")
    (other / ".git").mkdir()
    (other / "else.py").write_text("x = 1\n")

    def play() -> Played:
        with open_stage() as stage:
            stage.daemon.add("custom:away", NOBODY)
            (stage.workspace / "other.py").write_text('OTHER = "from the other file"\n')
            environ = neovim.environ(home, PROVIDER=stage.provider.url, OTHER=str(other))
            played = stage.play(neovim.script(HERE / "use.lua"), environ)
            log = (stage.daemon.home / "state" / "logs" / "beast.log").read_text()
            assert "very-secret" not in log + json.dumps(played.rows)
            return played

    return once(tmp_path_factory, "neovim-use", play)


def test_every_case_comes_to_its_end(played: Played) -> None:
    assert played["end"]["running"] == 0
    assert played.code == 0, played.errors


def test_a_model_is_registered_and_its_key_is_in_no_log_of_neovim(played: Played) -> None:
    told = played["register"]
    assert [question.partition(" ")[0] for question in told["asked"]] == ["Name", "Base", "Its", "USD", "USD", "Key"]
    assert told["logs_at_all"] is True
    assert told["logged"] is False
    assert "custom:mine" in told["completes"]


def test_the_model_of_this_neovim_is_chosen(played: Played) -> None:
    told = played["select"]
    assert "*custom:mine · " in told["first"]
    assert {"auto", MODEL, "custom:mine"} <= set(told["offered"])
    assert f"*{MODEL} · " in told["second"]


def test_a_selection_and_a_named_file_go_along(played: Played) -> None:
    assert "## You (sample.py:1-3)" in played["attach"]["conversation"]
    (prompt,) = [prompt for prompt in played.prompts if "Explain the selection" in prompt]
    assert "def add(a, b):" in prompt
    assert "def mul(a, b):" not in prompt
    assert 'OTHER = "from the other file"' in prompt


def test_a_code_block_is_inserted_and_copied(played: Played) -> None:
    assert played["blocks"] == {"line": "INSERTED = 1", "copied": "INSERTED = 1\n"}


def test_what_is_typed_meanwhile_is_kept_and_the_edit_moves_along(played: Played) -> None:
    told = played["moved"]
    assert told["applied"] is True
    assert told["text"] == "# typed meanwhile\n" + SAMPLE.replace("result", "total").rstrip("\n")


def test_an_edit_of_what_was_changed_meanwhile_is_shown_and_not_made(played: Played) -> None:
    told = played["conflict"]
    assert told["applied"] is False
    assert told["reason"]
    assert told["text"] == SAMPLE.replace("result = a + b", "result = b + a  # typed meanwhile").rstrip("\n")
    assert "+    total = a + b" in told["shown"]


def test_tests_are_written_into_a_new_file_that_opens(played: Played) -> None:
    told = played["tests"]
    assert told["file"].endswith("test_sample.py")
    assert "def test_it() -> None:" in told["text"]
    assert told["windows"] == 2


def test_a_new_file_can_be_seen_before_it_is_made(played: Played) -> None:
    told = played["new file first seen"]
    assert told["there"] == ""
    assert "def test_it() -> None:" in told["shown"]
    assert "test_sample.py" in told["name"]
    assert told["open"].endswith("test_sample.py")


def test_what_the_menu_and_the_lenses_name_is_run_by_the_plugin(played: Played) -> None:
    assert played["menu"]["asked"] == "You said: What is it from the menu?"
    assert {"BEAST: explain", "tests", "docstring"} <= set(played["menu"]["lenses"])


def test_generated_code_is_one_step_to_undo(played: Played) -> None:
    assert "GENERATED = 42" in played["generate"]["text"]
    assert played["generate"]["undone"] == SAMPLE.rstrip("\n")


def test_a_failure_says_what_to_do(played: Played) -> None:
    told = played["failure"]
    for shown in (told["shown"], told["talked"], told["notice"]):
        assert "Nobody listens on 127.0.0.1:9 for custom:away" in shown
        assert "beast models" in shown
    assert "**It failed.**" in told["talked"]


def test_why_an_answer_came_from_where_it_came(played: Played) -> None:
    assert "hit_exact" in played["why"]["shown"]
    assert MODEL in played["why"]["shown"]


def test_a_rejected_answer_is_not_served_again(played: Played) -> None:
    assert "from the cache" in played["reject"]["before"]
    assert "from the cache" not in played["reject"]["after"]


def test_a_cleared_conversation_is_gone(played: Played) -> None:
    assert played["clear"] == {"kept": False, "shown": ""}


def test_a_stopped_answer_stays_as_far_as_it_came(played: Played) -> None:
    assert "word3" in played["stop"]["shown"]
    assert played["stop"]["shown"].endswith("*stopped*\n\n")
    assert played["stop"]["running"] == 0


def test_closing_a_window_stops_what_streams_into_it(played: Played) -> None:
    assert played["stop"]["left"] == 0
    pairs = zip(played.prompts, played.endings, strict=True)
    assert [ending for prompt, ending in pairs if "in a window" in prompt] == ["left"]


def test_the_dashboard_opens_in_a_browser(played: Played) -> None:
    assert played["dashboard"]["opened"].startswith("http://127.0.0.1:")


def test_health_finds_everything(played: Played) -> None:
    report = played["health"]["report"]
    assert "attached to beast" in report
    assert "ERROR" not in report


def test_two_projects_share_one_connection(played: Played) -> None:
    told = played["projects"]
    assert told["clients"] == 1
    assert len(told["folders"]) == 2
    assert "else.py" in told["summary"]


def test_ghost_text_comes_while_typing_and_is_taken_by_a_key(tmp_path: Path) -> None:
    with open_stage() as stage:
        stage.daemon.add("custom:free", f"{stage.provider.url}/v1", price={"prompt": 0, "completion": 0})
        environ = neovim.environ(tmp_path, BEAST_HOME=str(stage.daemon.home), WORKSPACE=str(stage.workspace))
        start = ["--cmd", f"set runtimepath^={neovim.PLUGIN}", "-c", f"luafile {HERE / 'typing.lua'}"]
        command = [neovim.program(), *neovim.CLEAN, *start]
        screen = watch(command, environ, str(stage.workspace), (60, 20))
    lines = ["".join(text for text, _ in row).rstrip() for row in screen.cells()]
    assert lines[:3] == ["def sub(a, b):", "    return a + b", "# typed on"]


def test_without_the_program_it_says_what_is_missing(tmp_path: Path) -> None:
    code = (
        "vim.g.beast = { cmd = { 'no-such-beast', 'lsp' } } vim.cmd.runtime('plugin/beast.lua') "
        "vim.notify = function(text) io.stdout:write(text .. '\\n') end "
        "vim.cmd('Beast status') vim.wait(500) os.exit(0)"
    )
    (tmp_path / "missing.lua").write_text(code)
    command = neovim.script(tmp_path / "missing.lua")
    done = subprocess.run(command, env=neovim.environ(tmp_path), capture_output=True, text=True, timeout=60, check=True)
    assert "no-such-beast" in done.stdout
    assert ":checkhealth beast" in done.stdout
