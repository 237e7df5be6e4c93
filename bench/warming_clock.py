"""A daemon whose clock runs faster: what `bench/warming.py` starts in the place of `python -m beastmode`.

`BENCH_PACE` says how much faster, `BENCH_CLOCK` names a file of eight bytes: the seconds to add to the wall clock,
which the replay raises where it leaves a pause out. All that the daemon waits for and measures goes through this clock;
what it computes takes as long as ever.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import sys
import time
from pathlib import Path

from beastmode.__main__ import main
from beastmode.core.clock import Clock

PACE = float(os.environ["BENCH_PACE"])
BEGAN_S = time.perf_counter()


def hasten() -> None:
    """Makes the clock faster."""
    with Path(os.environ["BENCH_CLOCK"]).open("rb") as file:
        skipped = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

    def mono_s(clock: Clock) -> float:
        return (time.perf_counter() - BEGAN_S) * PACE

    def wall_s(clock: Clock) -> float:
        return mono_s(clock) + float(struct.unpack("d", skipped[:8])[0])

    async def sleep(clock: Clock, seconds: float) -> None:
        await asyncio.sleep(seconds / PACE)

    for name, method in (("mono_s", mono_s), ("wall_s", wall_s), ("sleep", sleep)):
        setattr(Clock, name, method)


if __name__ == "__main__":
    hasten()
    sys.exit(main())
