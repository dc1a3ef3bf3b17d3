"""The gauge-fixed active set: its row space, its volume, its grades, and selection."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import mentor
import samples
from mentor.active import (
    build_active_set,
    building,
    grade_structures,
    redundant_parameters,
    select_structures,
)
from mentor.active.coordinates import rows_of
from mentor.active.maxvol import FLOOR, TOLERANCE, UNIT, empty, spanning
from mentor.active_set import ActiveSet
from mentor.exceptions import InputError
from mentor.neighbourhoods import neighbourhoods

MODES = ("neighborhood", "configuration")


def gas(potential: mentor.Potential, count: int, seed: int, size: int = 8) -> list[Atoms]:
    """Random dense arrangements of all the elements, 1.6 Å apart or more."""
    rng = np.random.default_rng(seed)
    structures = []
    for _ in range(count):
        points = [rng.uniform(0, 5.0, 3)]
        while len(points) < size:
            point = rng.uniform(0, 5.0, 3)
            shift = np.array(points) - point
            if np.linalg.norm(shift - 5.0 * np.round(shift / 5.0), axis=1).min() > 1.6:
                points.append(point)
        symbols = rng.choice(potential.elements, size)
        structures.append(Atoms(symbols, points, cell=[5.0] * 3, pbc=True))
    return structures


def crystals(seed: int, count: int = 12) -> list[Atoms]:
    """Rattled and strained cells of an ordered Ag-Pd crystal."""
    rng = np.random.default_rng(seed)
    structures = []
    for _ in range(count):
        atoms = bulk("Ag", cubic=True, a=4.0)
        atoms.symbols = ["Ag", "Pd", "Ag", "Pd"]
        strain = np.eye(3) + 0.03 * rng.normal(size=(3, 3))
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        atoms.positions += 0.08 * rng.normal(size=(4, 3))
        structures.append(atoms)
    return structures


def with_set(potential, structures, mode="neighborhood") -> mentor.Potential:
    return replace(potential, active_set=build_active_set(potential, structures, mode))


def all_rows(potential, structures, mode="neighborhood") -> np.ndarray:
    return rows_of(potential, structures, mode == "configuration")


def gauge_transformed(potential: mentor.Potential, seed: int) -> mentor.Potential:
    """The same energies with other parameters: f_μ → Σ_{μ' ≤ μ} A_μμ' f_μ', undone by the ξ."""
    rng = np.random.default_rng(seed)
    K = potential.radial_funcs_count
    A = np.tril(rng.uniform(-1.0, 1.0, (K, K)), -1) + np.diag(rng.uniform(0.5, 2.0, K))
    radial = np.einsum("mn,ijnk->ijmk", A, potential.radial_coeffs)
    changed = replace(potential, radial_coeffs=radial, active_set=None)
    nb = neighbourhoods(gas(potential, 40, seed), potential.max_dist, potential.elements)
    target = potential.kernel.basis(nb) @ potential.moment_coeffs
    basis = changed.kernel.basis(nb)
    scale = np.abs(basis).max(axis=0)
    xi = np.linalg.lstsq(basis / scale, target, rcond=1e-14)[0] / scale
    return replace(changed, moment_coeffs=xi)


def factors_of_mu(potential: mentor.Potential) -> np.ndarray:
    """How many moments of each μ are multiplied in each B_α, shape (n, K)."""
    factors = np.zeros((potential.alpha_moments_count, potential.radial_funcs_count), int)
    basic = potential.alpha_index_basic
    factors[np.arange(len(basic)), basic[:, 0]] = 1
    for i, j, _, k in potential.alpha_index_times:
        factors[k] = factors[i] + factors[j]
    return factors[potential.alpha_moment_mapping]


@pytest.mark.parametrize(("species", "level"), [(1, 6), (1, 10), (2, 8), (2, 10), (3, 8)])
def test_redundant_parameters_leave_exactly_the_row_space(species, level):
    potential = samples.potential(species=species, level=level)
    dropped = redundant_parameters(potential)
    K = potential.radial_funcs_count
    assert len(dropped) == K * (K + 1) // 2
    rows = all_rows(potential, gas(potential, 20 + potential.parameter_count // 4, seed=1))
    rows = rows / np.abs(rows).max(axis=0)
    singular = np.linalg.svd(rows, compute_uv=False)
    rank = potential.parameter_count - len(dropped)
    assert singular[rank] <= 1e-13 * singular[0]
    assert singular[rank - 1] >= 1e-10 * singular[0]
    kept = np.linalg.svd(np.delete(rows, dropped, axis=1), compute_uv=False)
    assert kept[-1] >= 1e-10 * kept[0]


def test_dependent_scalars_are_redundant():
    potential = samples.potential(species=1, level=16)
    radial = potential.radial_coeffs.size + potential.species_count
    assert np.count_nonzero(redundant_parameters(potential) >= radial) == 92 - 91


@pytest.mark.parametrize("mode", MODES)
def test_grades_of_the_training_set_do_not_exceed_one(mode):
    potential = samples.potential()
    for structures in (crystals(0), gas(potential, 40, 0), [bulk("Ag")], [Atoms("Pd")]):
        graded = grade_structures(with_set(potential, structures, mode), structures)
        assert graded.largest <= 1.0 + 2 * TOLERANCE
        assert graded.grades.min() >= 0.0


@pytest.mark.parametrize("mode", MODES)
def test_active_rows_are_rows_of_their_structures(mode):
    potential = samples.potential()
    active_set = build_active_set(potential, crystals(0), mode)
    filled = np.flatnonzero(active_set.eqn_index >= 0)
    assert len(filled) == active_set.filled > 10
    assert set(active_set.cfg_index[filled]) == set(range(len(active_set.structures)))
    for r in filled:
        rows = all_rows(potential, [active_set.structures[active_set.cfg_index[r]]], mode)
        expected = rows[active_set.eqn_index[r]]
        assert np.abs(active_set.matrix[r] - expected).max() <= 1e-12 * np.abs(expected).max()
    identity = active_set.matrix @ active_set.inverse
    assert np.abs(identity - np.eye(active_set.size)).max() <= 1e-6


def test_gauge_directions_never_matter():
    potential = samples.potential()
    active_set = build_active_set(potential, crystals(0))
    strange = all_rows(potential, gas(potential, 10, seed=5))
    components = np.abs(strange @ active_set.inverse)
    gauge = np.arange(active_set.size) >= active_set.size - len(redundant_parameters(potential))
    unfilled = active_set.eqn_index < 0
    assert np.all(unfilled[gauge])
    assert components[:, gauge].max() <= 1e-3 * components[:, ~gauge].max()
    full = build_active_set(potential, gas(potential, 60, seed=0))
    assert full.filled == full.size - gauge.sum()
    components = np.abs(strange @ full.inverse)
    assert components[:, gauge].max() <= 1e-7


def test_grades_do_not_depend_on_the_gauge():
    potential = samples.potential()
    training, others = gas(potential, 60, seed=0), gas(potential, 10, seed=1)
    first = with_set(potential, training)
    changed = gauge_transformed(potential, seed=3)
    nb = neighbourhoods(others, potential.max_dist, potential.elements)
    energies = [each.kernel.evaluate(nb).energies for each in (potential, changed)]
    assert np.abs(energies[1] / energies[0] - 1.0).max() <= 1e-9
    assert np.abs(changed.parameters - potential.parameters).max() >= 0.1
    expected = grade_structures(first, others).grades
    again = grade_structures(same_rows(first, changed), others).grades
    assert np.abs(again / expected - 1.0).max() <= 1e-6


def same_rows(source: mentor.Potential, target: mentor.Potential) -> mentor.Potential:
    """``target`` with the active rows of ``source``, computed anew."""
    old = source.active_set
    dropped = redundant_parameters(target)
    matrix = np.zeros_like(old.matrix)
    filled = old.eqn_index >= 0
    for r in np.flatnonzero(filled):
        rows = all_rows(target, [old.structures[old.cfg_index[r]]])
        matrix[r] = rows[old.eqn_index[r]]
    assert np.count_nonzero(~filled) == len(dropped)
    matrix[np.flatnonzero(~filled), dropped] = 1.0
    scale = np.abs(matrix).max(axis=0)
    inverse = np.linalg.inv(matrix / scale) / scale[:, None]
    new = ActiveSet(
        mode=old.mode,
        matrix=matrix,
        inverse=inverse,
        cfg_index=old.cfg_index,
        eqn_index=old.eqn_index,
        structures=old.structures,
    )
    return replace(target, active_set=new)


def test_grades_do_not_depend_on_the_linear_coordinates():
    """A refit that only scales blocks of parameters changes rows, but no grade."""
    potential = samples.potential()
    training, others = gas(potential, 60, seed=0), gas(potential, 10, seed=1)
    first = with_set(potential, training)
    scaled = replace(
        potential,
        radial_coeffs=potential.radial_coeffs * 2.0,
        moment_coeffs=potential.moment_coeffs / 2.0 ** factors_of_mu(potential).sum(axis=1),
        species_coeffs=potential.species_coeffs + 3.0,
        active_set=None,
    )
    expected = grade_structures(first, others).grades
    found = grade_structures(with_set(scaled, training), others).grades
    assert np.abs(found / expected - 1.0).max() <= 1e-5


def test_volume_is_locally_maximal():
    potential = samples.potential()
    structures = gas(potential, 60, seed=0)
    active_set = build_active_set(potential, structures)
    rng = np.random.default_rng(0)
    rows = all_rows(potential, structures)
    scale = np.abs(rows).max(axis=0)
    matrix = active_set.matrix / scale
    volume = np.linalg.slogdet(matrix)[1]
    filled = np.flatnonzero(active_set.eqn_index >= 0)
    for _ in range(300):
        swapped = matrix.copy()
        swapped[rng.choice(filled)] = rows[rng.integers(len(rows))] / scale
        assert np.linalg.slogdet(swapped)[1] <= volume + 2 * TOLERANCE


def test_strange_surroundings_have_large_grades():
    potential = with_set(samples.potential(), crystals(0, 40))
    assert np.median(grade_structures(potential, crystals(1)).grades) <= 2.0
    squeezed = bulk("Ag", a=3.2)
    surface = crystals(0, 1)[0]
    surface.pbc = (True, True, False)
    pure = bulk("Pd", a=4.0)
    for atoms in (squeezed, surface, pure, *gas(potential, 3, seed=2)):
        assert grade_structures(potential, [atoms]).largest > 2.1


def test_species_never_met_has_a_large_grade():
    potential = with_set(samples.potential(species=3), crystals(0, 40))
    assert grade_structures(potential, [bulk("Cu", a=4.0)]).largest > 1e3


def test_weak_directions_count_from_the_floor_on():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 8))
    rows[:, 7] *= 0.01 * FLOOR
    volume = spanning(rows, np.arange(200), 8)
    volume.absorb(rows, np.arange(200))
    assert np.count_nonzero(volume.owner == UNIT) == 1
    assert np.abs(rows @ volume.inverse).max() <= 1.0 + TOLERANCE
    assert np.abs(np.eye(8)[7] @ volume.inverse).max() >= 0.1 / FLOOR


def test_many_swaps_keep_the_inverse():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 40)) * np.logspace(0, -4, 40)
    volume = empty(40)
    assert volume.absorb(rows, np.arange(3000)) > 40
    assert np.array_equal(volume.matrix, rows[volume.owner])
    assert np.abs(volume.matrix @ volume.inverse - np.eye(40)).max() <= 1e-8
    assert np.abs(rows @ volume.inverse).max() <= 1.0 + 2 * TOLERANCE


