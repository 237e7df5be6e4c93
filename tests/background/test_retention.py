"""History is kept as long as the user wants, and by default for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from beastmode.background.retention import DAY_S, Retention
from beastmode.core.clock import Clock
from beastmode.core.rows import Row
from beastmode.core.settings import RetentionSettings
from beastmode.metrics.ledger import Ledger
from beastmode.sessions import Sessions


class Later(Clock):
    """A clock that can be put forward."""

    ahead_s = 0.0

    def wall_s(self) -> float:
        return super().wall_s() + self.ahead_s


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        (RetentionSettings(), (2, 2)),
        (RetentionSettings(ledger_days=10), (1, 2)),
        (RetentionSettings(ledger_max_bytes=1 << 30), (2, 2)),
        (RetentionSettings(sessions_days=10), (2, 1)),
        (RetentionSettings(ledger_days=100, sessions_days=100), (2, 2)),
    ],
    ids=["by default", "the ledger", "a ledger not too large", "sessions", "not old enough"],
)
async def test_what_is_older_than_wanted_goes(
    tmp_path: Path, settings: RetentionSettings, left: tuple[int, int]
) -> None:
    clock = Later()
    ledger, sessions = Ledger(tmp_path / "ledger", clock), Sessions(tmp_path / "sessions", clock)
    ledger.start()
    for name in ("old", "new"):
        ledger.record(Row(request_id=name, at_s=clock.wall_s(), origin="person", outcome="success"))
        await sessions.begin(name, "Hello")
        clock.ahead_s += 30 * DAY_S
    clock.ahead_s -= 29 * DAY_S
    await Retention(lambda: settings, ledger, sessions, clock).sweep()
    assert (len(await ledger.list()), len(await sessions.all())) == left
    assert {"new"} <= {row["request_id"] for row in await ledger.list()}
    ledger.close()


async def test_a_ledger_that_is_too_large_loses_its_oldest_rows(tmp_path: Path) -> None:
    clock = Later()
    ledger, sessions = Ledger(tmp_path / "ledger", clock), Sessions(tmp_path / "sessions", clock)
    ledger.start()
    for number in range(20_000):
        ledger.record(Row(request_id=f"req_{number}", at_s=float(number), origin="person", outcome="success"))
    await ledger.written()
    settings = RetentionSettings(ledger_max_bytes=1 << 20)
    rows, _ = await Retention(lambda: settings, ledger, sessions, clock).sweep()
    assert 0 < rows < 20_000
    assert {row["request_id"] for row in await ledger.list(1)} == {"req_19999"}
    assert await Retention(lambda: settings, ledger, sessions, clock).sweep() == (0, 0)
    ledger.close()
