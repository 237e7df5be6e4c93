"""An answer that has grown too old is not served, and is counted."""

from __future__ import annotations

import time

from support.daemon import Daemon


def test_a_stale_answer_is_a_miss_and_is_counted() -> None:
    with Daemon("[cache]\nsemantic = 'off'\n[cache.l1]\nttl_s = 0.2\n[cache.l2]\nttl_s = 0.4\n") as one:
        one.call("cache.put", {"prompt": "old?", "response": "yes", "model": "custom:m"})
        asked = {"prompt": "old?", "model": "custom:m"}
        assert one.call("cache.lookup", asked)["hit"]
        assert one.call("cache.stats")["stale"] == 0
        time.sleep(0.6)
        assert not one.call("cache.lookup", asked)["hit"]
        assert one.call("cache.stats")["stale"] == 1
        assert not one.call("cache.lookup", asked)["hit"]
        assert one.call("cache.stats")["stale"] == 1, "it is found once and then forgotten"
