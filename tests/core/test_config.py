"""Settings: what wins over what, and what a person reads when something does not fit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.config import NO_SETTINGS, describe, load
from beastmode.core.errors import BadInputError
from beastmode.core.fields import fields_of
from beastmode.core.paths import Paths
from beastmode.core.settings import FILE_ONLY, Settings

NAMES = sorted(fields_of(Settings))


@pytest.fixture
def home(tmp_path: Path) -> Paths:
    return Paths.from_environment({"BEAST_HOME": str(tmp_path)})


def write(home: Paths, text: str | bytes) -> Paths:
    home.config_file.write_bytes(text.encode() if isinstance(text, str) else text)
    return home


def refusal(home: Paths, environ: dict[str, str] | None = None, flags: dict[str, object] | None = None) -> str:
    with pytest.raises(BadInputError) as caught:
        load(home, environ or {}, flags)
    assert caught.value.tips
    return caught.value.message


class TestPrecedence:
    def test_without_a_file_the_defaults_hold(self, home: Paths) -> None:
        loaded = load(home, {})
        assert loaded.settings == Settings()
        assert loaded.sources == {}
        assert loaded.warnings == []

    def test_an_empty_file_changes_nothing(self, home: Paths) -> None:
        assert load(write(home, ""), {}).settings == Settings()

    def test_the_file_wins_over_the_default(self, home: Paths) -> None:
        loaded = load(write(home, "[cache.l1]\nttl_s = 5\n"), {})
        assert loaded.settings.cache.l1.ttl_s == 5.0
        assert loaded.settings.cache.l1.max_bytes == Settings().cache.l1.max_bytes
        assert loaded.sources == {"cache.l1.ttl_s": "user"}

    def test_the_environment_wins_over_the_file(self, home: Paths) -> None:
        loaded = load(write(home, "[cache.l1]\nttl_s = 5\n"), {"BEAST_CACHE__L1__TTL_S": "7.5"})
        assert loaded.settings.cache.l1.ttl_s == 7.5
        assert loaded.sources == {"cache.l1.ttl_s": "environment"}

    def test_a_flag_wins_over_everything(self, home: Paths) -> None:
        environ = {"BEAST_LOG__LEVEL": "error"}
        loaded = load(write(home, '[log]\nlevel = "warning"\n'), environ, {"log.level": "debug"})
        assert loaded.settings.log.level == "debug"
        assert loaded.sources == {"log.level": "flag"}

    def test_each_setting_has_its_own_source(self, home: Paths) -> None:
        loaded = load(
            write(home, "[cache]\nenabled = false\n"), {"BEAST_LOG__LEVEL": "error"}, {"upstream.timeout_s": 3}
        )
        assert loaded.sources == {
            "cache.enabled": "user",
            "log.level": "environment",
            "upstream.timeout_s": "flag",
        }


class TestEnvironment:
    @pytest.mark.parametrize("text", ["true", "True", "1", "yes", "on"])
    def test_booleans_are_written_as_people_write_them(self, home: Paths, text: str) -> None:
        file = write(home, "[cache]\nenabled = false\n")
        assert load(file, {"BEAST_CACHE__ENABLED": text}).settings.cache.enabled is True

    @pytest.mark.parametrize("text", ["false", "FALSE", "0", "no", "off"])
    def test_and_so_are_their_opposites(self, home: Paths, text: str) -> None:
        assert load(home, {"BEAST_CACHE__ENABLED": text}).settings.cache.enabled is False

    def test_lists_are_separated_by_commas(self, home: Paths) -> None:
        loaded = load(home, {"BEAST_ROUTING__AUTO": "local:a, custom:b ,,"})
        assert loaded.settings.routing.auto == ["local:a", "custom:b"]

    def test_tables_are_json(self, home: Paths) -> None:
        loaded = load(home, {"BEAST_PLUGINS__OPTIONS": '{"echo": {"delay_ms": 5}}'})
        assert loaded.settings.plugins.options == {"echo": {"delay_ms": 5}}

    def test_a_table_that_is_no_json_is_refused(self, home: Paths) -> None:
        assert "a table" in refusal(home, {"BEAST_PLUGINS__OPTIONS": "echo"})

    def test_an_empty_variable_counts_as_not_set(self, home: Paths) -> None:
        assert load(home, {"BEAST_LOG__LEVEL": ""}).settings == Settings()

    def test_an_unknown_variable_is_a_warning_that_names_the_nearest(self, home: Paths) -> None:
        loaded = load(home, {"BEAST_CACHE__L1__TTL": "5"})
        assert loaded.settings == Settings()
        assert len(loaded.warnings) == 1
        assert "BEAST_CACHE__L1__TTL " in loaded.warnings[0]
        assert "BEAST_CACHE__L1__TTL_S" in loaded.warnings[0]

    def test_variables_with_another_use_are_no_warning(self, home: Paths) -> None:
        assert load(home, dict.fromkeys(NO_SETTINGS, "x") | {"HOME": "/", "BEASTLY": "1"}).warnings == []

    def test_a_value_that_does_not_fit_names_the_variable(self, home: Paths) -> None:
        message = refusal(home, {"BEAST_CACHE__L1__TTL_S": "soon"})
        assert message == "BEAST_CACHE__L1__TTL_S is 'soon' (a text); a number above 0 is expected."


class TestFlags:
    def test_a_text_is_read_as_a_variable_would_be(self, home: Paths) -> None:
        assert load(home, {}, {"cache.enabled": "off"}).settings.cache.enabled is False

    def test_an_unknown_flag_names_the_nearest(self, home: Paths) -> None:
        assert "'log.level'" in refusal(home, flags={"log.levle": "debug"})

    def test_a_value_that_does_not_fit_is_refused(self, home: Paths) -> None:
        assert "upstream.max_attempts is '0'" in refusal(home, flags={"upstream.max_attempts": 0})


class TestFile:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("[cache.l1]\nttl = 5", "there is no setting 'cache.l1.ttl'; the nearest one is 'cache.l1.ttl_s'."),
            ("[chache]\nenabled = true", "there is no setting 'chache'; the nearest one is 'cache'."),
            ("ttl_s = 5", "there is no setting 'ttl_s'; the nearest one is 'cache.l1.ttl_s'."),
            ("[cache.l9]\nx = 1", "there is no setting 'cache.l9'; the nearest one is 'cache.l"),
        ],
    )
    def test_an_unknown_key_names_the_file_and_the_nearest_key(self, home: Paths, text: str, expected: str) -> None:
        message = refusal(write(home, text))
        assert message.startswith(f"{home.config_file}: ")
        assert expected in message

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("cache = 5", "cache is '5' (a whole number); a table is expected."),
            ("[cache]\nenabled = 1", "cache.enabled is '1' (a whole number); true or false is expected."),
            ("[cache]\nl1 = true", "cache.l1 is 'true' (true or false); a table is expected."),
            ('[cache.l1]\nttl_s = "5"', "cache.l1.ttl_s is '5' (a text); a number above 0 is expected."),
            ("[cache.l1]\nttl_s = 0", "cache.l1.ttl_s is '0' (a whole number); a number above 0 is expected."),
            ("[cache.l1]\nttl_s = nan", "cache.l1.ttl_s is 'nan' (a number); a number above 0 is expected."),
            ("[cache.l1]\nttl_s = inf", "cache.l1.ttl_s is 'inf' (a number); a number above 0 is expected."),
            ("[cache.l1]\nmax_bytes = 1.5", "max_bytes is '1.5' (a number); a whole number, 0 or more is expected."),
            ("[upstream]\nmax_attempts = 11", "'11' (a whole number); a whole number from 1 to 10 is expected."),
            ("[upstream]\nretry_wait_s = -1", "'-1' (a whole number); a number, 0 or more is expected."),
            ('[log]\nlevel = "loud"', 'is \'loud\' (a text); one of "debug", "error", "info", "warning" is expected.'),
            ("[routing]\nauto = [1]", "routing.auto is '[1]' (a list); a list of texts is expected."),
            ("[routing]\nauto = {}", "routing.auto is '{}' (a table); a list of texts is expected."),
            ("[routing]\ndefault_model = 1979-05-27", "'1979-05-27' (a date or time); a text is expected."),
            ("[plugins.options]\necho = 1", "a table of tables is expected."),
        ],
    )
    def test_a_wrong_value_says_what_was_found_and_what_is_expected(
        self, home: Paths, text: str, expected: str
    ) -> None:
        message = refusal(write(home, text))
        assert message.startswith(f"{home.config_file}: ")
        assert expected in message

    def test_a_key_pasted_into_the_wrong_place_is_not_shown(self, home: Paths) -> None:
        key = "sk-ant-REDACTED"
        message = refusal(write(home, f'[keys]\nstore = "{key}"'))
        assert key not in message

    def test_a_long_value_is_cut(self, home: Paths) -> None:
        assert len(refusal(write(home, f'[log]\nlevel = "{"x " * 500}"'))) < 400

    def test_bad_toml_names_line_and_column(self, home: Paths) -> None:
        message = refusal(write(home, "[log]\nlevel = = 5\n"))
        assert str(home.config_file) in message
        assert "line 2, column 9" in message

    def test_a_file_that_is_not_utf_8_names_the_line(self, home: Paths) -> None:
        assert "line 2 is not UTF-8" in refusal(write(home, b"[log]\nlevel = '\xff'\n"))

    def test_a_file_nested_beyond_reason_is_refused(self, home: Paths) -> None:
        depth = 100_000
        message = refusal(write(home, "x = " + "[" * depth + "]" * depth))
        assert str(home.config_file) in message

    def test_a_folder_in_its_place_is_refused(self, home: Paths) -> None:
        home.config_file.mkdir()
        assert "can not be read" in refusal(home)

    def test_plugin_options_are_free(self, home: Paths) -> None:
        loaded = load(write(home, "[plugins.options.mine]\nanything = [1, 2]\n"), {})
        assert loaded.settings.plugins.options == {"mine": {"anything": [1, 2]}}


class TestDescription:
    def test_every_setting_is_described(self) -> None:
        for setting in describe():
            assert setting.doc.endswith("."), setting.name
            assert setting.type

    def test_a_setting_knows_its_variable(self) -> None:
        variables = {setting.name: setting.variable for setting in describe()}
        assert variables["cache.l1.ttl_s"] == "BEAST_CACHE__L1__TTL_S"

    def test_every_default_may_be_set_as_a_flag(self, home: Paths) -> None:
        defaults: dict[str, object] = {one.name: one.default for one in describe() if one.variable}
        assert load(home, {}, defaults).settings == Settings()


class TestFileOnly:
    """What runs a program or calls out is taken from the user's own file and from nowhere else."""

    FILE = '[health.on_change]\ncommand = ["notify-send", "beast"]\nwebhook = "http://127.0.0.1:9/x"\n'

    def test_the_file_sets_it(self, home: Paths) -> None:
        loaded = load(write(home, self.FILE), {})
        assert loaded.settings.health.on_change.command == ["notify-send", "beast"]
        assert loaded.sources["health.on_change.webhook"] == "user"

    @pytest.mark.parametrize("name", sorted(FILE_ONLY))
    def test_a_variable_does_not_and_is_said_not_to(self, home: Paths, name: str) -> None:
        variable = "BEAST_" + name.upper().replace(".", "__")
        loaded = load(home, {variable: "rm"})
        assert loaded.settings == Settings()
        assert loaded.warnings == [f"{variable} is not read: {name} is set in config.toml only."]

    @pytest.mark.parametrize("name", sorted(FILE_ONLY))
    def test_a_flag_does_not(self, home: Paths, name: str) -> None:
        assert "config.toml only" in refusal(home, flags={name: "rm"})

    def test_it_has_no_variable(self) -> None:
        assert {setting.name for setting in describe() if setting.variable is None} == FILE_ONLY


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150)
@given(name=st.sampled_from(NAMES), value=JSON_LIKE)
def test_any_value_of_a_flag_is_taken_or_refused_in_words(name: str, value: Any) -> None:
    nowhere = Paths.from_environment({"BEAST_HOME": "/nonexistent/home"})
    try:
        loaded = load(nowhere, {}, {name: value})
    except BadInputError as error:
        assert name in error.message
    else:
        assert loaded.sources == {name: "flag"}


