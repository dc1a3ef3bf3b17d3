"""Which scalars are linear combinations of cheaper ones.

Products of tensors in three dimensions obey identities (syzygies), so some scalars are redundant.
They are found exactly: the scalars are evaluated on random neighbourhoods over the integers modulo
a prime, and Gaussian elimination keeps each scalar that is independent of those before it. Since
f_μ can be scaled freely for each μ, a dependence only joins scalars with the same μ's, and since a
scalar of k factors is fixed by neighbourhoods of k atoms, few neighbours suffice.
"""

from collections import defaultdict

import numpy as np

PRIME = 2**31 - 1


def independent(
    alpha_index_basic: np.ndarray,
    alpha_index_times: np.ndarray,
    alpha_moment_mapping: np.ndarray,
    alpha_moments_count: int,
) -> np.ndarray:
    """Places in ``alpha_moment_mapping`` of the scalars that are independent of those before them.

    Any schedule will do, whoever made it.
    """
    factors = _factors(
        alpha_index_basic, alpha_index_times, alpha_moments_count, alpha_moment_mapping
    )
    blocks = defaultdict(list)
    for place, mus in enumerate(factors.tolist()):
        blocks[tuple(mus)].append(place)
    largest = max(len(block) for block in blocks.values())
    neighbours = int(factors.sum(axis=1).max()) + 1
    rng = np.random.default_rng(0)
    moments = np.zeros((alpha_moments_count, largest + 8), np.int64)
    moments[: len(alpha_index_basic)] = _basic_moments(
        rng, alpha_index_basic, largest + 8, neighbours
    )
    for i, j, m, k in alpha_index_times.tolist():
        moments[k] = (moments[k] + m * moments[i] % PRIME * moments[j]) % PRIME
    values = moments[alpha_moment_mapping]
    return np.sort(
        np.concatenate([np.array(b)[_independent_rows(values[b])] for b in blocks.values()])
    )


def _factors(
    alpha_index_basic: np.ndarray,
    alpha_index_times: np.ndarray,
    alpha_moments_count: int,
    alpha_moment_mapping: np.ndarray,
) -> np.ndarray:
    """How many factors of each μ every scalar has, shape (n, K)."""
    count = len(alpha_index_basic)
    factors = np.zeros((alpha_moments_count, alpha_index_basic[:, 0].max() + 1), int)
    factors[np.arange(count), alpha_index_basic[:, 0]] = 1
    for i, j, _, k in alpha_index_times.tolist():
        factors[k] = factors[i] + factors[j]
    return factors[alpha_moment_mapping]


def _basic_moments(
    rng: np.random.Generator, alpha_index_basic: np.ndarray, samples: int, neighbours: int
) -> np.ndarray:
    """M_{μ,abc} = Σ_j f_μ(j) x_j^a y_j^b z_j^c modulo the prime; shape (nb, samples)."""
    f = rng.integers(PRIME, size=(alpha_index_basic[:, 0].max() + 1, samples, neighbours))
    points = _points(rng, samples, neighbours)
    powers = [np.ones_like(points)]
    for _ in range(alpha_index_basic[:, 1:].max()):
        powers.append(powers[-1] * points % PRIME)
    moments = []
    for mu, a, b, c in alpha_index_basic.tolist():
        monomial = powers[a][0] * powers[b][1] % PRIME * powers[c][2] % PRIME
        moments.append((f[mu] * monomial % PRIME).sum(axis=1) % PRIME)
    return np.array(moments)


def _points(rng: np.random.Generator, samples: int, neighbours: int) -> np.ndarray:
    """Random points of the sphere x² + y² + z² = 1 modulo the prime, stereographically."""
    u, v = rng.integers(PRIME, size=(2, samples, neighbours))
    square = (u * u + v * v) % PRIME
    inverse = _inverse((square + 1) % PRIME)
    return np.array([2 * u % PRIME, 2 * v % PRIME, (square - 1) % PRIME]) * inverse % PRIME


def _inverse(a: np.ndarray) -> np.ndarray:
    """a⁻¹ = a^(p−2) modulo the prime p."""
    result, power = np.ones_like(a), a
    for bit in reversed(bin(PRIME - 2)[2:]):
        if bit == "1":
            result = result * power % PRIME
        power = power * power % PRIME
    return result


def _independent_rows(values: np.ndarray) -> list[int]:
    """Rows that are not combinations of earlier ones, modulo the prime."""
    values, kept = values.copy(), []
    for row in range(len(values)):
        pivot = np.flatnonzero(values[row])
        if len(pivot):
            kept.append(row)
            column = pivot[0]
            values[row] = values[row] * _inverse(values[row, column]) % PRIME
            factors = values[row + 1 :, column, None]
            values[row + 1 :] = (values[row + 1 :] - factors * values[row]) % PRIME
    return kept