@pytest.mark.parametrize("mode", MODES)
def test_batches_do_not_change_the_bounds(mode, monkeypatch):
    potential, structures = samples.potential(), crystals(0, 40)
    whole = build_active_set(potential, structures, mode)
    monkeypatch.setattr(building, "BATCH", 30)
    monkeypatch.setattr(building, "_MEMORY", 0)
    parts = with_set(potential, structures, mode)
    assert parts.active_set.filled == whole.filled
    assert grade_structures(parts, structures).largest <= 1.0 + 2 * TOLERANCE


@pytest.mark.parametrize("mode", MODES)
def test_deterministic(mode):
    potential = samples.potential()
    first, second = (build_active_set(potential, crystals(0), mode) for _ in range(2))
    assert np.array_equal(first.matrix, second.matrix)
    assert np.array_equal(first.inverse, second.inverse)
    chosen = [
        [id(atoms) for atoms in select_structures(potential, crystals(0, 2), pool, mode=mode)]
        for pool in [crystals(3)]
        for _ in range(2)
    ]
    assert chosen[0] == chosen[1]


@pytest.mark.parametrize("mode", MODES)
def test_selected_structures_make_the_rest_known(mode):
    potential, training = samples.potential(), crystals(0, 3)
    candidates = crystals(1, 10) + gas(potential, 25, seed=0) + crystals(1, 10)
    chosen = select_structures(potential, training, candidates, mode=mode)
    assert 0 < len(chosen) < len(candidates)
    assert len({atoms.positions.tobytes() for atoms in chosen}) == len(chosen)
    richer = with_set(potential, training + chosen, mode)
    before = grade_structures(with_set(potential, training, mode), candidates).grades
    after = grade_structures(richer, candidates).grades
    assert np.median(before) > 100 * np.median(after)
    assert np.mean(after > 2.1) <= 0.1
    assert select_structures(potential, training, training, mode=mode) == []


