"""How far a run is, on standard error; standard output stays for the result."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """Yields what to call with a line for each of `total` steps; shows a bar where rich is installed."""
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield lambda line: print(line, file=sys.stderr, flush=True)
        return
    with Progress(console=Console(stderr=True, highlight=False)) as bar:
        task = bar.add_task("measuring", total=total)

        def step(line: str) -> None:
            bar.console.print(line, markup=False)
            bar.advance(task)

        yield step
