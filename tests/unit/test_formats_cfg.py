"""Reading and writing .cfg structures."""

import numpy as np
import pytest
from ase import Atoms

from mentor.exceptions import FormatError, InputError, MentorError
from mentor.formats import read_structures, write_structures
from mentor.formats.cfg import format_cfg, parse_cfg
from mentor.progress import Reporter, reporting
from mentor.structures import labels, with_labels

FULL = """BEGIN_CFG
 Size
    2
 Supercell
    4.0 0.0 0.0
    0.0 4.0 0.5
    0.0 0.0 4.0
 AtomData:  id type       cartes_x      cartes_y      cartes_z     fx   fy   fz  site_en nbh_grades
             1    1       0.1           0.0           0.0          0.1  0.2  0.3  -2.5  1.5
             2    0       2.0           2.0           2.0         -0.1 -0.2 -0.3  -3.0  0.5
 Energy
        -5.5
 PlusStress:  xx          yy          zz          yz          xz          xy
              0.1         0.2         0.3         0.4         0.5         0.6
 Feature   EFS_by       VASP
 Feature   steps\t12
 Feature   note\ttwo words
END_CFG
"""


def one(text: str, elements=("Ag", "Pd")) -> Atoms:
    (atoms,) = parse_cfg("x.cfg", text, elements)
    return atoms


def test_everything_in_a_block():
    atoms = one(FULL)
    known = labels(atoms)
    assert atoms.get_chemical_symbols() == ["Pd", "Ag"]
    assert atoms.pbc.all()
    assert atoms.cell.array[1].tolist() == [0.0, 4.0, 0.5]
    assert atoms.positions.tolist() == [[0.1, 0, 0], [2, 2, 2]]
    assert known.energy == -5.5
    assert known.forces[1].tolist() == [-0.1, -0.2, -0.3]
    assert np.abs(known.virial - [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).max() <= 1e-15
    assert atoms.get_stress()[0] == pytest.approx(-0.1 / 64, rel=1e-14)
    assert atoms.arrays["site_en"].tolist() == [-2.5, -3.0]
    assert atoms.arrays["grades"].tolist() == [1.5, 0.5]
    assert atoms.info == {"EFS_by": "VASP", "steps": 12, "note": "two words"}


def test_several_blocks_and_blank_lines():
    structures = parse_cfg("x.cfg", f"\n{FULL}\n\n{FULL.replace('-5.5', '-6.5')}", ["Ag", "Pd"])
    assert [labels(atoms).energy for atoms in structures] == [-5.5, -6.5]


def test_windows_line_ends(tmp_path):
    (tmp_path / "x.cfg").write_bytes(FULL.replace("\n", "\r\n").encode())
    assert labels(read_structures(tmp_path / "x.cfg", ["Ag", "Pd"])[0]).energy == -5.5


def test_direct_coordinates():
    direct = one(FULL.replace("cartes_", "direct_").replace("2.0   ", "0.5   "))
    assert direct.positions[1].tolist() == pytest.approx(direct.cell.array.sum(axis=0) / 2)


@pytest.mark.parametrize("vectors", [0, 1, 2])
def test_missing_lattice_vectors(vectors):
    lines = FULL.splitlines(keepends=True)
    text = "".join(lines[: 4 + vectors] + lines[7:])
    if vectors == 0:
        text = text.replace(" Supercell\n", "")
    atoms = one(text)
    assert atoms.pbc.tolist() == [i < vectors for i in range(3)]
    assert labels(atoms).virial.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_old_stress_has_the_opposite_sign_and_is_reported():
    class Heard(Reporter):
        said = ""

        def message(self, text):
            self.said += text

    with reporting(Heard()) as heard:
        atoms = one(FULL.replace("PlusStress", "Stress"))
    assert labels(atoms).virial[0] == pytest.approx(-0.1, rel=1e-14)
    assert "opposite sign" in heard.said


def test_order_of_stress_components():
    text = FULL.replace(
        "xx          yy          zz          yz          xz          xy",
        "xx yy zz xy xz yz",
    )
    assert labels(one(text)).virial[3:] == pytest.approx([0.6, 0.5, 0.4], rel=1e-14)


def test_types_without_elements_are_kept():
    atoms = one(FULL, elements=None)
    assert atoms.arrays["types"].tolist() == [1, 0]
    assert parse_cfg("y", format_cfg([atoms]))[0].arrays["types"].tolist() == [1, 0]


def test_types_of_others_do_not_matter():
    atoms = Atoms("AgPd", [[0, 0, 0], [0, 0, 2.5]])
    atoms.arrays["types"] = np.array([1, 2])
    again = one(format_cfg([atoms], ["Ag", "Pd"]))
    assert again.get_chemical_symbols() == ["Ag", "Pd"]


def random_structure(rng, pbc) -> Atoms:
    count = int(rng.integers(1, 6))
    atoms = Atoms(
        rng.choice(["Ag", "Pd", "Cu"], count),
        rng.normal(size=(count, 3)),
        cell=rng.normal(size=(3, 3)) if any(pbc) else None,
        pbc=pbc,
        info={"number": 1 / 3, "text": "a b", "whole": 7},
    )
    atoms.arrays["grades"] = rng.normal(size=count)
    return with_labels(
        atoms, energy=rng.normal(), forces=rng.normal(size=(count, 3)), virial=rng.normal(size=6)
    )


@pytest.mark.parametrize("pbc", [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)])
def test_round_trip_is_exact(pbc, tmp_path):
    rng = np.random.default_rng(sum(pbc))
    before = [random_structure(rng, pbc) for _ in range(10)]
    write_structures(tmp_path / "x.cfg", before, ["Pd", "Ag", "Cu"])
    after = read_structures(tmp_path / "x.cfg", ["Pd", "Ag", "Cu"])
    assert len(after) == len(before)
    for a, b in zip(before, after, strict=True):
        assert a.get_chemical_symbols() == b.get_chemical_symbols()
        assert np.array_equal(a.pbc, b.pbc)
        assert np.array_equal(a.positions, b.positions)
        assert np.array_equal(a.cell.array[a.pbc], b.cell.array[b.pbc])
        assert np.array_equal(a.arrays["grades"], b.arrays["grades"])
        assert labels(a).energy == labels(b).energy
        assert np.array_equal(labels(a).forces, labels(b).forces)
        assert np.abs(labels(a).virial - labels(b).virial).max() <= 1e-15
        assert {k: v for k, v in b.info.items() if k != "virial"} == {
            k: v for k, v in a.info.items() if k != "virial"
        }


