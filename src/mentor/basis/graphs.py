"""The scalars of a level, as graphs.

A basis function B_α is a full contraction of moments M_{μ,ν}. It is drawn as a loopless multigraph:
a vertex is a moment (μ, ν), an edge a contracted pair of indices, so a vertex has degree ν. Two
drawings that differ by the names of their vertices are the same function; a graph in several pieces
is the product of its pieces (Shapeev, Multiscale Model. Simul. 14, 1153 (2016)).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, groupby, permutations, product

from mentor.exceptions import InputError

MOST = 10_000
"""Scalars above which a level is refused: their contractions would take hours to plan."""

Vertex = tuple[int, int]
"""A moment (μ, ν)."""


@dataclass(frozen=True)
class Graph:
    """A contraction: ``edges[n]`` indices are contracted between the n-th pair of vertices.

    Pairs run (0, 1), (0, 2), …, (1, 2), …; vertices are sorted and, among equal vertices, numbered
    so that ``edges`` is smallest: equal functions are equal objects, whatever level made them.
    """

    vertices: tuple[Vertex, ...]
    edges: tuple[int, ...]

    def level(self, weights: tuple[int, int, int] = (2, 4, 1)) -> int:
        """Σ over the vertices of w₀ + w₁μ + w₂ν."""
        return sum(weights[0] + weights[1] * mu + weights[2] * nu for mu, nu in self.vertices)

    def edge(self, u: int, v: int) -> int:
        """Number of indices contracted between vertices ``u`` and ``v``."""
        u, v = min(u, v), max(u, v)
        return self.edges[u * len(self.vertices) - u * (u + 1) // 2 + v - u - 1]

    def subgraph(self, keep: tuple[int, ...]) -> "Graph":
        """The graph of the vertices ``keep``, without the edges to the others."""
        edges = tuple(self.edge(u, v) for u, v in combinations(keep, 2))
        return canonical(tuple(self.vertices[v] for v in keep), edges)

    def pieces(self) -> list[tuple[int, ...]]:
        """Vertices of each connected piece."""
        left, found = set(range(len(self.vertices))), []
        while left:
            piece, front = set(), {min(left)}
            while front:
                piece |= front
                front = {v for v in left - piece for u in front if self.edge(u, v)}
            left -= piece
            found.append(tuple(sorted(piece)))
        return found


def canonical(vertices: tuple[Vertex, ...], edges: tuple[int, ...]) -> Graph:
    """The graph whose vertices and edges are given in any numbering."""
    order = sorted(range(len(vertices)), key=vertices.__getitem__)
    pairs = dict(zip(combinations(range(len(vertices)), 2), edges, strict=True))
    equal = [tuple(group) for _, group in groupby(order, key=vertices.__getitem__)]
    smallest = min(
        tuple(pairs[min(u, v), max(u, v)] for u, v in combinations(sum(numbering, ()), 2))
        for numbering in product(*(permutations(group) for group in equal))
    )
    return Graph(tuple(vertices[v] for v in order), smallest)


def graphs(
    level: int, max_vertices: int, max_mu: int, max_nu: int, weights: tuple[int, int, int]
) -> list[Graph]:
    """All scalars up to ``level``, by level, number of vertices, vertices, edges.

    Raises
    ------
    InputError
        There are more than ``MOST``.
    """
    moments = sorted(
        (weights[0] + weights[1] * mu + weights[2] * nu, mu, nu)
        for mu in range(max_mu + 1)
        for nu in range(max_nu + 1)
    )
    found = set()
    for vertices in _vertex_sets(moments, level, max_vertices):
        found.update(
            canonical(vertices, edges) for edges in _contractions([v[1] for v in vertices])
        )
        if len(found) > MOST:
            raise InputError(f"level = {level} has more than {MOST} basis functions; lower it")
    return sorted(found, key=lambda g: (g.level(weights), len(g.vertices), g.vertices, g.edges))


def _vertex_sets(
    moments: list[tuple[int, int, int]], level: int, max_vertices: int
) -> Iterator[tuple[Vertex, ...]]:
    """Multisets of 1 to ``max_vertices`` moments with Σ lev ≤ level."""
    if max_vertices == 0:
        return
    for first, (lev, mu, nu) in enumerate(moments):
        if lev > level:
            break
        yield ((mu, nu),)
        for others in _vertex_sets(moments[first:], level - lev, max_vertices - 1):
            yield ((mu, nu), *others)


def _contractions(degrees: list[int]) -> Iterator[tuple[int, ...]]:
    """Edge multiplicities, in the order of ``Graph.edges``, that use up all ``degrees``."""
    if not degrees:
        yield ()
        return
    first, others = degrees[0], degrees[1:]
    for edges in _shares(first, others):
        rest = [degree - edge for degree, edge in zip(others, edges, strict=True)]
        for more in _contractions(rest):
            yield edges + more


def _shares(total: int, limits: list[int]) -> Iterator[tuple[int, ...]]:
    """Ways to write ``total`` as a sum of parts 0 … limits[n]."""
    if not limits:
        if total == 0:
            yield ()
        return
    for part in range(min(total, limits[0]) + 1):
        for others in _shares(total - part, limits[1:]):
            yield (part, *others)
