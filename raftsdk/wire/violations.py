"""Counting and reporting connections that were closed because the other side broke the rules."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from raftsdk.errors import WireError

logger = logging.getLogger("raftsdk.wire")

_LINE_INTERVAL_S: Final = 1.0
_MAX_HOSTS: Final = 1024


class Violations:
    """A count by reason, and a log line: at most one a second for each remote host, and never a traceback."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.by_reason: Counter[str] = Counter()
        self._clock = clock
        self._said_at: dict[str, float] = {}

    def note(self, remote: str, fault: WireError) -> None:
        """Record that the connection with `remote` was closed for `fault`."""
        self.by_reason[fault.reason] += 1
        if self._may_speak_of(remote.rpartition(":")[0]):
            # %a: the text may quote a stranger, who must not write lines of our log.
            logger.warning("closed the connection with %s: %s: %a", remote, fault.reason, str(fault)[:500])

    def _may_speak_of(self, host: str) -> bool:
        now = self._clock()
        if now - self._said_at.get(host, -_LINE_INTERVAL_S) < _LINE_INTERVAL_S:
            return False
        if len(self._said_at) >= _MAX_HOSTS:
            self._said_at.clear()
        self._said_at[host] = now
        return True
