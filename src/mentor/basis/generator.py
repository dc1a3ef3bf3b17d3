"""Basis functions of a level with their contraction schedule."""

from dataclasses import dataclass

import numpy as np

from mentor.basis import cache
from mentor.basis.dependence import independent as independent_scalars
from mentor.basis.graphs import Graph, graphs
from mentor.basis.schedule import Contractions
from mentor.exceptions import InputError

MAX_LEVEL = 28  # with the usual weights
MAX_BODY_ORDER = 6
MAX_NU = 14
LEVEL_WEIGHTS = (2, 4, 1)
ARRAYS = (
    "alpha_moments_count",
    "alpha_index_basic",
    "alpha_index_times",
    "alpha_moment_mapping",
    "scalars",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Basis:
    """The functions B_α and how to compute them, in the terms of ``.mtp`` files.

    Functions are ordered by level, then number of factors; those of a lower level are among those
    of a higher one with equal ``scalars``, at other places.
    """

    alpha_moments_count: int
    """Size of M: basic moments and intermediates."""
    alpha_index_basic: np.ndarray
    """Rows {μ, a, b, c}: M = Σ_j f_μ x^a y^b z^c / r^(a+b+c); int32, shape (nb, 4)."""
    alpha_index_times: np.ndarray
    """Rows {i, j, m, k}, run in order: M[k] += m·M[i]·M[j]; int32, shape (nt, 4)."""
    alpha_moment_mapping: np.ndarray
    """Which M are the B_α; int32, shape (n,)."""
    radial_funcs_count: int
    """Number K of radial functions f_μ."""
    scalars: tuple[Graph, ...]
    """What each B_α contracts."""


def generate(
    level: int,
    *,
    max_body_order: int = 5,
    max_mu: int = 5,
    max_nu: int = 10,
    level_weights: tuple[int, int, int] = LEVEL_WEIGHTS,
    independent: bool = False,
) -> Basis:
    """All basis functions with Σ (w₀ + w₁μ + w₂ν) ≤ ``level`` over their factors M_{μ,ν}.

    Parameters
    ----------
    level
        Even and 2 to 28 with the usual weights, where odd levels have no functions of their own.
    max_body_order
        Most atoms a function joins: the central one and one per factor.
    max_mu, max_nu
        Highest radial index μ and rank ν of a moment.
    level_weights
        (w₀, w₁, w₂); lev M_{μ,ν} = 2 + 4μ + ν by default.
    independent
        Leave out functions that are linear combinations of cheaper ones.

    Raises
    ------
    InputError
        A limit is out of range.

    Notes
    -----
    The result is kept in the user's cache folder, since level 28 takes a minute.
    """
    level_weights = tuple(level_weights)
    _check(level, max_body_order, max_mu, max_nu, level_weights)
    key = (level, max_body_order, max_mu, max_nu, *level_weights, int(independent))
    arrays = cache.load(key, ARRAYS)
    if arrays is None:
        arrays = _generate(level, max_body_order - 1, max_mu, max_nu, level_weights, independent)
        cache.store(key, arrays)
    return Basis(
        alpha_moments_count=int(arrays["alpha_moments_count"]),
        alpha_index_basic=arrays["alpha_index_basic"],
        alpha_index_times=arrays["alpha_index_times"],
        alpha_moment_mapping=arrays["alpha_moment_mapping"],
        radial_funcs_count=int(arrays["alpha_index_basic"][:, 0].max()) + 1,
        scalars=tuple(_decode(row) for row in arrays["scalars"].tolist()),
    )


def _check(
    level: int, max_body_order: int, max_mu: int, max_nu: int, weights: tuple[int, int, int]
) -> None:
    if len(weights) != 3 or any(int(w) != w or w < 1 for w in weights):
        raise InputError(f"level_weights = {weights} must be three whole numbers above 0")
    usual = weights == LEVEL_WEIGHTS
    if int(level) != level or level < weights[0] or (usual and level > MAX_LEVEL):
        limits = f"from 2 to {MAX_LEVEL}" if usual else f"from {weights[0]} on"
        raise InputError(f"level = {level} is not supported; choose a whole number {limits}")
    if usual and level % 2:
        raise InputError(f"level = {level} is odd; use {level - 1}, which has the same functions")
    if not 2 <= max_body_order <= MAX_BODY_ORDER:
        raise InputError(f"max_body_order = {max_body_order} must lie in 2 … {MAX_BODY_ORDER}")
    if max_mu < 0:
        raise InputError(f"max_mu = {max_mu} must not be negative")
    if not 0 <= max_nu <= MAX_NU:
        raise InputError(f"max_nu = {max_nu} must lie in 0 … {MAX_NU}")


def _generate(
    level: int,
    max_vertices: int,
    max_mu: int,
    max_nu: int,
    weights: tuple[int, int, int],
    independent: bool,
) -> dict[str, np.ndarray]:
    scalars = graphs(level, max_vertices, max_mu, max_nu, weights)
    arrays = _schedule(scalars)
    if independent:
        scalars = [scalars[place] for place in independent_scalars(**arrays)]
        arrays = _schedule(scalars)
    return {**arrays, "scalars": np.array([_encode(graph, max_vertices) for graph in scalars])}


def _schedule(scalars: list[Graph]) -> dict[str, np.ndarray]:
    contractions = Contractions(sorted({vertex for graph in scalars for vertex in graph.vertices}))
    nodes = {graph: contractions.add(graph) for graph in sorted(scalars, key=_size)}
    rows, mapping, count = contractions.schedule([nodes[graph] for graph in scalars])
    return {
        "alpha_moments_count": np.array(count),
        "alpha_index_basic": np.array(contractions.basic, np.int32),
        "alpha_index_times": rows.astype(np.int32),
        "alpha_moment_mapping": mapping.astype(np.int32),
    }


def _size(graph: Graph) -> int:
    return len(graph.vertices)


def _encode(graph: Graph, max_vertices: int) -> list[int]:
    """Number of vertices, vertices, edges, and zeros up to a common length."""
    size = len(graph.vertices)
    numbers = [size, *(number for vertex in graph.vertices for number in vertex), *graph.edges]
    length = 1 + 2 * max_vertices + max_vertices * (max_vertices - 1) // 2
    return numbers + [0] * (length - len(numbers))


def _decode(numbers: list[int]) -> Graph:
    size, edges = numbers[0], numbers[0] * (numbers[0] - 1) // 2
    flat = numbers[1 : 1 + 2 * size]
    vertices = tuple(zip(flat[::2], flat[1::2], strict=True))
    return Graph(vertices, tuple(numbers[1 + 2 * size : 1 + 2 * size + edges]))
