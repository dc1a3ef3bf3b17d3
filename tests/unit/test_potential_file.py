"""The C++ reader of potentials, for programs without Python, equals the Python one."""

import locale
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mentor
import samples
from mentor.exceptions import InputError, MentorError
from mentor.formats import elements_of_tag, read_potential
from mentor.formats.mtp import format_mtp
from mentor.kernel import read_potential_file

SCALARS = ("radial_basis_type", "scaling", "min_dist", "max_dist", "species_count")
ARRAYS = (
    "radial_coeffs",
    "species_coeffs",
    "moment_coeffs",
    "alpha_index_basic",
    "alpha_index_times",
    "alpha_moment_mapping",
)


@pytest.fixture(scope="module")
def potential() -> mentor.Potential:
    return samples.with_active_set(samples.potential(species=2, level=6))


def assert_readers_agree(path) -> None:
    found, expected = read_potential_file(str(path)), read_potential(path)
    for name in (*SCALARS, "alpha_moments_count"):
        assert found[name] == expected[name], name
    assert np.array_equal(found["core_radii"], expected["core_radii"])
    for name in ARRAYS:
        assert found[name].shape == expected[name].shape, name
        assert found[name].tobytes() == expected[name].tobytes(), name
    assert tuple(found["elements"]) == (elements_of_tag(expected["potential_tag"]) or ())
    active_set = expected["active_set"]
    assert (found["inverse"] is None) == (active_set is None)
    if active_set is not None:
        assert found["inverse"].tobytes() == active_set.inverse.tobytes()
        assert found["per_structure"] == (active_set.mode == "configuration")


def text_of(potential: mentor.Potential) -> str:
    return format_mtp(potential._fields())


@pytest.mark.parametrize("basis", samples.RADIAL_BASES)
@pytest.mark.parametrize("mode", ["neighborhood", "configuration"])
@pytest.mark.parametrize(("species", "level"), [(1, 2), (1, 16), (2, 8), (3, 6), (4, 4)])
def test_readers_agree_on_potentials_of_mentor(species, level, mode, basis, tmp_path):
    potential = samples.potential(species, level, radial_basis_type=basis)
    potential = samples.with_active_set(potential, mode)
    for name in ("x.mtp", "x.almtp"):
        potential.save(tmp_path / name)
        assert_readers_agree(tmp_path / name)


@pytest.mark.parametrize("name", ["AgPd", "AgPd-clean", "Cu", "Li", "Si", "AgPd-L10-neighborhood"])
def test_readers_agree_on_published_potentials(shared, name):
    ending = ".almtp" if "L10" in name else ".mtp"
    assert_readers_agree(shared / "reference" / "potentials" / f"{name}{ending}")


def test_readers_agree_on_what_other_programs_write(potential, tmp_path):
    text = text_of(potential)
    unnamed = text.replace("elements=Ag,Pd", "")
    by_number = unnamed.replace("\t\t0-", "\t\t47-").replace("\t\t1-", "\t\t46-")
    by_number = by_number.replace("-0\n", "-47\n").replace("-1\n", "-46\n")
    for quirk in (
        text.replace(", ", ",").replace(" = {", "={").replace("{{", "{ {"),
        text.replace(" = {", " =\t\n{ ").replace("},", "}\n,"),
        text.replace("\n", "\r\n"),
        text.replace("\tmin_dist", "\tscaling = +5.E-1\n\tmin_dist"),
        text.replace("{", "{+", 1).replace("{{+", "{{"),
        text.rstrip(),
        "\n" + text.replace("MTP\n", "MTP  \n", 1),
        text.replace("elements=Ag,Pd", "made by elements=Ag me"),
        unnamed,
        by_number,
    ):
        (tmp_path / "x.mtp").write_bytes(quirk.encode())
        assert_readers_agree(tmp_path / "x.mtp")
    assert read_potential_file(str(tmp_path / "x.mtp"))["elements"] == ["Ag", "Pd"]


def test_numbers_at_the_edge_of_doubles_are_exact(potential, tmp_path):
    c = potential.radial_coeffs.copy()
    c.flat[:6] = [5e-324, -1.7976931348623157e308, 0.1, 1e22, -0.0, 2**53 + 2.0]
    replace(potential, radial_coeffs=c).save(tmp_path / "x.mtp")
    assert read_potential_file(str(tmp_path / "x.mtp"))["radial_coeffs"].tobytes() == c.tobytes()


