from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mentor.basis import Graph, cache, generate, generator
from mentor.basis.graphs import canonical
from mentor.exceptions import InputError

SCALARS = {2: 1, 4: 2, 6: 5, 8: 9, 10: 16, 12: 29, 14: 52, 16: 92, 18: 163, 20: 288, 22: 500}
SCALARS |= {24: 864, 26: 1464, 28: 2445}
BASICS = {6: 5, 8: 11, 10: 25, 12: 46, 14: 81, 16: 130, 18: 201, 20: 295, 22: 421, 24: 581}
BASICS |= {26: 706, 28: 866}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.parametrize("level", SCALARS)
def test_number_of_scalars_and_basic_moments(level):
    found = generator.graphs(level, 4, 5, 10, (2, 4, 1))
    assert len(found) == len(set(found)) == SCALARS[level]
    moments = {vertex for graph in found for vertex in graph.vertices}
    assert 1 + max(mu for mu, _ in moments) == min((level - 2) // 4 + 1, 6)
    if level in BASICS:
        assert sum((nu + 1) * (nu + 2) // 2 for _, nu in moments) == BASICS[level]


@pytest.mark.parametrize(("level", "rank"), [(14, 52), (16, 91), (18, 161), (20, 282)])
def test_number_of_independent_scalars(level, rank):
    assert len(generate(level, independent=True).scalars) == rank


@pytest.mark.parametrize(("level", "rows"), [(8, 14), (16, 800), (20, 5400)])
def test_schedule_is_short(level, rows):
    assert len(generate(level).alpha_index_times) <= rows


def moment_tensors(basis, f, unit):
    """Full tensors M_{μ,ν}[i₁ … i_ν] of one neighbourhood."""
    tensors = {}
    for graph in basis.scalars:
        for mu, nu in graph.vertices:
            letters = "abcdefghijkl"[:nu]
            spec = "z," + ",".join("z" + x for x in letters) if nu else "z"
            tensors[mu, nu] = np.einsum(f"{spec}->{letters}", f[mu], *[unit] * nu)
    return tensors


def contract(graph, tensors):
    """The scalar by one einsum over full tensors."""
    letters = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    indices = [""] * len(graph.vertices)
    for u, v in combinations(range(len(graph.vertices)), 2):
        shared = "".join(next(letters) for _ in range(graph.edge(u, v)))
        indices[u] += shared
        indices[v] += shared
    factors = [tensors[vertex] for vertex in graph.vertices]
    return np.einsum(",".join(indices) + "->", *factors, optimize=True)


def run(basis, f, unit):
    """B_α by the schedule."""
    M = np.zeros(basis.alpha_moments_count)
    for row, (mu, a, b, c) in enumerate(basis.alpha_index_basic):
        M[row] = np.sum(f[mu] * unit[:, 0] ** a * unit[:, 1] ** b * unit[:, 2] ** c)
    for i, j, m, k in basis.alpha_index_times:
        M[k] += m * M[i] * M[j]
    return M[basis.alpha_moment_mapping]


def neighbourhood(basis, seed, count=5):
    rng = np.random.default_rng(seed)
    unit = rng.standard_normal((count, 3))
    unit /= np.linalg.norm(unit, axis=1)[:, None]
    return rng.standard_normal((basis.radial_funcs_count, count)), unit


CASES = {
    "level 16": {"level": 16},
    "level 20": {"level": 20},
    "independent": {"level": 18, "independent": True},
    "six-body": {"level": 14, "max_body_order": 6},
    "three-body": {"level": 18, "max_body_order": 3},
    "other weights": {"level": 14, "level_weights": (2, 5, 1), "max_mu": 1, "max_nu": 3},
    "for molecules": {"level": 20, "level_weights": (3, 2, 2)},
}


@pytest.mark.parametrize("case", CASES)
def test_schedule_equals_full_tensors(case):
    basis = generate(**CASES[case])
    f, unit = neighbourhood(basis, 1)
    tensors = moment_tensors(basis, f, unit)
    direct = np.array([contract(graph, tensors) for graph in basis.scalars])
    error = np.abs(run(basis, f, unit) - direct)
    assert error.max() <= 1e-11 * np.abs(direct).max()
    assert (error / np.maximum(1, np.abs(direct))).max() <= 1e-10


def test_rotation_invariance():
    basis = generate(18)
    f, unit = neighbourhood(basis, 2)
    turned = Rotation.random(random_state=3).apply(unit)
    np.testing.assert_allclose(run(basis, f, turned), run(basis, f, unit), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("level", [6, 16, 20])
def test_entries_are_complete_before_they_are_read(level):
    basis = generate(level)
    entries = len(basis.alpha_index_basic)
    complete = np.arange(basis.alpha_moments_count) < entries
    for i, j, _, k in basis.alpha_index_times:
        if k >= entries:  # the rows of one entry stand together
            complete[entries - 1 : k] = True
            entries = k + 1
        assert k == entries - 1
        assert complete[i]
        assert complete[j]
    assert entries == basis.alpha_moments_count


def test_no_row_is_superfluous():
    basis = generate(16)
    needed = set(basis.alpha_moment_mapping.tolist())
    for i, j, _, k in basis.alpha_index_times[::-1].tolist():
        assert k in needed
        needed |= {i, j}


def test_independent_scalars_are_independent():
    basis = generate(16, independent=True)
    values = np.array([run(basis, *neighbourhood(basis, seed)) for seed in range(250)])
    assert np.linalg.matrix_rank(values / np.linalg.norm(values, axis=0)) == len(basis.scalars)


def test_lower_level_is_contained():
    assert set(generate(12).scalars) < set(generate(14).scalars)
    assert [graph.level() for graph in generate(14).scalars] == sorted(
        graph.level() for graph in generate(14).scalars
    )


def test_equal_graphs_in_any_numbering():
    vertices = ((0, 2), (0, 2), (1, 2), (0, 2))
    edges = (1, 1, 0, 0, 1, 1)
    first = canonical(vertices, edges)
    order = (3, 1, 0, 2)
    graph = Graph(vertices, edges)
    renamed = tuple(graph.edge(order[u], order[v]) for u, v in combinations(range(4), 2))
    assert canonical(tuple(vertices[v] for v in order), renamed) == first
    assert first.pieces() == [(0, 1, 2, 3)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"level": 0}, "level = 0"),
        ({"level": 13}, "use 12"),
        ({"level": 30}, "from 2 to 28"),
        ({"level": 8.5}, "whole number"),
        ({"level": 8, "max_body_order": 1}, "max_body_order"),
        ({"level": 8, "max_mu": -1}, "max_mu"),
        ({"level": 8, "max_nu": 99}, "max_nu"),
        ({"level": 8, "level_weights": (2, 0, 1)}, "level_weights"),
        ({"level": 8, "level_weights": (2, 4)}, "three whole numbers"),
        ({"level": 2, "level_weights": (3, 2, 2)}, "from 3 on"),
        ({"level": 99, "level_weights": (3, 2, 2)}, "more than 10000 basis functions"),
    ],
)
def test_impossible_limits(arguments, words):
    with pytest.raises(InputError, match=words):
        generate(**arguments)


def equal(a, b):
    return a.scalars == b.scalars and all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("alpha_index_basic", "alpha_index_times", "alpha_moment_mapping")
    )


def test_cache_is_used_and_damaged_files_are_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fresh = generate(12)
    (file,) = (tmp_path / "mentor").iterdir()
    content = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(generator, "_generate", None)  # any call would fail
        assert equal(generate(12), fresh)
    for damaged in (
        content[: len(content) // 2],
        b"",
        content.replace(b"\x0c", b"\x0d"),
        b"garbage",
    ):
        file.write_bytes(damaged)
        assert equal(generate(12), fresh)
        assert file.read_bytes() == content


def test_cache_folder_that_cannot_be_written(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert len(generate(10).scalars) == 16
    assert cache.load((10,), ("scalars",)) is None
