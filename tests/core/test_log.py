"""The log: JSON lines in a private file, rotated, without keys, and never in anyone's way."""

from __future__ import annotations

import io
import json
import logging
import re
import stat
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.log import QUEUE_EVENTS, redact, setup
from beastmode.core.paths import Paths

log = logging.getLogger("beastmode.test")
Read = Callable[[], list[dict[str, Any]]]

KEYS = [
    "sk-proj-REDACTED",
    "sk-ant-api03-REDACTED",
    "gsk_12345678abcdefgh",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "0123456789abcdef0123456789abcdef",
]


@pytest.fixture
def home(tmp_path: Path) -> Paths:
    paths = Paths.from_environment({"BEAST_HOME": str(tmp_path / "home")})
    paths.make()
    return paths


@pytest.fixture
def read(home: Paths) -> Iterator[Read]:
    """Starts the log; the function ends it and reads what was written."""
    stop = setup(home, "info", 1_000_000)

    def lines() -> list[dict[str, Any]]:
        stop()
        return [json.loads(line) for line in home.log_file.read_text().splitlines()]

    yield lines
    stop()


class TestLines:
    def test_an_event_is_one_json_object(self, read: Read) -> None:
        log.info("daemon ready", extra={"fields": {"pid": 7, "sockets": ["a", "b"]}})
        (line,) = read()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("at"))
        assert line == {"level": "info", "event": "daemon ready", "pid": 7, "sockets": ["a", "b"]}

    def test_a_field_takes_no_fixed_name_over(self, read: Read) -> None:
        log.info("started", extra={"fields": {"event": "forged", "level": "forged"}})
        assert [(line["event"], line["level"]) for line in read()] == [("started", "info")]

    def test_line_breaks_stay_inside_the_object(self, read: Read) -> None:
        log.info("two\nlines", extra={"fields": {"text": "a\r\nb"}})
        assert [(line["event"], line["text"]) for line in read()] == [("two\nlines", "a\r\nb")]

    def test_what_json_has_no_form_for_becomes_text(self, read: Read) -> None:
        log.info("odd", extra={"fields": {"path": Path("/x"), "surrogate": "\ud800", "set": {1}, 5: None}})
        (line,) = read()
        assert (line["path"], line["surrogate"], line["set"], line["5"]) == ("/x", "?", [1], None)

    def test_a_long_value_is_cut(self, read: Read) -> None:
        log.info("long", extra={"fields": {"text": "x " * 100_000}})
        assert len(read()[0]["text"]) < 3_000

    def test_deep_nesting_is_flattened_to_text(self, read: Read) -> None:
        deep: list[Any] = []
        for _ in range(50):
            deep = [deep]
        log.info("deep", extra={"fields": {"deep": deep}})
        assert "[[" in json.dumps(read()[0]["deep"])

    def test_an_exception_comes_with_its_traceback(self, read: Read) -> None:
        try:
            raise ValueError("key=abcdef")
        except ValueError:
            log.exception("went wrong")
        (line,) = read()
        assert line["level"] == "error"
        assert "ValueError" in line["traceback"]
        assert "abcdef" not in line["traceback"]

    def test_fields_that_are_no_table_do_no_harm(self, read: Read) -> None:
        log.info("odd", extra={"fields": "text"})
        assert [line["event"] for line in read()] == ["odd"]


class TestLevels:
    def test_below_the_level_nothing_is_written(self, read: Read) -> None:
        log.debug("details")
        assert read() == []

    def test_other_libraries_are_heard_from_warnings_up(self, read: Read) -> None:
        logging.getLogger("aiohttp.server").info("chatter")
        logging.getLogger("asyncio").warning("slow callback after %.1f s", 2.0)
        assert [(line["event"], line["logger"]) for line in read()] == [("slow callback after 2.0 s", "asyncio")]

    def test_python_warnings_go_there_too(self, read: Read) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("an old way", UserWarning, stacklevel=1)
        assert "an old way" in read()[0]["event"]

    def test_after_the_end_the_process_logs_as_before(self, home: Paths) -> None:
        before = logging.getLogger("beastmode").level, list(logging.getLogger().handlers)
        stop = setup(home, "debug", 1_000_000)
        stop()
        stop()
        assert (logging.getLogger("beastmode").level, list(logging.getLogger().handlers)) == before


class TestFile:
    def test_only_the_owner_reads_it(self, home: Paths, read: Read) -> None:
        log.info("x")
        read()
        assert stat.S_IMODE(home.log_file.stat().st_mode) == 0o600

    def test_it_is_rotated_and_three_old_ones_are_kept(self, home: Paths) -> None:
        stop = setup(home, "info", 10_000)
        for number in range(1_000):
            log.info("filling", extra={"fields": {"number": number}})
        stop()
        files = sorted(home.log_file.parent.iterdir())
        assert [file.name for file in files] == ["beast.log", "beast.log.1", "beast.log.2", "beast.log.3"]
        assert all(file.stat().st_size <= 10_000 for file in files)
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)

    def test_a_later_run_goes_on_where_it_was(self, home: Paths) -> None:
        for _ in range(2):
            stop = setup(home, "info", 1_000_000)
            log.info("run")
            stop()
        assert len(home.log_file.read_text().splitlines()) == 2

    def test_a_disk_that_fails_costs_log_lines_and_nothing_else(self, home: Paths, capfd: Any) -> None:
        stop = setup(home, "info", 10_000)
        home.log_file.unlink()
        home.log_file.mkdir()
        for _ in range(200):
            log.info("filling " * 20)
        stop()
        assert capfd.readouterr().err == ""


