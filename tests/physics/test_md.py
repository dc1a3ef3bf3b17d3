"""Molecular dynamics samples the ensembles it says it does."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.abc import GetPropertiesMixin
from ase.constraints import FixAtoms, FixBondLength, FixCartesian

import samples
from mentor import integrator
from mentor.exceptions import InputError
from mentor.integrator import Ensemble
from mentor.units import GPA, KB


class IdealGas(GetPropertiesMixin):
    """No energy at all."""

    def get_property(self, name, atoms=None, allow_calculation=True):
        return {"energy": 0.0, "forces": np.zeros((len(atoms), 3)), "stress": np.zeros(6)}[name]


class Springs(GetPropertiesMixin):
    """Every atom on a spring of 2 eV/Å² to the origin."""

    def get_property(self, name, atoms=None, allow_calculation=True):
        return {"energy": (atoms.positions**2).sum(), "forces": -2 * atoms.positions}[name]


def crystal(rng, temperature):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.calc = samples.copper().calculator()
    integrator.thermalise(atoms, temperature, rng)
    return atoms


def total_energies(timestep, steps):
    atoms = crystal(np.random.default_rng(0), 600)
    ensemble = Ensemble(timestep=timestep, friction=0)
    run = integrator.run(atoms, ensemble, np.random.default_rng(0), steps)
    return np.array([atoms.get_total_energy() for _ in run])


def test_energy_is_conserved_without_friction():
    E = total_energies(2.0, 1000)
    drift = abs(E[-250:].mean() - E[:250].mean())
    assert E.std() <= 2e-5 * 32
    assert drift <= 5e-6 * 32  # eV, in 2 ps of 32 atoms


def test_energy_error_is_of_second_order_in_the_time_step():
    coarse, fine = (np.ptp(total_energies(dt, int(400 / dt))) for dt in (4.0, 2.0))
    assert 3.0 <= coarse / fine <= 5.0


def test_without_friction_time_can_be_reversed():
    atoms = crystal(np.random.default_rng(0), 600)
    start = atoms.copy()
    ensemble = Ensemble(timestep=2.0, friction=0)
    rng = np.random.default_rng(0)
    for _ in integrator.run(atoms, ensemble, rng, 100):
        pass
    assert np.abs(atoms.positions - start.positions).max() > 0.05
    atoms.set_momenta(-atoms.get_momenta())
    for _ in integrator.run(atoms, ensemble, rng, 100):
        pass
    assert np.abs(atoms.positions - start.positions).max() <= 1e-9


def test_momentum_is_conserved_with_and_without_friction():
    for friction in (0.0, 0.02):
        rng = np.random.default_rng(0)
        atoms = crystal(rng, 600)
        ensemble = Ensemble(friction=friction, temperature=600)
        centre = atoms.get_center_of_mass()
        for _ in integrator.run(atoms, ensemble, rng, 50):
            pass
        assert np.abs(atoms.get_momenta().sum(axis=0)).max() <= 1e-10
        assert np.abs(atoms.get_center_of_mass() - centre).max() <= 1e-10


def test_initial_momenta_are_maxwellian():
    atoms = Atoms("HCuAu" * 300)
    integrator.thermalise(atoms, 500, np.random.default_rng(0))
    p = atoms.get_momenta()
    for element, mass in {"H": 1.008, "Cu": 63.546, "Au": 196.967}.items():
        own = p[atoms.symbols == element]
        assert abs((own**2).mean() / (mass * KB * 500) - 1) <= 0.1
    assert np.abs(p.sum(axis=0)).max() <= 1e-10


@pytest.mark.parametrize("friction", [0.002, 0.02, 0.2])
def test_harmonic_oscillators_are_sampled_exactly(friction):
    """BAOAB samples positions in a harmonic well without error of the time step: ⟨k x²⟩ = k_B T."""
    atoms = Atoms("Cu200")
    atoms.set_constraint(FixCartesian([0], mask=(True, True, True)))
    atoms.calc = Springs()
    T = 400.0
    rng = np.random.default_rng(1)
    atoms.positions += rng.normal(size=(200, 3)) * np.sqrt(KB * T / 2)
    atoms.positions[0] = 0
    integrator.thermalise(atoms, T, rng)
    ensemble = Ensemble(temperature=T, timestep=20.0, friction=friction)  # period 180 fs
    run = integrator.run(atoms, ensemble, rng, 400)
    x2 = np.mean([(atoms.positions[1:] ** 2).mean() for _ in run])
    assert abs(2 * x2 / (KB * T) - 1) <= 0.03
    assert not atoms.positions[0].any()


def test_temperature_counts_the_degrees_of_freedom():
    """Four free atoms have nine, since their centre of mass is at rest."""
    atoms = Atoms("Cu4", positions=np.eye(4)[:, :3], cell=[9] * 3, pbc=True)
    atoms.calc = IdealGas()
    rng = np.random.default_rng(0)
    ensemble = Ensemble(temperature=500, friction=0.2)
    run = integrator.run(atoms, ensemble, rng, 8000)
    seen = [(integrator.temperature(atoms), atoms.get_kinetic_energy()) for _ in run]
    temperature, kinetic = np.mean(seen[100:], axis=0)
    assert abs(kinetic / (4.5 * KB * 500) - 1) <= 0.04
    assert abs(temperature / 500 - 1) <= 0.04


def test_ideal_gas_under_pressure():
    """ρ(V) ∝ V^N e^(−PV/kT), so that ⟨V⟩ = (N + 1) kT/P and ⟨δV²⟩ = (N + 1) (kT/P)²."""
    T, P, N = 1000.0, 1.0, 8
    atoms = Atoms(f"Cu{N}", cell=[5] * 3, pbc=True)
    atoms.calc = IdealGas()
    ensemble = Ensemble(
        temperature=T,
        pressure=P,
        friction=0.1,
        barostat_time=100,
        bulk_modulus=P,
        barostat_interval=5,
    )
    rng = np.random.default_rng(0)
    integrator.thermalise(atoms, T, rng)
    run = integrator.run(atoms, ensemble, rng, 20_000)
    V = np.array([atoms.get_volume() for step in run if step % 5 == 0])
    unit = KB * T / (P * GPA)
    assert abs(V[200:].mean() / unit / (N + 1) - 1) <= 0.05
    assert abs(V[200:].var() / unit**2 / (N + 1) - 1) <= 0.25


def test_a_crystal_under_pressure_reaches_it():
    rng = np.random.default_rng(0)
    atoms = crystal(rng, 300)
    shape = atoms.cell.array / atoms.cell.lengths()[0]
    ensemble = Ensemble(temperature=300, pressure=5.0, barostat_time=200, timestep=2.0)
    run = integrator.run(atoms, ensemble, rng, 1500)
    P = [integrator.pressure(atoms) for step in run if step > 500]
    assert abs(np.mean(P) - 5.0) <= 0.5
    assert np.abs(atoms.cell.array / atoms.cell.lengths()[0] - shape).max() <= 1e-12


@pytest.mark.parametrize("pressure", [None, 1.0])
def test_a_run_in_two_parts_equals_the_whole(pressure):
    ensemble = Ensemble(temperature=300, pressure=pressure)
    rng = np.random.default_rng(3)
    whole = crystal(rng, 300)
    for _ in integrator.run(whole, ensemble, rng, 25):
        pass
    rng = np.random.default_rng(3)
    first = crystal(rng, 300)
    for _ in integrator.run(first, ensemble, rng, 13):
        pass
    state = rng.bit_generator.state
    second = first.copy()
    second.calc = samples.copper().calculator()
    rng = np.random.default_rng()
    rng.bit_generator.state = state
    numbers = list(integrator.run(second, ensemble, rng, 12, first=13))
    assert numbers == list(range(14, 26))
    assert np.array_equal(whole.positions, second.positions)
    assert np.array_equal(whole.get_momenta(), second.get_momenta())
    assert np.array_equal(whole.cell.array, second.cell.array)


def test_fixed_atoms_stay():
    rng = np.random.default_rng(0)
    atoms = crystal(rng, 300)
    atoms.set_constraint([FixAtoms([0, 1]), FixCartesian([2], mask=(False, False, True))])
    integrator.thermalise(atoms, 300, rng)
    start = atoms.positions.copy()
    for _ in integrator.run(atoms, Ensemble(temperature=300), rng, 20):
        pass
    assert integrator.degrees_of_freedom(integrator.mobile(atoms)) == 3 * 32 - 7
    assert np.array_equal(atoms.positions[:2], start[:2])
    assert atoms.positions[2, 2] == start[2, 2]
    assert (atoms.positions[2, :2] != start[2, :2]).all()


def test_what_is_not_supported_is_refused():
    rng = np.random.default_rng(0)
    atoms = crystal(rng, 300)
    npt = Ensemble(pressure=0.0)
    atoms.set_constraint(FixBondLength(0, 1))
    with pytest.raises(InputError, match="FixBondLength"):
        next(integrator.run(atoms, Ensemble(), rng, 1))
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(InputError, match="pressure"):
        next(integrator.run(atoms, npt, rng, 1))
    atoms.set_constraint()
    atoms.pbc = (True, True, False)
    with pytest.raises(InputError, match="pressure"):
        next(integrator.run(atoms, npt, rng, 1))


def test_one_atom_moves():
    atoms = Atoms("Cu")
    atoms.calc = IdealGas()
    rng = np.random.default_rng(0)
    for _ in integrator.run(atoms, Ensemble(friction=0.1), rng, 10):
        pass
    assert atoms.positions.any()


@pytest.mark.parametrize(("name", "repeat"), [("Cu", (2, 2, 2)), ("Si", (1, 1, 2))])
def test_energy_is_conserved_with_a_published_potential(published, name, repeat):
    rng = np.random.default_rng(0)
    atoms = bulk(name, cubic=True) * repeat
    atoms.calc = published(name).calculator()
    integrator.thermalise(atoms, 600, rng)
    run = integrator.run(atoms, Ensemble(friction=0, timestep=1.0), rng, 300)
    E = np.array([atoms.get_total_energy() for _ in run]) / len(atoms)
    assert E.std() <= 1e-4
    assert abs(E[-100:].mean() - E[:100].mean()) <= 1e-5  # eV/atom in 0.3 ps
