"""The standard output of a process that tells its results there, kept from whoever else would print to it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO


@contextmanager
def own_stdout() -> Iterator[BinaryIO]:
    """What stdout was; what anybody prints from now on goes to stderr."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as output:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        yield output