def test_selection_limit_takes_the_strangest_first():
    potential, training = samples.potential(), crystals(0, 40)
    candidates = crystals(1, 5) + gas(potential, 4, seed=0)
    (first,) = select_structures(potential, training, candidates, limit=1)
    grades = grade_structures(with_set(potential, training), candidates).grades
    assert first is candidates[int(grades.argmax())]
    assert len(select_structures(potential, training, candidates, limit=3)) == 3


def test_selection_from_nothing_and_of_nothing():
    potential = samples.potential()
    candidates = crystals(0)
    chosen = select_structures(potential, [], candidates)
    assert chosen
    assert grade_structures(with_set(potential, chosen), candidates).largest <= 10.0
    assert select_structures(potential, candidates, []) == []


def test_selection_in_bounded_memory(monkeypatch):
    potential, training = samples.potential(), crystals(0, 3)
    candidates = gas(potential, 30, seed=0)
    monkeypatch.setattr(building, "BATCH", 30)
    monkeypatch.setattr("mentor.active.selection._MOST_ROWS", 40)
    chosen = select_structures(potential, training, candidates)
    after = grade_structures(with_set(potential, training + chosen), candidates)
    assert np.mean(after.grades > 2.1) <= 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 1.0}, "threshold = 1.0 must be larger than 1"),
        ({"threshold": np.nan}, "threshold = nan must be larger than 1"),
        ({"limit": 0}, "limit = 0 must be at least 1"),
        ({"mode": "atoms"}, "mode = 'atoms' is not one of"),
    ],
)
def test_unusable_settings(changes, message):
    with pytest.raises(InputError, match=message):
        select_structures(samples.potential(), crystals(0, 1), crystals(1, 1), **changes)


def test_unusable_structures():
    potential = samples.potential()
    with pytest.raises(InputError, match="training set: contains no structures"):
        build_active_set(potential, [])
    with pytest.raises(InputError, match="candidates: structure 1: contains Au"):
        select_structures(potential, [], [Atoms("Ag"), Atoms("Au")])
    with pytest.raises(InputError, match="has no active set"):
        grade_structures(potential, [Atoms("Ag")])
