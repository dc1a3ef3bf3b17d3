"""Time per atom of energy, forces and virial, against motep where it is installed.

    python benchmarks/speed/kernel.py [--levels 8 12 ...] [--species 1 2 4] [--json F] [--plot F]

fcc Ag (a = 4.09 Å, 2048 atoms, rattled by 0.05 Å), cutoff 5 Å, one thread; µs per atom of CPU time,
shortest of several calls, the sides taking turns. Both sides read the same potential file. "list"
is the neighbour search of every call; without it motep keeps the list it has made (it always does
in molecular dynamics until atoms have moved by 0.3 Å) and mentor is given its own.
"""

import argparse

# sets one thread, and so comes before numpy
from common import (
    MIXED_RATIO,
    MOTEP_RATIO,
    Record,
    active_set,
    crystal,
    fastest,
    metal,
    parsed,
    parser,
    title,
)

# isort: split
import numpy as np
from ase import Atoms
from with_motep import Motep, available

from mentor import Potential
from mentor.kernel import Kernel
from mentor.neighbourhoods import Neighbourhoods, neighbourhoods


def main(options: argparse.Namespace) -> Record:
    record = Record("kernel")
    cells = (2, 2, 2) if options.quick else (8, 8, 8)
    for species in options.species:
        compare_levels(record, options, crystal(cells, species), species)
    if not options.no_grades:
        compare_grades(record, options, crystal(cells))
    if not options.no_contraction:
        compare_contractions(record, options, crystal(cells))
    if "levels" in record.sections:
        check_levels(record)
    return record


# ---- levels


def compare_levels(record: Record, options: argparse.Namespace, atoms: Atoms, species: int) -> None:
    """mentor in double and mixed precision, and motep."""
    title(
        f"{len(atoms)} atoms, {species} species; µs per atom\n"
        "level  mentor   mixed  with list    motep  with list   faster: kernel  with list"
        "  mixed/double   force error double, mixed (eV/Å)"
    )
    for level in options.levels:
        line = time_level(metal(level, species), atoms, options.seconds)
        line |= {"level": level, "species": species, "atoms": len(atoms)}
        record.add("levels", **line)
        motep, searching = line.get("motep", np.nan), line.get("motep_list", np.nan)
        print(
            f"{level:5d} {line['double']:7.2f} {line['mixed']:7.2f} {line['double_list']:10.2f}"
            f" {motep:8.1f} {searching:10.1f} {motep / line['double']:16.1f}"
            f" {searching / line['double_list']:10.1f} {line['double'] / line['mixed']:13.2f}"
            f" {line.get('error', np.nan):12.1e} {line['error_mixed']:9.1e}",
            flush=True,
        )


def time_level(potential: Potential, atoms: Atoms, seconds: float) -> dict[str, float]:
    """µs per atom of all sides, and how far the forces differ."""
    nb = listed(potential, atoms)
    double, mixed = potential.compiled(), potential.compiled(precision="mixed")
    sides = {
        "double": lambda: double.evaluate(nb),
        "mixed": lambda: mixed.evaluate(nb),
        "double_list": lambda: double.evaluate(listed(potential, atoms)),
    }
    forces = double.evaluate(nb).forces
    errors = {"error_mixed": np.abs(mixed.evaluate(nb).forces - forces).max()}
    if available():
        motep = Motep(potential, atoms.copy())
        errors["error"] = np.abs(motep.new_list()["forces"] - forces).max()
        sides |= {"motep": motep.kept_list, "motep_list": motep.new_list}
    times = fastest(sides, seconds)
    return {name: 1e6 * t / len(atoms) for name, t in times.items()} | errors


def listed(potential: Potential, atoms: Atoms) -> Neighbourhoods:
    return neighbourhoods(atoms, potential.max_dist, potential.elements)


# ---- grades


