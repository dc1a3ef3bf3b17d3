"""The command md: records, trajectories, and why a run ends."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

import mentor
import samples

COPPER = bulk("Cu", cubic=True)


@pytest.fixture(scope="module")
def trained():
    """Copper that knows the crystal at room temperature only."""
    start = mentor.md(samples.copper(), COPPER, supercell=(2, 2, 2), steps=300, interval=30)
    frames = [start.atoms]
    for seed in range(8):
        run = mentor.md(samples.copper(), start.atoms, steps=60, seed=seed, temperature=300)
        frames.append(run.atoms)
    return samples.taught(samples.copper(), frames)


def test_records(tmp_path):
    result = mentor.md(samples.copper(), COPPER, steps=25, interval=10, timestep=2.0)
    assert result.steps == 25
    assert result.stopped is None
    assert result.max_grade is None
    assert result.times.tolist() == [0, 20, 40, 50]
    for name in ("temperatures", "energies", "kinetic_energies", "volumes", "pressures"):
        values = getattr(result, name)
        assert values.shape == (4,)
        assert np.isfinite(values).all()
    last = result.atoms
    assert last.get_kinetic_energy() == result.kinetic_energies[-1]
    check = last.copy()
    check.calc = samples.copper().calculator()
    assert abs(check.get_potential_energy() - result.energies[-1]) <= 1e-10
    assert np.abs(check.get_forces() - last.get_forces()).max() <= 1e-10
    assert len(result.as_dict()["energies_eV"]) == 4


def test_the_start_is_left_alone():
    atoms = COPPER.copy()
    mentor.md(samples.copper(), atoms, steps=5)
    assert atoms == COPPER
    assert atoms.calc is None


def test_the_same_seed_gives_the_same_run():
    one, again, other = (
        mentor.md(samples.copper(), COPPER, steps=20, seed=seed).atoms.positions
        for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_velocities_given_are_kept():
    hot = COPPER.copy()
    hot.set_momenta(np.tile([1.0, -1.0], 6).reshape(4, 3))
    result = mentor.md(samples.copper(), hot, steps=0)
    assert result.kinetic_energies[0] == hot.get_kinetic_energy()


@pytest.mark.parametrize("ending", ["traj", "xyz", "extxyz"])
def test_trajectory(tmp_path, ending):
    path = tmp_path / f"run.{ending}"
    path.write_text("something old")
    result = mentor.md(samples.copper(), COPPER, steps=20, interval=5, output=path)
    frames = ase.io.read(path, ":")
    assert len(frames) == 5
    for frame, energy in zip(frames, result.energies, strict=True):
        assert abs(frame.get_potential_energy() - energy) <= 1e-6
        assert frame.get_forces().shape == (4, 3)
        assert frame.get_stress().shape == (6,)
        assert frame.has("momenta")
    assert np.abs(frames[-1].positions - result.atoms.positions).max() <= 1e-6


def test_runs_from_files(tmp_path):
    samples.copper().save(tmp_path / "cu.mtp")
    ase.io.write(tmp_path / "cu.xyz", [bulk("Cu"), COPPER])
    result = mentor.md(tmp_path / "cu.mtp", tmp_path / "cu.xyz", steps=3)
    assert len(result.atoms) == 4


def test_supercell_and_pressure():
    result = mentor.md(
        samples.copper(), COPPER, supercell=(2, 1, 1), steps=200, interval=20, pressure=10.0
    )
    assert len(result.atoms) == 8
    assert result.volumes[-1] < result.volumes[0]


def test_molecules_slabs_and_wires():
    for pbc in ((0, 0, 0), (1, 0, 0), (1, 1, 0)):
        atoms = COPPER.copy()
        atoms.pbc = pbc
        result = mentor.md(samples.copper(), atoms, steps=10, interval=5)
        assert result.stopped is None
        assert np.isnan(result.pressures).all()
        assert result.as_dict()["pressures_GPa"] == [None] * 3


@pytest.mark.parametrize("ending", ["traj", "xyz"])
def test_stops_where_the_potential_no_longer_knows(trained, tmp_path, ending):
    cold = mentor.md(trained, COPPER, supercell=(2, 2, 2), steps=200, stop_grade=20.0)
    assert cold.stopped is None
    assert 0 < cold.max_grade <= 20
    path = tmp_path / f"hot.{ending}"
    hot = mentor.md(
        trained,
        COPPER,
        supercell=(2, 2, 2),
        steps=2000,
        temperature=3000,
        stop_grade=20.0,
        output=path,
    )
    assert hot.steps < 2000
    assert hot.max_grade > 20
    assert f"step {hot.steps}" in hot.stopped
    assert "grade" in hot.stopped
    last = ase.io.read(path, -1)
    assert abs(last.info["max_grade"] - hot.max_grade) <= 1e-6 * hot.max_grade
    if ending == "xyz":
        assert abs(last.arrays["grades"].max() - hot.max_grade) <= 1e-6 * hot.max_grade
    assert hot.times[-1] == hot.steps


def test_goes_on_when_told_to(trained):
    result = mentor.md(
        trained, COPPER, supercell=(2, 2, 2), steps=100, temperature=3000, stop_grade=0
    )
    assert result.steps == 100
    assert result.stopped is None


def test_stops_where_the_structure_flies_apart():
    result = mentor.md(
        samples.copper(), COPPER, steps=2000, timestep=60.0, temperature=1000, interval=100
    )
    assert result.steps < 2000
    assert "flew apart" in result.stopped
    assert np.isfinite(result.atoms.positions).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"timestep": 0.0}, "timestep"),
        ({"timestep": float("nan")}, "timestep"),
        ({"steps": -1}, "steps"),
        ({"temperature": -5.0}, "temperature"),
        ({"friction": -0.1}, "friction"),
        ({"interval": 0}, "interval"),
        ({"supercell": (2, 2)}, "supercell"),
        ({"supercell": (2, 0, 2)}, "supercell"),
        ({"output": "run.pdb"}, "run.pdb"),
    ],
)
def test_wrong_settings(wrong, message):
    with pytest.raises(mentor.InputError, match=message):
        mentor.md(samples.copper(), COPPER, **wrong)


def test_wrong_structures(tmp_path):
    with pytest.raises(mentor.InputError, match="pressure"):
        mentor.md(samples.copper(), Atoms("Cu2", [[0, 0, 0], [2.4, 0, 0]]), pressure=0.0)
    with pytest.raises(mentor.InputError, match="supercell"):
        mentor.md(samples.copper(), Atoms("Cu"), supercell=(2, 1, 1))
    with pytest.raises(mentor.InputError, match="structure 0"):
        mentor.md(samples.copper(), molecule("H2O"))
    with pytest.raises(mentor.StorageError, match="nowhere"):
        mentor.md(samples.copper(), COPPER, steps=1, output=tmp_path / "nowhere" / "run.traj")
    with pytest.raises(mentor.StorageError, match="nowhere"):
        mentor.md(samples.copper(), COPPER, steps=1, output=tmp_path / "nowhere" / "run.xyz")
