"""Where the figures are from."""

import os
import platform
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter

from msgspec import Struct

SYNCS = 50


class Machine(Struct, frozen=True):
    """What was there before the run."""

    cpus: int
    load_average: float  #: Over the minute before the run; well above 0, others were using the machine.
    python: str
    event_loop: str
    fdatasync_ms: float  #: To append 4 KiB and sync them, in the directory used. Near 0: this disk does not wait.


def this_machine(directory: Path) -> Machine:
    """As it is now; `directory` is where the data will be."""
    return Machine(
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        load_average=round(os.getloadavg()[0], 2),
        python=platform.python_version(),
        event_loop="uvloop" if find_spec("uvloop") else "asyncio",
        fdatasync_ms=round(_sync_ms(directory / "probe"), 3),
    )


def _sync_ms(path: Path) -> float:
    """What the disk takes to append 4 KiB and sync them: the median of some tries."""
    took_ms = []
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            began = perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            took_ms.append((perf_counter() - began) * 1000)
    return median(took_ms)