def test_locale_with_decimal_comma_changes_nothing(potential, tmp_path):
    potential.save(tmp_path / "x.mtp")
    before = locale.setlocale(locale.LC_ALL)
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8"):
        try:
            locale.setlocale(locale.LC_ALL, name)
        except locale.Error:
            continue
        try:
            assert_readers_agree(tmp_path / "x.mtp")
        finally:
            locale.setlocale(locale.LC_ALL, before)
        return
    pytest.skip("no locale with a decimal comma is installed")


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        ("MTP\n", "MTB\n", "MTB", "the first line must be 'MTP'"),
        ("species_count = 2", "species_count = 3", "species_coeffs", "has 2 entries, but"),
        ("\t\t1-1\n", "\t\t1-2\n", "radial_coeffs", "species_count = 2 needs 4"),
        ("species_count = 2", "species_count = two", "species_count", "'two' is not a count"),
        ("species_count = 2", "species_count = 0", "species_count", "must be at least 1"),
        ("species_count = 2", "species_count = 99999999999", "species_count", "is not a count"),
        ("species_count = 2", "species_count = -2", "species_count", "out of range"),
        ("species_count = 2", "species_count", "species_count", "has no value"),
        ("radial_basis_size = 5", "radial_basis_size = 4", "\t\t\t{", "has 5 coefficients, but"),
        ("\t\t1-0\n", "\t\t0-1\n", "-last 0-1", "the pair 0-1 is given a second time"),
        ("\t\t1-0\n", "\t\t1-\n", "\t\t1-", "expected a pair of species"),
        ("\tmax_dist = 4.5", "\tmax_dist = 1.5", "max_dist", "min_dist must lie between"),
        ("\tmax_dist = 4.5", "\tmax_dist = nan", "max_dist", "not a finite number"),
        ("\tmax_dist = 4.5", "\tmax_dist = 4,5", "max_dist", "'4,5' is not a number"),
        ("RBChebyshev", "RBShapeev", "radial_basis_type", "'RBShapeev' is not supported"),
        ("{{0, 0, 0, 0}", "{{0, 0, 0}", "alpha_index_basic =", "row 0 .* has 3 numbers, not 4"),
        ("{{0, 0, 0, 0}", "{{0, 0, 0, -1}", "alpha_index_basic =", "exponent below 0"),
        ("{{0, 0, 0, 0}", "{{7, 0, 0, 0}", "alpha_index_basic =", "names a radial function that"),
        ("{{0, 0, 0, 0}", "{{0, 0, x, 0}", "alpha_index_basic =", "'x', which is not a number"),
        ("alpha_index_times = {{0", "alpha_index_times = {{99", "alpha_index_times =", "a moment"),
        ("times_count = ", "times_count = 1", "alpha_index_times =", "alpha_index_times_count = 1"),
        ("scalar_moments = 5", "scalar_moments = 6", "alpha_moment_mapping", "has 5 entries, but"),
        ("moments_count = ", "moments_count = 9", "moments_count", "does not fit"),
        ("species_coeffs = {", "species_coeffs = {nan, ", "species_coeffs", "not finite"),
        ("species_coeffs = {", "species_coeffs = {inf, ", "species_coeffs", "not finite"),
        ("species_coeffs = {", "species_coeffs = {1e999, ", "species_coeffs", "1e999.* in range"),
        ("species_coeffs = {", "species_coeffs = {1, ", "species_coeffs", "has 3 entries, but"),
        ("species_coeffs = {", "species_coeffs = {one, ", "species_coeffs", "'one', which is not"),
        ("species_coeffs = {", "species_coeffs = {1 ", "species_coeffs", "expected ',' or '}'"),
        ("species_coeffs = ", "species_coefs = ", "species_coefs", "unknown field 'species_coefs"),
        ("moment_coeffs = ", "species_coeffs = ", "-last species", "is given a second time"),
        ("elements=Ag,Pd", "elements=Ag,Pd,Cu", "potential_tag", "at most 2 different chemical"),
        ("elements=Ag,Pd", "elements=Ag,Foo", "potential_tag", "at most 2 different chemical"),
    ],
)
def test_damage_is_named_with_its_line(potential, old, new, where, message, tmp_path):
    assert old in text_of(potential)
    lines = (text := text_of(potential).replace(old, new, 1)).splitlines()
    numbers = [i for i, line in enumerate(lines, 1) if where.removeprefix("-last ") in line]
    line = numbers[-1 if where.startswith("-last ") else 0]
    (tmp_path / "x.mtp").write_text(text)
    with pytest.raises(InputError, match=rf"x.mtp:{line}: .*{message}"):
        read_potential_file(str(tmp_path / "x.mtp"))
    with pytest.raises(InputError):
        read_potential(tmp_path / "x.mtp")