@settings(deadline=None, max_examples=100)
@given(name=st.sampled_from(NAMES), text=st.text(max_size=30))
def test_any_text_of_a_variable_is_taken_or_refused_in_words(name: str, text: str) -> None:
    nowhere = Paths.from_environment({"BEAST_HOME": "/nonexistent/home"})
    variable = "BEAST_" + name.upper().replace(".", "__")
    try:
        load(nowhere, {variable: text})
    except BadInputError as error:
        assert variable in error.message


@settings(deadline=None, max_examples=100)
@given(ttl_s=st.floats(min_value=0, exclude_min=True, allow_infinity=False), size=st.integers(0, 2**62))
def test_numbers_come_through_the_environment_as_they_are(ttl_s: float, size: int) -> None:
    nowhere = Paths.from_environment({"BEAST_HOME": "/nonexistent/home"})
    environ = {"BEAST_CACHE__L2__TTL_S": repr(ttl_s), "BEAST_CACHE__L2__MAX_BYTES": str(size)}
    loaded = load(nowhere, environ).settings.cache.l2
    assert math.isclose(loaded.ttl_s, ttl_s)
    assert loaded.max_bytes == size


@settings(deadline=None, max_examples=100)
@given(raw=st.binary(max_size=60))
def test_any_file_is_read_or_refused_in_words(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = Paths.from_environment({"BEAST_HOME": str(tmp_path_factory.getbasetemp())})
    home.config_file.write_bytes(raw)
    try:
        load(home, {})
    except BadInputError as error:
        assert str(home.config_file) in error.message
