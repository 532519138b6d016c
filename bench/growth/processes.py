"""What the kernel says of a process: its memory, and the time it ran."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_IDLE = 3  # place in the first line of /proc/stat, behind its name
_USER_TIME, _SYSTEM_TIME = 11, 12  # places in /proc/PID/stat behind the name, which may have spaces in it


def rss_mib(pid: int) -> float:
    """How much of its memory is resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES / 2**20


def cpu_s(pid: int) -> float:
    """For how long it has run on some CPU, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])) / _TICKS_PER_S


def machine_cpu() -> tuple[int, int]:
    """How long the CPUs of this machine were idle, and how long they were there, in some unit, since it started."""
    times = [int(time) for time in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return times[_IDLE], sum(times)


async def cpu_percent(pids: Sequence[int], seconds: float) -> list[float]:
    """How much of one core each of them takes, over so many seconds from now on."""
    before, began = [cpu_s(pid) for pid in pids], perf_counter()
    await asyncio.sleep(seconds)
    elapsed_s = perf_counter() - began
    return [100 * (cpu_s(pid) - spent_s) / elapsed_s for pid, spent_s in zip(pids, before, strict=True)]
