"""Threads of linear algebra: a fit with one where matrices are small, and with all throughout.

    python benchmarks/fit/threads.py TRAIN.xyz [--levels LEVEL ...] [--cutoff Å] [--threads N]
                                     [--json FILE]

Trainings with default settings one after the other in the same process, wall time. The machine has
to be idle: where other programs keep its cores busy, the ratio is many times larger.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))

import numpy as np
from ase.io import read
from common import Record, parsed, parser
from threadpoolctl import threadpool_limits

import mentor
from mentor import blas


def seconds(training, level: int, cutoff: float) -> tuple[float, float]:
    """Wall time of a training, and its loss."""
    begin = time.perf_counter()
    result = mentor.train(training, level=level, cutoff=cutoff, plots=False, checks=False)
    return time.perf_counter() - begin, result.history[-1].loss.value


def main() -> None:
    options = parser(__doc__, levels=(8, 12, 16))
    options.add_argument("data")
    options.add_argument("--cutoff", type=float, default=5.0)
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options = parsed(options)
    record, training = Record("threads"), read(options.data, ":")
    usual = blas.LARGE
    with threadpool_limits(options.threads, user_api="blas"):
        for level in options.levels:
            line = {"level": level}
            for name, large in (("suited", usual), ("all", 0)):
                blas.LARGE = large
                line[name], line[f"loss_{name}"] = seconds(training, level, options.cutoff)
            blas.LARGE = usual
            record.add("threads", **line)
            print(
                f"level {level}: {line['suited']:.1f} s (loss {line['loss_suited']:.5g}), "
                f"{options.threads} threads throughout {line['all']:.1f} s "
                f"(loss {line['loss_all']:.5g}), ratio {line['all'] / line['suited']:.1f}",
                flush=True,
            )
            same = np.isclose(line["loss_suited"], line["loss_all"], rtol=0.05)
            record.check(f"level {level}: the same loss within 5 %", same, "")
    record.finish(options, lambda record: None)


if __name__ == "__main__":
    main()
