"""Bytes that nobody would send, for everything that reads what strangers send: `make fuzz`.

Every decoder, the frame parser and both hellos are given damaged versions of what is sound, and the codecs are asked
together about messages that are only nearly honest. What must hold is the same everywhere: a reader returns what it may
return or raises its one error, and says so briefly. An input that broke something is kept below `corpus/` and is tried
first ever after.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from itertools import islice
from random import Random

from fuzz_mutator import mutations
from fuzz_targets import CORPUS, Target, names, target
from msgspec import Struct

CHUNK = 10_000


class Outcome(Struct):
    """What came of one target's inputs."""

    target: str
    inputs: int = 0
    slowest_ms: float = 0.0
    failures: list[tuple[bytes, str]] = []


def fuzz(name: str, inputs: int, seed: int) -> Outcome:
    """Give one target its kept inputs, its seeds, and `inputs` damaged ones. Stops at the tenth failure."""
    subject = target(name)
    outcome = Outcome(name)
    known = [*subject.kept, *subject.seeds]
    for data in (*known, *islice(mutations(known, Random(f"{name} {seed}")), inputs)):
        try_one(subject, data, outcome)
        if len(outcome.failures) == 10:
            break
    return outcome


def try_one(subject: Target, data: bytes, outcome: Outcome) -> None:
    """Run the target on one input, and note what came of it."""
    started = time.perf_counter()
    try:
        subject.run(data)
    except Exception as error:
        outcome.failures.append((data, f"{type(error).__name__}: {error}"))
    outcome.inputs += 1
    outcome.slowest_ms = max(outcome.slowest_ms, (time.perf_counter() - started) * 1000)


def keep(name: str, data: bytes) -> str:
    """Store an input that broke something, and return where, relative to the corpus."""
    path = CORPUS / name / f"{sha256(data).hexdigest()[:16]}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path.relative_to(CORPUS))


def fuzz_all(chosen: list[str], inputs: int, seed: int) -> bool:
    """All targets beside each other, in chunks, so that progress is seen. Whether nothing broke."""
    chunks = [(name, min(CHUNK, inputs - start), seed + start) for start in range(0, inputs, CHUNK) for name in chosen]
    total = {name: Outcome(name) for name in chosen}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(fuzz, *chunk) for chunk in chunks]
        for done, future in enumerate(as_completed(running), start=1):
            outcome = future.result()
            so_far = total[outcome.target]
            so_far.inputs += outcome.inputs
            so_far.slowest_ms = max(so_far.slowest_ms, outcome.slowest_ms)
            so_far.failures += outcome.failures
            print(f"\r{done} of {len(chunks)} chunks of up to {CHUNK} inputs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for name, outcome in total.items():
        print(f"{name:<12} {outcome.inputs:>10,} inputs, slowest {outcome.slowest_ms:8.1f} ms", end="")
        print(f", {len(outcome.failures)} broke it")
        for data, why in outcome.failures[:10]:
            print(f"    {why[:300]}\n    kept as {keep(name, data)}: {data[:64].hex()}{'…' if len(data) > 64 else ''}")
    return not any(outcome.failures for outcome in total.values())


def guided(name: str, inputs: int) -> None:
    """One target by coverage, with atheris, until `inputs` runs are done or one breaks it. Does not return."""
    try:
        import atheris
    except ModuleNotFoundError:
        sys.exit("coverage-guided fuzzing needs atheris: .venv/bin/uv pip install atheris; or leave out --guided")
    with atheris.instrument_imports():
        subject = target(name)
    for data in (*subject.kept, *subject.seeds):
        subject.run(data)
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    atheris.Setup([sys.argv[0], f"-runs={inputs}", f"-artifact_prefix={corpus}/", str(corpus)], subject.run)
    atheris.Fuzz()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Damaged inputs for everything that reads what strangers send.")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for every target (default: a million)")
    parser.add_argument("--target", action="append", choices=names(), help="only this one; may be given again")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats a run; default: another each time")
    parser.add_argument("--guided", action="store_true", help="one target, guided by coverage; needs atheris")
    options = parser.parse_args()
    chosen = options.target or names()
    if options.guided:
        if len(chosen) != 1:
            parser.error("--guided takes one --target")
        guided(chosen[0], options.inputs)
    print(f"seed {options.seed}", file=sys.stderr)
    sys.exit(0 if fuzz_all(chosen, options.inputs, options.seed) else 1)


if __name__ == "__main__":
    main()
