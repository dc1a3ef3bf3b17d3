"""Few labels added to a fit that is done, against fitting anew: CPU time and loss.

    python benchmarks/fit/incremental.py TRAIN.xyz MORE.xyz [--levels LEVEL ...] [--json FILE]

Of TRAIN.xyz a potential is fitted; then ten structures of MORE.xyz at a time are added, five times,
each time in three ways: with the memory of the fit before, by going on from its potential without
memory, and from the beginning. One thread, CPU time.
"""

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))

from ase import Atoms
from ase.io import read
from common import CUTOFF, Record, parsed, parser, title

import mentor
from mentor.fit import FitResult, fit
from mentor.structures import shortest_distances

MORE, TIMES = 10, 5
STARTS = 24
TARGET = 10  # times less CPU time than fitting anew


def main() -> None:
    options = parser(__doc__, levels=(16,))
    options.add_argument("train")
    options.add_argument("more")
    options = parsed(options)
    record = Record("incremental")
    structures, pool = read(options.train, ":"), read(options.more, ":")
    count, starts = (1, 2) if options.quick else (MORE, STARTS)
    for level in options.levels:
        title(f"{count} labels more than {len(structures)}, level {level}: CPU seconds, loss")
        start = untrained(level, structures)
        for line in additions(start, structures, pool, count, starts):
            record.add("additions", level=level, **line)
        lines = [each for each in record.sections["additions"] if each["level"] == level]
        ratio = min(each["anew"]["seconds"] / each["memory"]["seconds"] for each in lines)
        met = ratio >= TARGET
        record.check(f"level {level}: {TARGET} times cheaper than anew", met, f"{ratio:.0f}")
    record.finish(options, lambda record: None)


def additions(
    start: mentor.Potential, structures: list[Atoms], pool: list[Atoms], count: int, starts: int
) -> list[dict]:
    """CPU seconds and losses in the three ways, for each addition."""
    seconds, known = timed(start, structures, starts=starts, remember=True)
    print(f"first fit: {seconds:.1f} s, {known.loss.value:.5g}", flush=True)
    lines = []
    for number in range(1, TIMES + 1):
        more = structures + pool[: number * count]
        found = {
            "memory": timed(known.potential, more, memory=known.memory, remember=True),
            "going on": timed(known.potential, more),
            "anew": timed(start, more, starts=starts),
        }
        line = {name: {"seconds": s, "loss": each.loss.value} for name, (s, each) in found.items()}
        lines.append({"count": number * count, **line})
        texts = (f"{name} {x['seconds']:.2f} s, {x['loss']:.5g}" for name, x in line.items())
        print(f"+{number * count:3d}   " + "   ".join(texts), flush=True)
        known = found["memory"][1]
    return lines


def timed(
    potential: mentor.Potential, structures: list[Atoms], **options: Any
) -> tuple[float, FitResult]:
    """CPU seconds of a fit, and its result."""
    begin = time.process_time()
    result = fit(potential, structures, **options)
    return time.process_time() - begin, result


def untrained(level: int, structures: list[Atoms]) -> mentor.Potential:
    """A potential for the elements and distances of ``structures``."""
    elements = sorted({symbol for atoms in structures for symbol in atoms.symbols})
    shortest = min(shortest_distances(structures, CUTOFF).values())
    return mentor.init(
        level=level, elements=elements, cutoff=CUTOFF, min_dist=0.95 * shortest, core=False
    )


if __name__ == "__main__":
    main()
