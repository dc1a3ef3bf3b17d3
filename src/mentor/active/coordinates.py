"""Coordinates of the row space: which parameters carry information, and on what scale.

Some directions of θ change no energy at all, so no structure can ever fill them:

* f_μ → f_μ + ε f_μ' with μ' ≤ μ, undone by a change of the ξ: its radial part is
  δc[z_i, z_j, μ, k] = ε c[z_i, z_j, μ', k]; K(K+1)/2 directions, for each z_i where each species
  has ξ of its own;
* linear combinations of the B_α that are zero for every neighbourhood.

Leaving out as many columns of the rows, chosen so that these directions cannot be represented by
the others, loses nothing: a full row follows from what is kept, and grades, which do not depend on
the coordinates, are unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from ase import Atoms

from mentor.basis.dependence import independent
from mentor.neighbourhoods import neighbourhoods
from mentor.potential import Potential

_DEPENDENT = 1e-10  # relative to the largest; c^{μ'} closer to a combination of others are skipped
_RATTLE = 0.05  # Å
_RATTLED = 32  # structures


def redundant_parameters(potential: Potential) -> np.ndarray:
    """Indices in θ of as many parameters as there are directions that change no energy; sorted."""
    C, radial, moments = potential.species_count, potential.radial_coeffs, potential.moment_coeffs
    places = np.arange(radial.size).reshape(radial.shape)
    together = [slice(None)] if moments.ndim == 1 else [slice(z, z + 1) for z in range(C)]
    dropped = []
    for own in together:
        dropped.extend(_redundant_radial(radial[own], places[own]))
    kept = independent(
        potential.alpha_index_basic,
        potential.alpha_index_times,
        potential.alpha_moment_mapping,
        potential.alpha_moments_count,
    )
    numbers = np.arange(moments.size).reshape(-1, potential.scalar_count)
    dropped.extend(radial.size + C + np.delete(numbers, kept, axis=1).ravel())
    return np.sort(np.array(dropped, int))


def _redundant_radial(radial: np.ndarray, places: np.ndarray) -> list[int]:
    """Those of the radial coefficients c (…, K, R), at ``places`` in θ, that share their ξ."""
    K = radial.shape[2]
    c, places = (x.transpose(2, 0, 1, 3).reshape(K, -1) for x in (radial, places))
    norms = np.linalg.norm(c, axis=1, keepdims=True)
    c = np.divide(c, norms, out=np.zeros_like(c), where=norms > 0)
    dropped: list[int] = []
    for mu in range(K):
        triangle, order = scipy.linalg.qr(c[: mu + 1], mode="r", pivoting=True)
        diagonal = np.abs(np.diag(triangle))
        rank = np.count_nonzero(diagonal > _DEPENDENT * max(diagonal[0], 1e-300))
        dropped.extend(places[mu, order[:rank]].tolist())
    return dropped


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The p parameters kept of the m, and the natural size of every column of the rows."""

    kept: np.ndarray
    """Indices in θ, shape (p,)."""
    dropped: np.ndarray
    """Indices in θ, shape (m − p,)."""
    scale: np.ndarray
    """Largest magnitude a column takes in ordinary structures, shape (m,), positive."""

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """``rows`` (k, m) of a potential in these coordinates, of order one; shape (k, p)."""
        return np.ascontiguousarray(rows[:, self.kept] / self.scale[self.kept])


def coordinates(
    potential: Potential, structures: Sequence[Atoms], largest: np.ndarray, per_structure: bool
) -> Coordinates:
    """Coordinates for structures like ``structures``.

    The columns that vanish in perfect crystals by symmetry get their size from rattled copies;
    those of pairs of species that do not occur get that of the other pairs.

    Parameters
    ----------
    largest
        Largest magnitude of every column of the rows of all ``structures``, shape (m,).
    per_structure
        Whether the rows are sums over structures (`configuration` mode).
    """
    every = max(1, len(structures) // _RATTLED)
    rng = np.random.default_rng(0)
    rattled = []
    for atoms in structures[::every]:
        copy = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        copy.positions += _RATTLE * rng.standard_normal((len(copy), 3))
        rattled.append(copy)
    scale = largest.copy()
    if rattled:
        rows = rows_of(potential, rattled, per_structure)
        scale = np.maximum(scale, np.abs(rows).max(axis=0))
    radial = potential.radial_coeffs
    block = scale[: radial.size].reshape(radial.shape)
    over_pairs = np.broadcast_to(block.max(axis=(0, 1)), radial.shape)
    filled = np.where(block > 0, block, over_pairs).ravel()
    scale[: radial.size] = filled
    scale[scale == 0] = 1.0
    dropped = redundant_parameters(potential)
    kept = np.setdiff1d(np.arange(len(scale)), dropped)
    return Coordinates(kept=kept, dropped=dropped, scale=scale)


def rows_of(potential: Potential, structures: Sequence[Atoms], per_structure: bool) -> np.ndarray:
    """dV_i/dθ of every atom (N, m), or their sums dE/dθ over every structure (S, m)."""
    nb = neighbourhoods(structures, potential.max_dist, potential.elements)
    rows = potential.kernel.rows(nb)
    if not per_structure:
        return rows
    sums = np.zeros((nb.structure_count, rows.shape[1]))
    for s, (start, stop) in enumerate(
        zip(nb.structure_offsets[:-1], nb.structure_offsets[1:], strict=True)
    ):
        sums[s] = rows[start:stop].sum(axis=0)
    return sums