class TestSpeed:
    def test_a_flood_is_dropped_and_counted_and_nobody_waits(self, home: Paths) -> None:
        gate = _Gate()
        stop = setup(home, "info", 100_000_000, gate)
        log.info("first")
        gate.wait_until_busy()
        for _ in range(QUEUE_EVENTS + 50):
            log.info("flood")
        gate.open()
        gate.wait_until_quiet(home)
        log.info("after")
        stop()
        last = json.loads(home.log_file.read_text().splitlines()[-1])
        assert last["event"] == "after"
        assert last["events_dropped_before"] >= 50


class _Gate(io.StringIO):
    """A terminal that takes nothing until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = False
        self.opened = False

    def write(self, text: str) -> int:
        self.busy = True
        while not self.opened:
            time.sleep(0.005)
        return len(text)

    def open(self) -> None:
        self.opened = True

    def wait_until_busy(self) -> None:
        while not self.busy:
            time.sleep(0.005)

    def wait_until_quiet(self, home: Paths) -> None:
        while len(home.log_file.read_text().splitlines()) < QUEUE_EVENTS:
            time.sleep(0.01)


class TestTerminal:
    def test_a_person_reads_a_line_of_words(self, home: Paths) -> None:
        terminal = io.StringIO()
        stop = setup(home, "info", 1_000_000, terminal)
        log.info("daemon ready", extra={"fields": {"pid": 7}})
        stop()
        assert re.fullmatch(r"\d\d:\d\d:\d\d info +daemon ready pid=7\n", terminal.getvalue())

    def test_and_a_traceback_below_it(self, home: Paths) -> None:
        terminal = io.StringIO()
        stop = setup(home, "info", 1_000_000, terminal)
        try:
            raise KeyError("x")
        except KeyError:
            log.exception("went wrong")
        stop()
        assert "went wrong\nTraceback" in terminal.getvalue()

    def test_a_terminal_that_is_gone_does_no_harm(self, home: Paths, capfd: Any) -> None:
        terminal = io.StringIO()
        stop = setup(home, "info", 1_000_000, terminal)
        terminal.close()
        log.info("daemon ready")
        stop()
        assert capfd.readouterr().err == ""


class TestRedaction:
    @pytest.mark.parametrize("key", KEYS)
    def test_a_key_is_blanked_wherever_it_stands(self, read: Read, key: str) -> None:
        log.warning("upstream said %s", key, extra={"fields": {"a": key, "b": [key], "c": {"d": f"x {key} y"}}})
        assert key not in json.dumps(read())

    @pytest.mark.parametrize(
        "text",
        [
            "Authorization: Bearer SECRETVALUE",
            "authorization=SECRETVALUE",
            "x-api-key: SECRETVALUE",
            '{"api_key": "SECRETVALUE"}',
            "{'apikey': 'SECRETVALUE'}",
            "http://host/path?key=SECRETVALUE&x=1",
            "http://user:SECRETVALUE@host/path",
            "Basic SECRETVALUE",
            "password = SECRETVALUE",
        ],
    )
    def test_what_is_named_as_a_key_is_blanked(self, text: str) -> None:
        assert "SECRETVALUE" not in redact(text)

    @pytest.mark.parametrize("name", ["key", "api_key", "token", "Authorization", "x-api-key", "password"])
    def test_a_field_named_as_a_key_is_blanked(self, read: Read, name: str) -> None:
        log.info("x", extra={"fields": {name: "SECRETVALUE", "inner": {name: "SECRETVALUE"}}})
        assert "SECRETVALUE" not in json.dumps(read())

    @pytest.mark.parametrize(
        "text",
        [
            "prompt_tokens: 12, completion_tokens=5",
            "request req_0123456789abcdef000001 took 5.2 ms",
            "http://127.0.0.1:11434/v1/chat/completions",
            "no model named custom:qwen2.5-coder-32b-instruct",
            "the basic idea",
        ],
    )
    def test_ordinary_words_stay(self, text: str) -> None:
        if text != "the basic idea":
            assert redact(text) == text

    @settings(deadline=None, max_examples=200)
    @given(before=st.text(max_size=20), key=st.sampled_from(KEYS), after=st.text(max_size=20))
    def test_a_key_between_other_words_is_blanked(self, before: str, key: str, after: str) -> None:
        assert key not in redact(f"{before} {key} {after}")

    def test_a_long_word_takes_no_long_time(self) -> None:
        started = time.perf_counter()
        for word in ("a" * 100_000, "1" * 100_000, "-" * 100_000, "a1b2" + "c" * 100_000, "sk-" * 30_000):
            redact(word)
        assert time.perf_counter() - started < 30
