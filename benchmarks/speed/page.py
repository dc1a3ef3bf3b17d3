"""Fill the tables of a page with what the other scripts have measured.

    python benchmarks/speed/page.py docs/speed.md FILE.json ...

A table stands between <!-- table: name --> and <!-- end -->; those whose figures are in none of the
files stay as they are.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from common import SMALLEST_FOR_SLOPE

Sections = dict[str, dict[str, list[dict]]]  # script -> section -> lines


def table(head: str, rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown; the columns of ``head`` are separated by bars."""
    names = [each.strip() for each in head.split("|")]
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def levels(found: Sections) -> str:
    rows = []
    for line in found["kernel"]["levels"]:
        if line["species"] == 1:
            times = [f"{line[name]:.2f}" for name in ("double", "mixed", "double_list")]
            others = [f"{line[name]:.0f}" for name in ("motep", "motep_list")]
            ratios = [f"{line['motep'] / line['double']:.0f}"]
            ratios += [f"{line['motep_list'] / line['double_list']:.0f}"]
            rows.append([line["level"], *times, *others, *ratios])
    return table(
        "level | mentor | mixed | with list | motep | with list | faster | with list", rows
    )


def species(found: Sections) -> str:
    lines = found["kernel"]["levels"]
    counts = sorted({line["species"] for line in lines})
    rows = []
    for level in sorted({line["level"] for line in lines}):
        same = {line["species"]: line for line in lines if line["level"] == level}
        cells = [
            f"{each['double']:.2f}, {each['mixed']:.2f}; {each['motep'] / each['double']:.0f}×"
            for each in (same[count] for count in counts)
        ]
        rows.append([level, *cells])
    return table(" | ".join(["level", *(f"{count} species" for count in counts)]), rows)


def lammps(found: Sections) -> str:
    rows = [
        [
            line["level"],
            *(f"{line[name]:.2f}" for name in ("double", "mixed", "grades")),
            f"{line['motep']:.0f}",
            f"{line['motep'] / line['double']:.0f}",
            f"{line['target']:.1f}",
        ]
        for line in found["in_lammps"]["levels"]
    ]
    return table("level | double | mixed | grades every step | motep | faster | target", rows)


def others(found: Sections) -> str:
    sections = found["in_lammps"]
    rows = [
        [f"SNAP, 2Jmax {line['twojmax']}", f"{line['time']:.0f} µs per atom and step"]
        for line in sections["snap"]
    ]
    for line in sections["drift"]:
        what = f"NVE, {line['precision']} precision, level {line['level']}"
        rows.append([what, f"{line['drift']:+.1e} eV/atom/ps over {line['steps'] / 1000:.0f} ps"])
    for line in sections["mpi"]:
        text = f"{line['one']:.2f} and {line['two']:.2f} µs per atom and step, wall time"
        rows.append([f"MPI on 1 and 2 processes, level {line['level']}", text])
    return table("what | measured", rows)


def grades(found: Sections) -> str:
    rows = [
        [
            line["level"],
            *(
                f"{line[name]:.2f}"
                for name in ("forces", "grades", "added", "added_narrow", "alone")
            ),
        ]
        for line in found["kernel"]["grades"]
    ]
    return table("level | forces | with grades | added, force calls | narrow set | alone", rows)


def contraction(found: Sections) -> str:
    rows = [
        [
            line["level"],
            *(f"{line[f'operations_{how}']:,}" for how in ("schedule", "plan")),
            f"{line['operations_schedule'] / line['operations_plan']:.1f}",
            *(f"{line[f'time_{how}']:.2f}" for how in ("schedule", "plan")),
            f"{line['time_schedule'] / line['time_plan']:.1f}",
        ]
        for line in found["kernel"]["contraction"]
    ]
    head = "level | schedule: multiplications | plan | less | schedule: µs per atom | plan | faster"
    return table(head, rows)


def peak(found: Sections) -> str:
    rows = []
    for line in found["peak"]["peak"]:
        counts, total = line["counts"], line["operations"]
        parts = (("vectors", "radial"), ("angular", "moments"), ("contraction",))
        parts += (("polynomials", "forces"),)
        shares = [f"{sum(counts[name] for name in part) / total:.0%}" for part in parts]
        rates = [
            f"{line[name]['rate']:.1f} ({line[name]['fraction']:.0%})"
            for name in ("double", "mixed")
        ]
        rows.append([line["level"], f"{total:,.0f}", *shares, *rates])
    head = (
        "level | operations | radial | moments | contraction | gradients | GFLOP/s double | mixed"
    )
    return table(head, rows)


def scaling(found: Sections) -> str:
    rows = [
        [
            {"python": "Python", "lammps": "LAMMPS"}[line["where"]],
            f"{line['atoms']:,}",
            f"{line['time']:.2f}",
            f"{line['memory'] / 1e6:.0f}",
            f"{line['memory'] / line['atoms']:.0f}",
        ]
        for line in found["scaling"]["sizes"]
        if line["atoms"] >= SMALLEST_FOR_SLOPE
    ]
    return table("where | atoms | µs per atom | MB | bytes per atom", rows)


def small(found: Sections) -> str:
    rows = [
        [f"{line['atoms']:,} atoms, kernel", f"{line['one']:.2f}", f"{line['two']:.2f}", ""]
        for line in found["scaling"]["threads"]
    ]
    rows += [
        [
            f"10 atoms through ASE, {line['side']}",
            f"{line['time'] / 10:.1f}",
            "",
            f"{line['time']:.0f}",
        ]
        for line in found["scaling"]["latency"]
    ]
    return table("what | µs per atom, 1 thread | 2 threads | µs per call", rows)


TABLES: dict[str, Callable[[Sections], str]] = {
    each.__name__: each
    for each in (levels, species, lammps, others, grades, contraction, peak, scaling, small)
}


def targets(checks: list[dict]) -> str:
    rows = [[each["what"], each["value"], "yes" if each["met"] else "**no**"] for each in checks]
    return table("target | measured | met", rows)


def main(page: Path, files: list[Path]) -> None:
    records = [json.loads(path.read_text()) for path in files]
    found = {record["script"]: record["sections"] for record in records}
    checks = [check for record in records for check in record["checks"]]

    def filled(match: re.Match) -> str:
        name = match[1]
        try:
            text = targets(checks) if name == "targets" else TABLES[name](found)
        except KeyError as missing:
            print(f"{name}: stays as it is ({missing} was not measured)")
            return match[0]
        return f"<!-- table: {name} -->\n{text}\n<!-- end -->"

    text = page.read_text()
    pattern = re.compile(r"<!-- table: (\w+) -->\n.*?<!-- end -->", re.DOTALL)
    page.write_text(pattern.sub(filled, text))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(each) for each in sys.argv[2:]])