@pytest.mark.parametrize(("old", "new", "where", "message"), samples.CORE_DAMAGE)
def test_damage_of_the_core_is_named_with_its_line(old, new, where, message, tmp_path):
    text = text_of(samples.potential(2, level=6, radial_basis_type="RBChebyshev_zbl"))
    assert old in text
    text = text.replace(old, new, 1)
    line = next(i for i, each in enumerate(text.splitlines(), 1) if where in each)
    (tmp_path / "x.mtp").write_text(text)
    with pytest.raises(InputError, match=rf"x.mtp:{line}: .*{message}"):
        read_potential_file(str(tmp_path / "x.mtp"))


def test_untrained_potential_is_refused(potential, tmp_path):
    untrained = replace(
        potential, radial_coeffs=np.full_like(potential.radial_coeffs, np.nan), active_set=None
    )
    untrained.save(tmp_path / "x.mtp")
    with pytest.raises(InputError, match=r"x\.mtp:\d+: the potential is not trained"):
        read_potential_file(str(tmp_path / "x.mtp"))


def test_active_set_that_belongs_to_another_potential(potential, tmp_path):
    potential.save(tmp_path / "x.almtp")
    content = (tmp_path / "x.almtp").read_bytes()
    other = text_of(samples.potential(species=1, level=6)).encode()
    (tmp_path / "x.almtp").write_bytes(other + content[content.index(b"#MVS") :])
    with pytest.raises(InputError, match=r"x\.almtp:\d+: the matrices of the active set are not"):
        read_potential_file(str(tmp_path / "x.almtp"))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"none\.mtp: no such file"):
        read_potential_file(str(tmp_path / "none.mtp"))
    with pytest.raises(InputError, match="cannot be read"):
        read_potential_file(str(tmp_path))
    (tmp_path / "x.mtp").write_text("")
    with pytest.raises(InputError, match=r"x\.mtp:1: is not a potential"):
        read_potential_file(str(tmp_path / "x.mtp"))


def test_no_truncation_escapes(potential, tmp_path):
    for name in ("x.mtp", "x.almtp"):
        potential.save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        end = len(content) - 1
        lengths = {*range(0, end, 61 if name == "x.mtp" else 499), *range(end - 300, end, 3)}
        if name == "x.almtp":  # with its end go structures only, which this reader does not read
            mark = content.index(b"\n#MVS")
            lengths |= {*range(mark + 2, mark + 160)}
            lengths = {length for length in lengths if length <= content.rindex(b"\n#\n")}
        for length in lengths:
            (tmp_path / name).write_bytes(content[:length])
            with pytest.raises(InputError, match=rf"{name}:\d+: "):
                read_potential_file(str(tmp_path / name))


@given(data=st.data())
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("basis", ["RBChebyshev", "RBChebyshev_zbl"])
@pytest.mark.parametrize("name", ["x.mtp", "x.almtp"])
def test_what_survives_damage_is_what_python_reads(name, basis, data, tmp_path):
    potential = samples.potential(species=2, level=6, radial_basis_type=basis)
    samples.with_active_set(potential).save(tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    text_end = content.find(b"\n#MVS") + 250 if name == "x.almtp" else len(content)
    places = st.one_of(st.integers(0, text_end - 1), st.integers(0, len(content) - 1))
    pieces = st.one_of(
        st.binary(max_size=3),
        st.sampled_from([b"{", b"}", b",", b"}}", b"\n", b"-", b"9", b"1e", b"nan", b" = "]),
    )
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(places)
        content[place : place + data.draw(st.integers(0, 40))] = data.draw(pieces)
    (tmp_path / name).write_bytes(content)
    try:
        read_potential_file(str(tmp_path / name))
    except InputError:
        return
    try:
        read_potential(tmp_path / name)
    except MentorError as error:  # names and structures, which C++ does not look at
        known = ("is not text", "structure", "BEGIN_CFG")
        assert any(words in str(error) for words in known)  # noqa: PT017
        return
    assert_readers_agree(tmp_path / name)
