"""Settings: from the editor's options and its configuration, with defaults, and a word on what is not known."""

from __future__ import annotations

import pytest

from beastmode_lsp.editor import label_of
from beastmode_lsp.settings import Settings, read_settings
from support.lsp_house import House, eventually


def test_without_a_word_the_defaults_hold() -> None:
    settings, warnings = read_settings([None, {}, [], "x"])
    assert (settings, warnings) == (Settings(), [])
    assert (settings.inline.automatic, settings.inline.max_tokens, settings.inline.debounce_ms) == ("free", 128, 150)
    assert not (settings.deltas or settings.status or settings.code_lens.enabled or settings.edits.preview)


def test_the_configuration_wins_over_the_options_key_by_key() -> None:
    options = {"model": "custom:a", "inline": {"maxTokens": 64, "automatic": "never"}, "deltas": True}
    settings, warnings = read_settings([options, {"model": "custom:b", "inline": {"maxTokens": 32}, "tags": ["team"]}])
    assert warnings == []
    assert (settings.model, settings.deltas, settings.tags) == ("custom:b", True, ("team",))
    assert (settings.inline.max_tokens, settings.inline.automatic) == (32, "never")


def test_null_is_as_if_it_were_not_there() -> None:
    assert read_settings([{"model": "custom:a"}, {"model": None, "inline": None}])[0].model == "custom:a"


def test_options_may_stand_under_the_name_of_the_section() -> None:
    assert read_settings([{"beast": {"model": "custom:a"}}])[0].model == "custom:a"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"modle": "x"}, "There is no setting beast.modle; did you mean beast.model?"),
        (
            {"inline": {"max_tokens": 1}},
            "There is no setting beast.inline.max_tokens; did you mean beast.inline.m",
        ),
        ({"zzz": 1}, "There is no setting beast.zzz; known: "),
        ({"deltas": "yes"}, "The setting beast.deltas is not true or false; its default holds."),
        ({"inline": {"automatic": "often"}}, "The setting beast.inline.automatic is not one of free, always, never"),
        ({"inline": {"maxTokens": 0}}, "The setting beast.inline.maxTokens is not a whole number above 0"),
        ({"inline": {"maxTokens": True}}, "The setting beast.inline.maxTokens is not a whole number above 0"),
        ({"inline": False}, "The setting beast.inline is not an object"),
        ({"tags": "one"}, "The setting beast.tags is not a list of texts"),
        ({"model": 3}, "The setting beast.model is not text"),
    ],
)
def test_what_is_not_known_is_said_and_breaks_nothing(given: dict[str, object], said: str) -> None:
    settings, (warning,) = read_settings([given])
    assert warning.startswith(said)
    assert settings == Settings()


def test_no_wait_at_all_is_a_wait() -> None:
    assert read_settings([{"inline": {"debounceMs": 0}}])[0].inline.debounce_ms == 0


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Visual Studio Code", "vscode"),
        ("Visual Studio Code - Insiders", "vscode"),
        ("Cursor", "cursor"),
        ("Neovim", "neovim"),
        ("helix", "helix"),
        ("Eglot", "emacs"),
        ("Emacs", "emacs"),
        ("Sublime Text LSP", "sublime"),
        ("Größtes IDE der Welt!", "gr-tes-ide-der-welt"),
        ("", "lsp"),
        ("  ", "lsp"),
    ],
)
def test_what_the_ledger_calls_an_editor(name: str, label: str) -> None:
    assert label_of(name) == label


def test_settings_are_read_again_when_the_editor_says_so() -> None:
    with House() as house:
        editor = house.editor(settings={"model": "custom:one", "modle": 1}, initializationOptions={"delta": True})
        assert editor.client.command("beast.selectModel", {"model": ""}) == {"model": ""}
        said = [one["message"] for one in editor.client.of("window/showMessage")]
        assert any("beast.modle" in one and "beast.model" in one for one in said)
        assert any("beast.delta;" in one and "beast.deltas" in one for one in said)
        other = house.editor(settings={"model": "custom:one"})
        assert other.client.command("beast.status")["model"] == "custom:one"
        other.settings["model"] = "custom:two"
        other.client.notify("workspace/didChangeConfiguration", {"settings": None})
        eventually(lambda: other.client.command("beast.status")["model"] == "custom:two")


def test_an_editor_that_only_pushes_its_settings_is_heard() -> None:
    with House() as house:
        editor = house.editor({}, initializationOptions={"model": "custom:one"})
        assert editor.client.command("beast.status")["model"] == "custom:one"
        editor.client.notify("workspace/didChangeConfiguration", {"settings": {"beast": {"model": "custom:two"}}})
        eventually(lambda: editor.client.command("beast.status")["model"] == "custom:two")


def test_an_editor_that_tells_of_changes_only_when_asked_is_asked() -> None:
    workspace = {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}}
    with House() as house:
        editor = house.editor({"workspace": workspace})
        (wanted,) = editor.client.wait_for("client/registerCapability")["registrations"]
        assert wanted["method"] == "workspace/didChangeConfiguration"
        assert wanted["registerOptions"] == {"section": "beast"}


def test_folders_that_come_and_go_are_followed(tmp_path_factory: pytest.TempPathFactory) -> None:
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    with House() as house:
        editor = house.editor(workspaceFolders=[{"uri": first.as_uri(), "name": "first"}])
        assert editor.capabilities["workspace"]["workspaceFolders"] == {"supported": True, "changeNotifications": True}
        uri = editor.open((second / "a.py").as_uri(), "x = 1\n")
        found = editor.client.command("beast.explain", {"uri": uri, "cache": "off"})
        assert house.row(found["request_id"])["workspace"] is None
        event = {"added": [{"uri": second.as_uri(), "name": "second"}], "removed": []}
        editor.client.notify("workspace/didChangeWorkspaceFolders", {"event": event})
        found = editor.client.command("beast.explain", {"uri": uri, "cache": "off"})
        assert house.row(found["request_id"])["workspace"] == str(second)
