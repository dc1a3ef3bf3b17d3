"""Ag-Pd: the labels of test_relaxed and test_unrelaxed against each other, without any potential.

    python benchmarks/fit/agpd_labels.py FOLDER

FOLDER is that of agpd.py. Both files hold mostly the same ordered structures, unrelaxed at a volume
0.1 to 0.6 % larger and with forces and stresses near zero, so that they lie hardly above relaxed
ones. Their DFT energies lie below. With d the difference of the energies per atom, unrelaxed less
relaxed, a potential for which relaxed structures are not the higher ones errs by E_u - E_r >= -d on
the difference, thus by the triangle inequality

    RMSE(unrelaxed) + RMSE(relaxed) >= sqrt(sum d^2 / number of structures)

with the sum over pairs where d < 0. Structures are paired by their distances, at the same volume,
between each pair of elements.
"""

import argparse
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from ase.io import read
from ase.neighborlist import neighbor_list
from scipy.optimize import linear_sum_assignment

from mentor.structures import compositions

ELEMENTS = ("Pd", "Ag")
NUMBERS = [atomic_numbers[each] for each in ELEMENTS]  # rising
VOLUME = 16.5  # Å^3 per atom
DISTANCES = np.arange(2.6, 5.5, 0.08)  # Å
WIDTH = 0.12  # Å
ALIKE = 0.3  # neighbours per atom; other structures differ by 0.5 and more


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    folder = options.parse_args().folder
    relaxed, unrelaxed = (
        read(folder / f"test_{name}.xyz", ":") for name in ("relaxed", "unrelaxed")
    )
    found, count = pairs(unrelaxed, relaxed), len(unrelaxed)
    differences = np.array([1000 * (energy(one) - energy(other)) for one, other in found])
    for (one, other), difference in zip(found, differences, strict=True):
        larger = volume(one) / volume(other) - 1
        print(f"{one.symbols!s:8} volume {larger:+.2%}, energy {difference:+.2f} meV/atom")
    print(f"{len(found)} pairs of {count}: ", end="")
    print(f"{np.sum(differences < 0)} unrelaxed structures below the relaxed ones")
    least = np.sqrt(np.sum(np.minimum(differences, 0) ** 2) / count)
    print(f"mean {differences.mean():+.2f}; the RMSEs add up to at least {least:.2f} meV/atom")
    shares = compositions([one for one, _ in found], ELEMENTS)
    shares /= shares.sum(axis=1, keepdims=True)
    shifts = np.linalg.lstsq(shares, differences, rcond=None)[0]
    left = np.sqrt(np.mean((differences - shares @ shifts) ** 2))
    print("Pd {:+.2f}, Ag {:+.2f}".format(*shifts), f"meV/atom leave {left:.2f} unexplained")


def pairs(some, others):
    """Each of some with its own of others, where their distances agree."""
    mine, theirs = np.array([histogram(a) for a in some]), np.array([histogram(a) for a in others])
    apart = np.abs(mine[:, None] - theirs).max(axis=2)
    return [
        (some[i], others[j])
        for i, j in zip(*linear_sum_assignment(np.minimum(apart, 1.0)), strict=True)
        if apart[i, j] < ALIKE
    ]


def histogram(atoms):
    """Neighbours per atom by distance, for each pair of elements."""
    scale = (VOLUME / volume(atoms)) ** (1 / 3)
    i, j, d = neighbor_list("ijd", atoms, (DISTANCES[-1] + WIDTH) / scale)
    near = np.exp(-(((scale * d[:, None] - DISTANCES) / WIDTH) ** 2))
    first, second = np.sort([atoms.numbers[i], atoms.numbers[j]], axis=0)
    return np.concatenate(
        [
            near[(first == a) & (second == b)].sum(axis=0) / len(atoms)
            for a, b in combinations_with_replacement(NUMBERS, 2)
        ]
    )


def volume(atoms):
    return atoms.get_volume() / len(atoms)


def energy(atoms):
    return atoms.get_potential_energy() / len(atoms)


if __name__ == "__main__":
    main()