def compare_grades(record: Record, options: argparse.Namespace, atoms: Atoms) -> None:
    """Grades of all atoms beside energy, forces and virial."""
    title(
        "grades of all atoms, µs per atom: forces alone, with grades in the same\n"
        "sweep; what grades add, in force calls, and with a narrow training set; grades alone\n"
        "level  forces    both   added  narrow   alone"
    )
    for level in [each for each in options.levels if each <= 20]:
        potential = metal(level)
        nb, kernel = listed(potential, atoms), potential.kernel
        sides = {"forces": lambda k=kernel, nb=nb: k.evaluate(nb)}
        for name, amplitudes in (("grades", (0.05, 0.1, 0.2)), ("narrow", (0.05,))):
            known = active_set(potential, amplitudes, 2 if options.quick else 4)
            active = kernel.active_set(known.inverse)
            sides[name] = lambda k=kernel, nb=nb, active=active: k.evaluate(nb, active_set=active)
            if name == "grades":
                sides["alone"] = lambda k=kernel, nb=nb, active=active: k.grades(nb, active)
        times = fastest(sides, options.seconds / 2)
        line = {name: 1e6 * t / len(atoms) for name, t in times.items()}
        line["added"], line["added_narrow"] = (
            line[name] / line["forces"] - 1 for name in ("grades", "narrow")
        )
        record.add("grades", level=level, atoms=len(atoms), **line)
        print(
            f"{level:5d} {line['forces']:7.2f} {line['grades']:7.2f} {line['added']:7.2f}"
            f" {line['added_narrow']:7.2f} {line['alone']:7.2f}",
            flush=True,
        )
    if "grades" in record.sections:
        worst = max(line["added"] for line in record.sections["grades"])
        record.check("grades add at most one force call", worst <= 1.0, f"at most {worst:.2f}")


# ---- contraction


def compare_contractions(record: Record, options: argparse.Namespace, atoms: Atoms) -> None:
    """The contraction schedule of the file against the plan."""
    title(
        "from the moments to energy and derivatives: the schedule of the file and the plan\n"
        "level  multiplications: schedule     plan   less   µs per atom: schedule    plan   less"
        "   energy difference"
    )
    levels = options.levels if options.quick else sorted({*options.levels, 26, 28} - {8})
    for level in levels:
        potential = metal(level)
        nb = listed(potential, atoms)
        plan, schedule = (contracted(potential, how) for how in ("plan", "schedule"))
        sides = {
            "schedule": lambda k=schedule, nb=nb: k.evaluate(nb),
            "plan": lambda k=plan, nb=nb: k.evaluate(nb),
        }
        times = fastest(sides, options.seconds / 2)
        before, after = (1e6 * times[name] / len(atoms) for name in sides)
        energies = [kernel.evaluate(nb).site_energies for kernel in (plan, schedule)]
        difference = float(np.abs(energies[0] - energies[1]).max())
        record.add(
            "contraction",
            level=level,
            operations_schedule=schedule.operations,
            operations_plan=plan.operations,
            time_schedule=before,
            time_plan=after,
            difference=difference,
        )
        print(
            f"{level:5d} {schedule.operations:26d} {plan.operations:8d}"
            f" {schedule.operations / plan.operations:6.1f} {before:23.2f} {after:7.2f}"
            f" {before / after:6.2f} {difference:15.1e} eV",
            flush=True,
        )


def contracted(potential: Potential, contraction: str) -> Kernel:
    """The kernel of a potential, by plan or schedule."""
    names = (
        "radial_basis_type scaling min_dist max_dist radial_coeffs species_coeffs moment_coeffs "
        "alpha_moments_count alpha_index_basic alpha_index_times alpha_moment_mapping"
    )
    fields = {name: getattr(potential, name) for name in names.split()}
    return Kernel(**fields, contraction=contraction)


# ---- checks and picture


def check_levels(record: Record) -> None:
    title("targets")
    lines = record.sections["levels"]
    timed = [line for line in lines if "motep" in line]
    if timed:
        least = min(timed, key=lambda line: line["motep"] / line["double"])
        ratio = least["motep"] / least["double"]
        where = f"level {least['level']}, {least['species']} species"
        record.check(
            f"at least {MOTEP_RATIO:g} times faster than motep at every level",
            ratio >= MOTEP_RATIO,
            f"{ratio:.1f} times at least ({where})",
        )
        error = max(line["error"] for line in timed)
        record.check("forces agree with motep to 1e-10 eV/Å", error <= 1e-10, f"{error:.1e} eV/Å")
    least = min(lines, key=lambda line: line["double"] / line["mixed"])
    ratio = least["double"] / least["mixed"]
    record.check(
        f"mixed precision at least {MIXED_RATIO:g} times faster than double",
        ratio >= MIXED_RATIO,
        f"{ratio:.2f} times at least (level {least['level']}, {least['species']} species)",
    )


def draw(record: Record) -> object:
    """Time by level, with what other programs were measured to take elsewhere."""
    from pictures import levels

    return levels(record)


def read_options() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--species", type=int, nargs="+", default=[1, 2, 4])
    found.add_argument("--no-grades", action="store_true")
    found.add_argument("--no-contraction", action="store_true")
    return parsed(found)


if __name__ == "__main__":
    OPTIONS = read_options()
    main(OPTIONS).finish(OPTIONS, draw)
