"""Work that is spread over processes, without any: the parts make up the whole."""

import os
import pickle
from functools import reduce

import numpy as np
import pytest

import samples
from mentor import parallel
from mentor.fit.linearised import linearised
from mentor.fit.loss import Weights, labelled_set, loss, spread
from mentor.neighbourhoods import neighbourhoods
from mentor.structures import with_labels


class InOneProcess:
    """A team whose members are lists."""

    def __init__(self, size):
        self.size = size

    def spread(self, parts):
        self.parts = parts
        return self

    def total(self, together, function, part, *arguments):
        return reduce(together, [function(each, *arguments) for each in (part, *self.parts)])


@pytest.fixture
def labelled():
    """Molecules and crystals; energies everywhere, forces and stresses here and there."""
    potential = samples.potential(2)
    rng = np.random.default_rng(0)
    structures = []
    for seed, kind in enumerate(("molecule", "triclinic crystal", "slab", "triclinic crystal")):
        atoms = samples.structure(kind, 2, seed)
        forces = rng.normal(size=(len(atoms), 3)) if seed != 1 else None
        stress = rng.normal(size=6) if seed == 3 else None
        structures.append(with_labels(atoms, rng.normal(), forces, stress))
    pairs = neighbourhoods(structures, potential.max_dist, potential.elements)
    return potential, labelled_set(structures, pairs, Weights())


@pytest.mark.parametrize("size", [2, 3, 7])
def test_parts_sum_up_to_the_whole(labelled, monkeypatch, size):
    """Also where parts lack forces or stresses, or contain nothing at all."""
    potential, whole = labelled
    team = InOneProcess(size)
    monkeypatch.setattr(parallel, "team", lambda: team)
    own = spread(whole)
    counts = [part.neighbourhoods.structure_count for part in (own, *team.parts)]
    assert len(counts) == size
    assert sum(counts) == 4
    assert max(counts) < 4
    assert own.count == whole.count
    kernel = potential.kernel
    for name, value in loss(kernel, whole).as_dict().items():
        assert loss(kernel, own).as_dict()[name] == pytest.approx(value, rel=1e-13), name
    one, many = (linearised(kernel, each) for each in (whole, own))
    for name in ("matrix", "vector", "loss"):
        difference = np.abs(getattr(many, name) - getattr(one, name)).max()
        assert difference <= 1e-12 * np.abs(getattr(one, name)).max(), name


def test_kernels_reach_other_processes(labelled):
    """The very same energies and forces."""
    potential, whole = labelled
    copy = pickle.loads(pickle.dumps(potential.kernel))
    one, other = (each.evaluate(whole.neighbourhoods) for each in (potential.kernel, copy))
    assert np.array_equal(one.site_energies, other.site_energies)
    assert np.array_equal(one.forces, other.forces)


def test_alone_nothing_is_shared(labelled):
    _, whole = labelled
    assert spread(whole) is whole
    assert parallel.led(lambda value: value + 1)(1) == 2
    assert parallel.rank() == 0


@pytest.mark.parametrize(
    ("given", "threads"),
    [
        ({}, None),
        ({"MPI_LOCALNRANKS": "2"}, 4),
        ({"MPI_LOCALNRANKS": "9"}, 1),
        ({"OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, 8),
        ({"OMPI_COMM_WORLD_LOCAL_SIZE": "4"}, 4),
        ({"MPI_LOCALNRANKS": "2", "OMP_NUM_THREADS": "3"}, 3),
    ],
)
def test_processes_on_one_machine_divide_its_cores(monkeypatch, given, threads):
    """Of 16 cores this process may use 8; Open MPI has bound it to them, MPICH has not."""
    monkeypatch.setattr(os, "environ", dict(given))
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    parallel.share_cores()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        assert os.environ.get(name) == (None if threads is None else str(threads))
