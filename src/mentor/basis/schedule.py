"""The contraction schedule: how the scalars are computed from the basic moments.

A schedule is a list of rows {i, j, m, k}, M[k] += m·M[i]·M[j], as ``.mtp`` files store it. A graph
is contracted vertex by vertex: the tensor of the vertices S taken so far keeps one group of free
indices for each vertex w outside S, symmetrised because w's moment is symmetric,

    T_{S+x}[t] = Σ_{s + a = t} Π_w mult(a_w) Σ_{s_x} T_S[s, s_x] X[s_x + Σ_w a_w],

where a multi-index s counts its x, y and z, and mult(s) = |s|!/(s_x! s_y! s_z!) is the number of
index tuples it stands for. The last vertex, or the last two as a pair tensor, close the scalar. All
orders are compared, and the one that adds the fewest rows to those already there is taken. Each
component is identified by its content, so equal intermediates of different graphs exist once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from math import factorial

import numpy as np

from mentor.basis.graphs import Graph, Vertex


@cache
def components(rank: int) -> np.ndarray:
    """Multi-indices (a, b, c) with a + b + c = ``rank``; shape ((rank+1)(rank+2)/2, 3)."""
    return np.array(
        [(a, b, rank - a - b) for a in range(rank, -1, -1) for b in range(rank - a, -1, -1)]
    )


@cache
def multiplicities(rank: int) -> np.ndarray:
    """rank!/(a! b! c!) of each component."""
    return np.array(
        [
            factorial(rank) // (factorial(a) * factorial(b) * factorial(c))
            for a, b, c in components(rank).tolist()
        ]
    )


@cache
def sums(first: int, second: int) -> np.ndarray:
    """Component of rank ``first + second`` that is the sum of two components; shape (n₁, n₂)."""
    total = components(first)[:, None, :] + components(second)[None, :, :]
    beyond_first = total[..., 1] + total[..., 2]
    return beyond_first * (beyond_first + 1) // 2 + total[..., 2]


@dataclass(frozen=True)
class Tensor:
    """An intermediate with one axis per group of free indices: ``scales`` · M[``nodes``]."""

    nodes: np.ndarray
    scales: np.ndarray


class Contractions:
    """Every intermediate considered so far, and the schedule of those that were chosen.

    A node is an entry of M: first the components of the basic ``moments``, then intermediates.
    """

    def __init__(self, moments: list[Vertex]) -> None:
        self.basic: list[tuple[int, int, int, int]] = []
        self._first: dict[Vertex, int] = {}
        for mu, nu in moments:
            self._first[mu, nu] = len(self.basic)
            self.basic += [(mu, *abc) for abc in components(nu).tolist()]
        self._rows: list[np.ndarray] = [np.empty((0, 3), int)] * len(self.basic)
        self._order: list[int] = list(range(len(self.basic)))
        self._scheduled = set(self._order)
        self._by_content: dict[bytes, int] = {}
        self._tensors: dict[tuple, Tensor] = {}
        self._scalars: dict[Graph, int] = {}

    def add(self, graph: Graph) -> int:
        """Schedule ``graph`` the cheapest way; returns its node."""
        if graph not in self._scalars:
            self._scalars[graph] = best = min(self._ways(graph), key=self._cost)
            self._order += self._missing(best)
            self._scheduled.update(self._order)
        return self._scalars[graph]

    def schedule(self, scalars: list[int]) -> tuple[np.ndarray, np.ndarray, int]:
        """Rows {i, j, m, k} in an order to run them, entries of ``scalars``, and the size of M."""
        entry = np.full(len(self._rows), -1)
        entry[self._order] = np.arange(len(self._order))
        chosen = [node for node in self._order if len(self._rows[node])]
        rows = [
            np.column_stack([entry[r[:, 0]], entry[r[:, 1]], r[:, 2], np.full(len(r), entry[node])])
            for node in chosen
            for r in [self._rows[node]]
        ]
        return np.concatenate([np.empty((0, 4), int), *rows]), entry[scalars], len(self._order)

    def _missing(self, node: int) -> list[int]:
        """Unscheduled nodes that ``node`` needs, itself last, each after those it needs."""
        found: dict[int, None] = {}

        def visit(node: int) -> None:
            if node in self._scheduled or node in found:
                return
            for factor in np.unique(self._rows[node][:, :2]).tolist():
                visit(factor)
            found[node] = None

        visit(node)
        return list(found)

    def _cost(self, node: int) -> int:
        return sum(len(self._rows[missing]) for missing in self._missing(node))

    def _ways(self, graph: Graph) -> Iterator[int]:
        """Nodes of ``graph``, one for each way to contract it."""
        size = len(graph.vertices)
        pieces = graph.pieces()
        if len(pieces) > 1:
            rest = sum(pieces[:-1], ())
            yield self._product(
                self.add(graph.subgraph(rest)), self.add(graph.subgraph(pieces[-1]))
            )
        elif size == 1:
            yield self._first[graph.vertices[0]]
        else:
            for order in permutations(range(size)):
                if order[0] < order[1]:
                    yield self._close(graph, self._contract(graph, order[:-1]), order[-1:])
            for order in permutations(range(size)):
                if size > 2 and order[-2] < order[-1] and (size == 3 or order[0] < order[1]):
                    yield self._close(graph, self._contract(graph, order[:-2]), order[-2:])

    def _close(self, graph: Graph, tensor: Tensor, last: tuple[int, ...]) -> int:
        """Σ of ``tensor`` times the moment, or pair tensor, of the ``last`` vertices."""
        if len(last) == 1:
            other = self._vertex(graph, last[0], [graph.vertices[last[0]][1]])
        else:
            other = self._pair(graph, *last)
        scales = tensor.scales.ravel() * other.scales.ravel()
        target = np.zeros(len(scales), int)
        return int(
            self._collect((), target, tensor.nodes.ravel(), other.nodes.ravel(), scales).nodes
        )

    def _product(self, first: int, second: int) -> int:
        return int(self._collect((), *np.array([[0], [first], [second], [1]])).nodes)

    def _vertex(self, graph: Graph, vertex: int, groups: list[int]) -> Tensor:
        """The moment of ``vertex`` with its indices in groups, each component counted once."""
        index = _grouped(groups)
        return Tensor(self._first[graph.vertices[vertex]] + index, np.ones_like(index))

    def _pair(self, graph: Graph, u: int, v: int) -> Tensor:
        """Q[s, t] = Σ_e mult(e) U[s + e] V[t + e], without counting orders of s and t."""
        shared = graph.edge(u, v)
        p, q = graph.vertices[u][1] - shared, graph.vertices[v][1] - shared
        key = (graph.vertices[u], graph.vertices[v], shared)
        if key not in self._tensors:
            first = self._first[graph.vertices[u]] + sums(p, shared)[:, None, :]
            second = self._first[graph.vertices[v]] + sums(q, shared)[None, :, :]
            shape = (len(components(p)), len(components(q)))
            target = np.arange(shape[0] * shape[1]).reshape(*shape, 1)
            self._tensors[key] = self._collect(shape, target, first, second, multiplicities(shared))
        return self._tensors[key]

    def _contract(self, graph: Graph, order: tuple[int, ...]) -> Tensor:
        """T_S of the vertices S = ``order``, taken in this order; one axis per vertex outside."""
        outside = [v for v in range(len(graph.vertices)) if v not in order]
        key = (
            *(graph.vertices[v] for v in order),
            *(graph.edge(u, v) for n, v in enumerate(order) for u in (*order[:n], *outside)),
            len(outside),
        )
        if key not in self._tensors:
            self._tensors[key] = self._absorb(graph, order, outside)
        return self._tensors[key]

    def _absorb(self, graph: Graph, order: tuple[int, ...], outside: list[int]) -> Tensor:
        *others, x = order
        legs = [graph.edge(x, w) for w in outside]
        if not others:
            scales = np.ones((), int)
            for rank in legs:
                scales = scales[..., None] * multiplicities(rank)
            return Tensor(self._vertex(graph, x, legs).nodes, scales)
        tensor = self._contract(graph, tuple(others))
        before = sorted([*outside, x])
        nodes, scales = (np.moveaxis(a, before.index(x), 0) for a in (tensor.nodes, tensor.scales))
        # Axes of the sum: s_x, then s_w for each w outside, then a_w for each w outside.
        n = len(outside)
        free = [sum(graph.edge(v, w) for v in others) for w in outside]
        joined = sum(graph.edge(v, x) for v in others)
        moment = self._vertex(graph, x, [joined, *legs]).nodes
        moment = moment.reshape(len(moment), *[1] * n, *moment.shape[1:])
        scales = scales.reshape(*scales.shape, *[1] * n)
        target = np.zeros([1] * (1 + 2 * n), int)
        shape = tuple(len(components(f + leg)) for f, leg in zip(free, legs, strict=True))
        for w, (rank, leg) in enumerate(zip(free, legs, strict=True)):
            axes = [1] * (1 + 2 * n)
            axes[1 + n + w] = -1
            scales = scales * multiplicities(leg).reshape(axes)
            axes[1 + w] = len(components(rank))
            target = target * shape[w] + sums(rank, leg).reshape(axes)
        return self._collect(shape, target, nodes.reshape(*nodes.shape, *[1] * n), moment, scales)

    def _collect(
        self,
        shape: tuple[int, ...],
        target: np.ndarray,
        i: np.ndarray,
        j: np.ndarray,
        m: np.ndarray,
    ) -> Tensor:
        """Tensor whose component ``target`` is the sum of its m·M[i]·M[j]; arguments broadcast."""
        target, i, j, m = (a.ravel() for a in np.broadcast_arrays(target, i, j, m))
        i, j = np.minimum(i, j), np.maximum(i, j)
        order = np.lexsort((j, i, target))
        target, i, j, m = target[order], i[order], j[order], m[order]
        new = np.r_[True, (np.diff(target) != 0) | (np.diff(i) != 0) | (np.diff(j) != 0)]
        m = np.add.reduceat(m, np.flatnonzero(new))
        target, i, j = target[new], i[new], j[new]
        starts = np.flatnonzero(np.r_[True, np.diff(target) != 0])
        scales = np.gcd.reduceat(m, starts)
        lengths = np.diff(np.r_[starts, len(target)])
        rows = np.column_stack([i, j, m // np.repeat(scales, lengths)])
        nodes = [self._node(each) for each in np.split(rows, starts[1:])]
        return Tensor(np.reshape(nodes, shape), scales.reshape(shape))

    def _node(self, rows: np.ndarray) -> int:
        content = rows.tobytes()
        if content not in self._by_content:
            self._by_content[content] = len(self._rows)
            self._rows.append(rows)
        return self._by_content[content]


def _grouped(groups: list[int]) -> np.ndarray:
    """Component of a symmetric tensor for the component of each group of its indices."""
    index, total = np.zeros((), int), 0
    for rank in groups:
        index, total = sums(total, rank)[index], total + rank
    return index
