"""The ledger under a kill -9 and on a full disk."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from beastmode.metrics.ledger import Ledger
from support.ledger import StillClock

WRITER = """
    import sys
    from pathlib import Path
    from beastmode.core.clock import Clock
    from beastmode.core.rows import Row
    from beastmode.metrics.ledger import Ledger

    ledger = Ledger(Path(sys.argv[1]), Clock())
    ledger.start()
    run = sys.argv[2]
    for n in range(10**9):
        said = dict(request_id=f"{run}_{n}", at_s=1.0, origin="person", outcome="success", cost_usd=0.5)
        ledger.intend(Row(**said))
        sys.stdout.write(f"i {run}_{n}\\n")
        sys.stdout.flush()
        ledger.record(Row(**said))
        sys.stdout.write(f"r {run}_{n}\\n")
        sys.stdout.flush()
"""


async def test_every_acknowledged_row_is_there_after_kill_9_and_every_open_call_has_one(tmp_path: Path) -> None:
    chance = random.Random(11)
    intended: set[str] = set()
    recorded: set[str] = set()
    for run in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), f"run{run}"], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        end = time.monotonic() + chance.uniform(0.0, 0.3)
        while time.monotonic() < end:
            lines.append(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        lines += child.stdout.read().splitlines(keepends=True)
        child.stdout.close()
        child.wait()
        said = [line.decode().split() for line in lines if line.endswith(b"\n")]
        intended |= {name for kind, name in said if kind == "i"}
        recorded |= {name for kind, name in said if kind == "r"}
    ledger = Ledger(tmp_path, StillClock())
    ledger.start()
    found = await ledger.ask(
        "SELECT json_group_object(request_id, k.outcome) FROM request r JOIN kind k ON k.id = r.kind", {}
    )
    assert await ledger.ask("SELECT json(count(*)) FROM intent", {}) == 0
    assert ledger.problem is None
    ledger.close()
    assert recorded <= found.keys()
    assert intended <= found.keys()
    assert all(found[name] == "success" for name in recorded)
    assert len(found) - len(intended) <= 6


FULL = """
    import asyncio, json, resource, sys, time
    from pathlib import Path
    from beastmode.core.clock import Clock
    from beastmode.core.rows import Row
    from beastmode.metrics.ledger import Ledger

    def row(n):
        return Row(request_id=f"req_{n:06d}", at_s=float(n), origin="person", outcome="success", route="r" * 400)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    async def main():
        ledger = Ledger(Path(sys.argv[1]), Clock())
        ledger.start()
        ledger.record(row(0))
        await ledger.written()
        limit(100_000)
        for n in range(1, 3_000):
            ledger.record(row(n))
            if n % 300 == 0:
                await asyncio.sleep(0.06)
        written = await ledger.written()
        problem = ledger.problem
        listed = len(await ledger.list(10))
        limit(resource.RLIM_INFINITY)
        end = time.monotonic() + 30
        while time.monotonic() < end and (ledger.problem or not await ledger.written()):
            await asyncio.sleep(0.05)
        healed = ledger.problem
        ledger.record(row(3_000))
        count = await ledger.ask("SELECT json(count(*)) FROM request", {})
        ledger.close()
        print(json.dumps({"written": written, "problem": problem, "listed": listed, "healed": healed, "count": count}))

    asyncio.run(main())
"""


def test_a_full_disk_stops_no_request_is_shown_and_heals_without_a_loss(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path)], capture_output=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout)
    assert said["written"] is False
    assert "can not be written" in said["problem"] or "wait to be stored" in said["problem"]
    assert said["listed"] > 0
    assert said["healed"] is None
    assert said["count"] == 3_001