def test_vector_that_repeats_comes_first():
    wire = Atoms("Ag", cell=[0, 0, 3.0], pbc=[0, 0, 1])
    again = one(format_cfg([wire], ["Ag"]))
    assert again.pbc.tolist() == [True, False, False]
    assert again.cell.array[0].tolist() == [0, 0, 3.0]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (" Size\n    2", " Size\n    3", 11, "atom 2 of 3 has 1 columns"),
        (" Size\n    2", " Size\n    two", 3, "Size must be a positive integer"),
        ("-5.5", "nan", 12, "the energy: a value is not finite"),
        ("-5.5", "-5.5 3", 12, "the energy: expected 1 numbers, found 2"),
        ("0.0 4.0 0.5", "0.0 4.0", 6, "a lattice vector: expected 3 numbers, found 2"),
        ("id type", "id kind", 18, "AtomData has no column 'type'"),
        ("cartes_x", "cartesian", 18, "AtomData has no columns cartes_x"),
        ("END_CFG", "", 18, "the file ends too early: END_CFG is missing"),
        ("BEGIN_CFG", "BEGIN", 1, "expected BEGIN_CFG, found 'BEGIN'"),
        (" Energy", " Enthalpy", 11, "unknown entry 'Enthalpy'"),
        ("1    1  ", "1    2  ", 18, "an atom of type 2, but only 2 elements"),
        ("1    1  ", "1    1.5 ", 18, "must hold integers"),
        ("             yz", "             yy", 13, "must name xx yy zz yz xz xy"),
        ("0.2  0.3  -2.5", "0.2  0.3  x", 9, "the columns of atom 0: .* is not numbers"),
    ],
)
def test_damage_is_named_with_its_line(old, new, line, message):
    text = FULL.replace("zz          yz", "zz             yz").replace(old, new, 1)
    with pytest.raises(FormatError, match=rf"^x.cfg:{line}: .*{message}"):
        parse_cfg("x.cfg", text, ["Ag", "Pd"])


def test_no_truncation_escapes():
    complete = len(FULL.rstrip())
    for length in range(1, complete):
        with pytest.raises(FormatError, match=r"^x.cfg:\d+: "):
            parse_cfg("x.cfg", FULL[:length], ["Ag", "Pd"])


def test_no_corruption_escapes(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(FULL.encode())
        for place in rng.integers(len(content), size=3):
            content[place] = rng.integers(256)
        (tmp_path / "x.cfg").write_bytes(content)
        try:
            structures = read_structures(tmp_path / "x.cfg", ["Ag", "Pd"])
        except MentorError:
            continue
        assert np.isfinite(structures[0].positions).all()


def test_elements_are_required(tmp_path):
    (tmp_path / "x.cfg").write_text(FULL)
    with pytest.raises(InputError, match="give the elements"):
        read_structures(tmp_path / "x.cfg")
    with pytest.raises(InputError, match=r"structure 0: .*Cu is not among the elements"):
        write_structures(tmp_path / "y.cfg", Atoms("Cu"), ["Ag"])
    assert not (tmp_path / "y.cfg").exists()
