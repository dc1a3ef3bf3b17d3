"""Structures in the formats of ASE, and the commands convert and mindist."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

import mentor
import samples
from mentor.exceptions import InputError, MentorError, StorageError
from mentor.formats import read_structures, write_structures
from mentor.structures import labels, with_labels


@pytest.fixture
def crystals() -> list[Atoms]:
    rng = np.random.default_rng(0)
    structures = []
    for _ in range(3):
        atoms = bulk("NaCl", "rocksalt", a=5.6) * (1, 1, 2)
        atoms.positions += 0.1 * rng.normal(size=(4, 3))
        atoms = with_labels(
            atoms, energy=rng.normal(), forces=rng.normal(size=(4, 3)), stress=rng.normal(size=6)
        )
        structures.append(atoms)
    return structures


def assert_same(before: list[Atoms], after: list[Atoms], tolerance: float) -> None:
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        assert a.get_chemical_symbols() == b.get_chemical_symbols()
        assert np.array_equal(a.pbc, b.pbc)
        for x, y in (
            (a.positions, b.positions),
            (a.cell.array, b.cell.array),
            (labels(a).energy, labels(b).energy),
            (labels(a).forces, labels(b).forces),
            (labels(a).virial, labels(b).virial),
        ):
            assert np.abs(np.asarray(x) - y).max() <= tolerance


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("x.xyz", 2e-8), ("x.extxyz", 2e-8), ("x.traj", 0.0), ("x.db", 0.0), ("x.json", 0.0)],
)
def test_labels_survive_formats_of_ase(crystals, name, tolerance, tmp_path):
    write_structures(tmp_path / name, crystals)
    assert_same(crystals, read_structures(tmp_path / name), tolerance)


@pytest.mark.parametrize("name", ["x.xyz", "x.traj"])
def test_conversion_there_and_back(crystals, name, tmp_path):
    write_structures(tmp_path / "a.cfg", crystals, ["Na", "Cl"])
    there = mentor.convert(tmp_path / "a.cfg", tmp_path / name, elements=("Na", "Cl"))
    back = mentor.convert(tmp_path / name, tmp_path / "b.cfg")
    assert there.count == back.count == 3
    assert back.elements == ("Na", "Cl")
    assert back.as_dict()["elements"] == ["Na", "Cl"]
    assert_same(crystals, read_structures(tmp_path / "b.cfg", ["Na", "Cl"]), 2e-8)


def test_conversion_of_some(crystals, tmp_path):
    write_structures(tmp_path / "a.xyz", crystals)
    mentor.convert(tmp_path / "a.xyz", tmp_path / "b.cfg", index="1:")
    assert len(read_structures(tmp_path / "b.cfg", ["Na", "Cl"])) == 2
    assert len(read_structures(tmp_path / "b.cfg", ["Na", "Cl"], index=-1)) == 1
    mentor.convert(tmp_path / "b.cfg", tmp_path / "POSCAR", elements=("Na", "Cl"), index="0")
    assert len(read_structures(tmp_path / "POSCAR")) == 1


def test_conversion_of_potentials(tmp_path):
    taught = samples.taught(samples.potential(level=4), [samples.structure("slab")])
    taught.save(tmp_path / "a.almtp")
    done = mentor.convert(tmp_path / "a.almtp", tmp_path / "b.mtp")
    assert (done.kind, done.elements) == ("potential", ("Ag", "Pd"))
    assert mentor.load(tmp_path / "b.mtp").active_set is None
    with pytest.raises(InputError, match="has no active set"):
        mentor.convert(tmp_path / "b.mtp", tmp_path / "c.almtp")
    with pytest.raises(InputError, match="cannot be converted into each other"):
        mentor.convert(tmp_path / "b.mtp", tmp_path / "c.xyz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.xyz", None, "no such file"),
        ("missing.cfg", None, "no such file"),
        ("x.xyz", b"3\n\nH 0 0 0\n", "cannot be read"),
        ("x.xyz", b"\xff\xfe\x00garbage", "cannot be read"),
        ("x.xyz", b"", "is empty"),
        ("x.unknown", b"what is this", "is not recognised"),
        ("x.json", b"{", "cannot be read"),
        ("x.traj", b"- of Ulm", "cannot be read"),
        ("x.cfg", b"Number of particles = 3\n", ":1: expected BEGIN_CFG"),
        ("x.cfg", b"\n", "contains no BEGIN_CFG"),
    ],
)
def test_unreadable_files_are_named(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MentorError, match=f"^{tmp_path / name}.*{message}"):
        read_structures(tmp_path / name, ["H"])


def test_unwritable_files_are_named(crystals, tmp_path):
    with pytest.raises(InputError, match="no format goes by this name"):
        write_structures(tmp_path / "x.nothing", crystals)
    with pytest.raises(InputError, match="holds one structure, not 3"):
        write_structures(tmp_path / "POSCAR", crystals)
    for name in ("x.xyz", "x.cfg", "x.traj"):
        with pytest.raises(StorageError, match="cannot be written"):
            write_structures(tmp_path / "nowhere" / name, crystals, ["Na", "Cl"])
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(crystals, tmp_path):
    write_structures(tmp_path / "x.cfg", crystals, ["Na", "Cl"])
    before = (tmp_path / "x.cfg").read_bytes()
    with pytest.raises(InputError):
        write_structures(tmp_path / "x.cfg", [*crystals, Atoms("Au")], ["Na", "Cl"])
    assert (tmp_path / "x.cfg").read_bytes() == before


def test_index_out_of_range(crystals, tmp_path):
    for name in ("x.cfg", "x.xyz"):
        write_structures(tmp_path / name, crystals, ["Na", "Cl"])
        with pytest.raises(InputError, match=rf"{name}: "):
            read_structures(tmp_path / name, ["Na", "Cl"], index=7)


def test_mindist(crystals, tmp_path):
    write_structures(tmp_path / "a.xyz", [molecule("H2O")])
    write_structures(tmp_path / "b.cfg", crystals, ["Na", "Cl"])
    found = mentor.mindist(
        [tmp_path / "a.xyz", tmp_path / "b.cfg"], elements=("Na", "Cl"), cutoff=4.5
    )
    as_dict = found.as_dict()
    assert as_dict["files"][str(tmp_path / "a.xyz")]["H-O"] == pytest.approx(0.9686, abs=1e-3)
    assert list(as_dict["files"][str(tmp_path / "b.cfg")]) == ["Na-Na", "Na-Cl", "Cl-Cl"]
    assert found.shortest == as_dict["shortest"] == as_dict["files"][str(tmp_path / "a.xyz")]["H-O"]
    with pytest.raises(InputError, match="must be positive"):
        mentor.mindist([tmp_path / "a.xyz"], cutoff=0.0)
    with pytest.raises(InputError, match="at least one file"):
        mentor.mindist([])
