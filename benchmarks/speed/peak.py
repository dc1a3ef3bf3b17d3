"""Which fraction of one core's arithmetic peak the kernel reaches.

    python benchmarks/speed/peak.py [--levels 8 12 ...] [--json F]

The peak is measured in the same run: a loop of independent fused multiply-adds, compiled here with
g++ for the instructions mentor's kernel uses. The floating-point operations of the kernel are
counted from the model (``operations_per_atom``); an addition, a multiplication, a division or a
square root is one operation, a fused multiply-add two. Divisions and square roots, gathering of
neighbours and scattering of forces take far more time than their count tells.
"""

import argparse
import ctypes
import os
import subprocess
import tempfile
import time
from pathlib import Path

from common import Record, crystal, fastest, metal, parsed, parser, title

import mentor
from mentor.kernel import variants
from mentor.neighbourhoods import neighbourhoods

FLAGS = {
    "avx512": ["-mavx512f", "-mfma", "-mprefer-vector-width=512"],
    "avx2": ["-mavx2", "-mfma"],
    "baseline": [],
}
REGISTER_BYTES = {"avx512": 64, "avx2": 32, "baseline": 16}

LOOP = r"""
template <class Real>
static double run(long turns) {
    typedef Real vec __attribute__((vector_size(REGISTER_BYTES)));
    vec sum[12], x, y;
    for (auto& each : sum) each = vec{} + Real(1);
    x = vec{} + Real(0.999), y = vec{} + Real(0.001);
    asm volatile("" : "+x"(x), "+x"(y));
    for (long i = 0; i < turns; ++i)
        for (auto& each : sum) each = each * x + y;
    vec total = vec{};
    for (auto& each : sum) total += each;
    return total[0];
}
extern "C" double run_double(long turns) { return run<double>(turns); }
extern "C" double run_single(long turns) { return run<float>(turns); }
"""


class Peak:
    """Two loops of multiply-adds in 12 registers, double and single precision."""

    turns = 2_000_000

    def __init__(self, folder: Path) -> None:
        self.variant = variants()[0]
        self.bytes = REGISTER_BYTES[self.variant]
        source, library = folder / "peak.cpp", folder / "peak.so"
        source.write_text(LOOP.replace("REGISTER_BYTES", str(self.bytes)))
        flags = ["-O3", "-funroll-loops", "-shared", "-fPIC", *FLAGS[self.variant]]
        subprocess.run(
            [os.environ.get("CXX", "g++"), *flags, str(source), "-o", str(library)], check=True
        )
        self.library = ctypes.CDLL(str(library))
        for each in (self.library.run_double, self.library.run_single):
            each.argtypes, each.restype = [ctypes.c_long], ctypes.c_double

    def double(self) -> None:
        self.library.run_double(self.turns)

    def single(self) -> None:
        self.library.run_single(self.turns)

    def rate(self, seconds: float, size: int) -> float:
        """GFLOP/s with numbers of ``size`` bytes, of a call that has taken ``seconds``."""
        return 2e-9 * self.turns * 12 * (self.bytes // size) / seconds


def operations_per_atom(potential: mentor.Potential, neighbours: float) -> dict[str, float]:
    """Floating-point operations for energy, forces and virial of one atom, by part.

    With K radial functions f_μ of R Chebyshev polynomials, tensors up to degree d_μ, and d the
    highest of them; all but the contraction are per neighbour:

    ============ ========================================================================
    vectors      length and direction of r_ij: 10
    radial       T_k 2R, f_μ and df_μ/dr 4KR, smooth factor and its slope 9 + 5K
    angular      products with z: d² − 1; powers of x + iy: 6(d − 1)
    moments      2 Σ_μ (d_μ + 1)²
    contraction  2 kernel.operations: multiplications, each counted with an addition
    polynomials  P_μ(u) and its gradient by Horner's rule Σ_μ (4d_μ² + 16d_μ), powers 8d
    forces       sums over μ 8K, derivative by r_ij 16, sums into forces 6, virial 24
    ============ ========================================================================
    """
    K, R = potential.radial_funcs_count, potential.radial_basis_size
    degree = [0] * K
    for mu, *powers in potential.alpha_index_basic:
        degree[mu] = max(degree[mu], sum(powers))
    d = max(degree)
    per_neighbour = {
        "vectors": 10,
        "radial": 2 * R + 4 * K * R + 9 + 5 * K,
        "angular": max(0, d**2 - 1 + 6 * (d - 1)),
        "moments": 2 * sum((each + 1) ** 2 for each in degree),
        "polynomials": sum(4 * each**2 + 16 * each for each in degree) + 8 * d,
        "forces": 8 * K + 16 + 6 + 24,
    }
    counts = {name: neighbours * float(count) for name, count in per_neighbour.items()}
    counts["contraction"] = 2.0 * potential.kernel.operations
    return counts


def main(options: argparse.Namespace) -> Record:
    record = Record("peak")
    atoms = crystal((2, 2, 2) if options.quick else (8, 8, 8))
    with tempfile.TemporaryDirectory() as folder:
        peak = Peak(Path(folder))
    title(
        f"{len(atoms)} atoms, {peak.variant}; operations per atom, µs per atom, GFLOP/s\n"
        "level   operations  contraction    µs double  GFLOP/s  of peak     µs mixed  GFLOP/s"
        "  of peak"
    )
    for level in options.levels:
        potential = metal(level)
        nb = neighbourhoods(atoms, potential.max_dist, potential.elements)
        kernels = {name: potential.compiled(precision=name) for name in ("double", "mixed")}
        sides = {name: lambda k=k, nb=nb: k.evaluate(nb) for name, k in kernels.items()}
        sides |= {"peak_double": peak.double, "peak_mixed": peak.single}
        times = fastest(sides, options.seconds / 2, clock=time.process_time)
        counts = operations_per_atom(potential, len(nb.neighbours) / len(atoms))
        total = sum(counts.values())
        line = {"level": level, "operations": total, "counts": counts}
        text = f"{level:5d} {total:12.0f} {counts['contraction'] / total:11.0%}"
        for name, size in (("double", 8), ("mixed", 4)):
            rate = 1e-9 * total * len(atoms) / times[name]
            best = peak.rate(times[f"peak_{name}"], size)
            line[name] = {
                "time": 1e6 * times[name] / len(atoms),
                "rate": rate,
                "peak": best,
                "fraction": rate / best,
            }
            text += f" {line[name]['time']:13.2f} {rate:8.1f} {rate / best:8.0%}"
        record.add("peak", **line)
        print(text, flush=True)
    lines = record.sections["peak"]
    double, single = (max(line[name]["peak"] for line in lines) for name in ("double", "mixed"))
    print(f"peak of one core: {double:.1f} GFLOP/s double, {single:.1f} single")
    return record


def draw(record: Record) -> object:
    """Fractions by level."""
    from pictures import fractions

    return fractions(record)


if __name__ == "__main__":
    OPTIONS = parsed(parser(__doc__))
    main(OPTIONS).finish(OPTIONS, draw)
