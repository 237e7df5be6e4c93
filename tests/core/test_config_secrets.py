"""A password in a setting is never shown."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.config import shown, without_password, without_path
from beastmode.core.settings import CacheSettings, RedisSettings, Settings


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("", ""),
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:hush@localhost:6379/0", "redis://***@localhost:6379/0"),
        ("rediss://user:hush@cache.example", "rediss://***@cache.example"),
        ("unix:///run/redis.sock?password=hush", "unix:///run/redis.sock?***"),
        ("redis://:hu?sh@localhost", "redis://***"),
        ("redis://:hu@sh@localhost", "redis://***@localhost"),
        ("user:hush@localhost", "***@localhost"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, seen: str) -> None:
    assert without_password(url) == seen


@settings(deadline=None, max_examples=200)
@given(password=st.text(min_size=6), quoted=st.booleans(), in_query=st.booleans())
def test_no_password_is_shown_whatever_is_in_it(password: str, quoted: bool, in_query: bool) -> None:
    secret = "hush" + (quote(password, safe="") if quoted else password) + "hush"
    url = f"redis://host/0?password={secret}" if in_query else f"redis://:{secret}@host/0"
    assert "hush" not in without_password(url)


def test_settings_are_shown_as_tables_with_the_password_blanked() -> None:
    tables = shown(Settings(cache=CacheSettings(redis=RedisSettings(url="redis://:hush@localhost"))))
    assert tables["cache"]["redis"] == {"url": "redis://***@localhost", "ttl_s": 7200.0}
    assert tables["upstream"]["timeout_s"] == 60.0


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("", ""),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://hooks.example/services/T0/hush", "https://hooks.example/***"),
        ("https://hooks.example?token=hush", "https://hooks.example/***"),
        ("https://me:hush@hooks.example/x", "https://hooks.example/***"),
        ("hush", "***"),
    ],
)
def test_a_webhook_is_shown_without_what_opens_it(url: str, seen: str) -> None:
    assert without_path(url) == seen
