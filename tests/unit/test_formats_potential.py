"""Reading and writing .mtp and .almtp potentials."""

from dataclasses import replace

import numpy as np
import pytest

import mentor
import samples
from mentor.active import build_active_set
from mentor.exceptions import FormatError, InputError, MentorError, StorageError
from mentor.formats import read_potential, write_potential
from mentor.formats.mtp import format_mtp, parse_mtp

ARRAYS = (
    "radial_coeffs",
    "alpha_index_basic",
    "alpha_index_times",
    "alpha_moment_mapping",
    "species_coeffs",
    "moment_coeffs",
)


@pytest.fixture(scope="module")
def potential() -> mentor.Potential:
    return samples.potential(species=2, level=6)


@pytest.fixture(scope="module")
def active(potential) -> mentor.Potential:
    structures = [samples.structure(kind, seed=3) for kind in ("molecule", "wire", "slab")]
    return replace(potential, active_set=build_active_set(potential, structures))


def text_of(potential: mentor.Potential) -> str:
    return format_mtp(potential._fields())


def without(text: str, *keys: str) -> str:
    return "".join(
        line for line in text.splitlines(keepends=True) if line.split(" =")[0].strip() not in keys
    )


def assert_same(a: mentor.Potential, b: mentor.Potential) -> None:
    for name in a.__dataclass_fields__:
        if name not in ("active_set", "potential_tag"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), name


@pytest.mark.parametrize("basis", ["RBChebyshev", "RBChebyshev_zbl"])
@pytest.mark.parametrize("species", [1, 2, 3])
def test_round_trip_is_exact(species, basis, tmp_path):
    before = samples.potential(species, level=8, seed=species, radial_basis_type=basis)
    before = replace(before, scaling=1 / 3, min_dist=1.8000000000000003, potential_name="a b")
    before.save(tmp_path / "a.mtp")
    after = mentor.load(tmp_path / "a.mtp")
    assert_same(before, after)
    after.save(tmp_path / "b.mtp")
    assert (tmp_path / "a.mtp").read_bytes() == (tmp_path / "b.mtp").read_bytes()


def test_numbers_at_the_edge_of_doubles_round_trip(potential):
    c = potential.radial_coeffs.copy()
    c.flat[:6] = [5e-324, -1.7976931348623157e308, 0.1, 1e22, -0.0, 2**53 + 2.0]
    fields = replace(potential, radial_coeffs=c)._fields()
    again = parse_mtp("x", format_mtp(fields))["radial_coeffs"]
    assert again.tobytes() == c.tobytes()


def test_quirks_of_other_programs(potential):
    text = text_of(potential)
    expected = parse_mtp("x", text)
    quirks = {
        "no spaces": text.replace(", ", ",").replace(" = {", "={").replace("{{", "{ {"),
        "tabs": text.replace(" = {", " =\t{"),
        "blank lines": text.replace("\n", "\n\n"),
        "list on its own line": text.replace("alpha_index_times = ", "alpha_index_times = \n"),
        "empty tag": text.replace("elements=Ag,Pd", ""),
        "exponents": text.replace("0.3\n", "3.000000000000000e-01\n"),
        "no end of line": text.rstrip(),
        "scaling beside the distances": without(text, "scaling").replace(
            "\tmin_dist", "\tscaling = 0.3\n\tmin_dist"
        ),
        "both scalings": text.replace("\tmin_dist", "\tscaling = 1.0\n\tmin_dist"),
    }
    for quirk, changed in quirks.items():
        found = parse_mtp("x", changed)
        for name in (*ARRAYS, "scaling"):
            assert np.array_equal(found[name], expected[name]), (quirk, name)


def test_scalings_multiply(potential):
    text = text_of(potential).replace("\tmin_dist", "\tscaling = 0.5\n\tmin_dist")
    assert parse_mtp("x", text)["scaling"] == 0.15


def test_pairs_in_any_order(potential):
    before = parse_mtp("x", text_of(potential))
    lines = text_of(potential).splitlines()
    start = lines.index("\t\t0-0")
    size = 1 + potential.radial_funcs_count
    blocks = [lines[start + i * size : start + (i + 1) * size] for i in range(4)]
    lines[start : start + 4 * size] = [line for block in reversed(blocks) for line in block]
    after = parse_mtp("x", "\n".join(lines))
    assert np.array_equal(before["radial_coeffs"], after["radial_coeffs"])


def test_pairs_labelled_by_atomic_numbers(potential):
    text = without(text_of(potential), "potential_tag")
    for pair in ("0-0", "0-1", "1-0", "1-1"):
        text = text.replace(f"\t\t{pair}\n", f"\t\t{pair.replace('0', '47').replace('1', '46')}\n")
    found = parse_mtp("x", text)
    assert np.array_equal(found["radial_coeffs"], potential.radial_coeffs)
    assert found["potential_tag"] == "elements=Ag,Pd"


def test_untrained_potential(potential, tmp_path):
    text = text_of(potential)
    start, stop = text.index("\tradial_coeffs"), text.index("alpha_moments_count")
    text = without(text[:start] + text[stop:], "species_coeffs", "moment_coeffs")
    (tmp_path / "x.mtp").write_text(text)
    fields = read_potential(tmp_path / "x.mtp")
    assert np.isnan(fields["radial_coeffs"]).all()
    write_potential(tmp_path / "y.mtp", fields)
    assert "coeffs" not in (tmp_path / "y.mtp").read_text()
    untrained = mentor.load(tmp_path / "x.mtp")
    assert untrained.radial_coeffs.shape == potential.radial_coeffs.shape
    assert np.isfinite(untrained.parameters).all()
    assert np.array_equal(untrained.parameters, mentor.load(tmp_path / "x.mtp").parameters)


@pytest.mark.parametrize("missing", ["species_coeffs", "moment_coeffs"])
def test_partly_trained_potential_is_damaged(potential, missing):
    with pytest.raises(FormatError, match=f"{missing} is missing although radial_coeffs"):
        parse_mtp("x", without(text_of(potential), missing))


def line_of(text: str, word: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), 1) if word in line)


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        ("MTP\n", "MTB\n", "MTB", "the first line must be 'MTP'"),
        ("species_count = 2", "species_count = 3", "radial_coeffs", "needs 9"),
        ("species_count = 2", "species_count = two", "species_count", "'two' is not a number"),
        ("species_count = 2", "species_count = 0", "species_count", "must be at least 1"),
        ("species_count = 2", "species_count = 10000000", "species_count", "out of range"),
        ("species_count = 2", "species_count", "species_count", "has no value"),
        ("radial_basis_size = 5", "radial_basis_size = 4", "\t\t\t{", "has 5 coefficients, but"),
        ("\t\t1-0\n", "\t\t0-1\n", "-last 0-1", "the pair 0-1 is given a second time"),
        ("\tmax_dist = 4.5", "\tmax_dist = 1.5", "max_dist", "min_dist = 1.8 must lie between"),
        ("\tmax_dist = 4.5", "\tmax_dist = nan", "max_dist", "not a finite number"),
        ("RBChebyshev", "RBShapeev", "radial_basis_type", "'RBShapeev' is not supported"),
        ("{{0, 0, 0, 0}", "{{0, 0, 0}", "alpha_index_basic =", "row 0 .* has 3 numbers, not 4"),
        ("{{0, 0, 0, 0}", "{{0, 0, 0, -1}", "alpha_index_basic =", "exponent below 0"),
        ("{{0, 0, 0, 0}", "{{7, 0, 0, 0}", "alpha_index_basic =", "names a radial function that"),
        ("{{0, 0, 0, 0}", "{{0, 0, x, 0}", "alpha_index_basic =", "'x', which is not an integer"),
        ("alpha_index_times = {{0", "alpha_index_times = {{99", "alpha_index_times =", "a moment"),
        ("times_count = ", "times_count = 1", "alpha_index_times =", "alpha_index_times_count = 1"),
        ("scalar_moments = 5", "scalar_moments = 6", "alpha_moment_mapping", "has 5 entries, but"),
        ("moments_count = ", "moments_count = 9", "moments_count", "does not fit"),
        ("species_coeffs = {", "species_coeffs = {nan, ", "species_coeffs", "not finite"),
        ("species_coeffs = {", "species_coeffs = {1, ", "species_coeffs", "has 3 entries, but"),
        ("species_coeffs = {", "species_coeffs = {one, ", "species_coeffs", "'one', which is not"),
        ("species_coeffs = ", "species_coefs = ", "species_coefs", "unknown field 'species_coefs"),
        ("moment_coeffs = ", "species_coeffs = ", "-last species", "is given a second time"),
        ("elements=Ag,Pd", "elements=Ag,Pd,Cu", "potential_tag", "at most 2 different chemical"),
        ("elements=Ag,Pd", "elements=Ag,Foo", "potential_tag", "at most 2 different chemical"),
    ],
)
def test_damage_is_named_with_its_line(potential, old, new, where, message):
    text = text_of(potential)
    assert old in text
    text = text.replace(old, new, 1)
    if where.startswith("-last "):
        lines = text.splitlines()
        line = len(lines) - next(i for i, each in enumerate(reversed(lines)) if where[6:] in each)
    else:
        line = line_of(text, where)
    with pytest.raises(FormatError, match=rf"^x.mtp:{line}: .*{message}"):
        parse_mtp("x.mtp", text)


@pytest.mark.parametrize(("old", "new", "where", "message"), samples.CORE_DAMAGE)
def test_damage_of_the_core_is_named_with_its_line(old, new, where, message):
    text = text_of(samples.potential(2, level=6, radial_basis_type="RBChebyshev_zbl"))
    assert old in text
    text = text.replace(old, new, 1)
    with pytest.raises(FormatError, match=rf"^x.mtp:{line_of(text, where)}: .*{message}"):
        parse_mtp("x.mtp", text)


def test_radii_of_the_core_must_be_there():
    text = text_of(samples.potential(2, level=6, radial_basis_type="RBChebyshev_zbl"))
    with pytest.raises(FormatError, match="core_radii is missing"):
        parse_mtp("x.mtp", without(text, "core_radii"))


def test_no_truncation_of_a_potential_escapes(active, tmp_path):
    for name in ("x.mtp", "x.almtp"):
        active.save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        lengths = {*range(0, len(content) - 1, 97 if name == "x.mtp" else 997)}
        if name == "x.almtp":
            mark = content.index(b"\n#MVS")
            lengths |= {*range(mark + 2, mark + 160, 3)}
            lengths |= {*range(len(content) - 400, len(content) - 1, 3)}
        for length in lengths:
            (tmp_path / name).write_bytes(content[:length])
            with pytest.raises(FormatError, match=rf"{name}:\d+: "):
                mentor.load(tmp_path / name)


def test_no_corruption_of_a_potential_escapes(active, tmp_path):
    active.save(tmp_path / "x.almtp")
    good = (tmp_path / "x.almtp").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(good)
        for place in rng.integers(len(content), size=2):
            content[place] = rng.integers(256)
        (tmp_path / "x.almtp").write_bytes(content)
        try:
            mentor.load(tmp_path / "x.almtp")
        except MentorError as error:
            assert "x.almtp" in str(error)  # noqa: PT017


def test_active_set_round_trips_exactly(active, tmp_path):
    active.save(tmp_path / "a.almtp")
    after = mentor.load(tmp_path / "a.almtp")
    assert_same(active, after)
    a, b = active.active_set, after.active_set
    assert a.mode == b.mode == "neighborhood"
    for name in ("matrix", "inverse", "cfg_index", "eqn_index"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert a.filled == b.filled > 0
    for before, read in zip(a.structures, b.structures, strict=True):
        assert before.get_chemical_symbols() == read.get_chemical_symbols()
        assert np.array_equal(before.positions, read.positions)
        assert before.pbc.sum() == read.pbc.sum()
    after.save(tmp_path / "b.almtp")
    assert (tmp_path / "a.almtp").read_bytes() == (tmp_path / "b.almtp").read_bytes()


def test_configuration_mode_round_trips(potential, tmp_path):
    structures = [samples.structure("triclinic crystal", seed=seed) for seed in range(4)]
    active_set = build_active_set(potential, structures, "configuration")
    replace(potential, active_set=active_set).save(tmp_path / "a.almtp")
    after = mentor.load(tmp_path / "a.almtp").active_set
    assert after.mode == "configuration"
    assert np.array_equal(after.eqn_index, active_set.eqn_index)
    assert np.array_equal(after.matrix, active_set.matrix)


def test_active_set_of_unnamed_elements(active, tmp_path):
    active.save(tmp_path / "a.almtp")
    content = (tmp_path / "a.almtp").read_bytes()
    (tmp_path / "b.almtp").write_bytes(content.replace(b"elements=Ag,Pd", b""))
    unnamed = mentor.load(tmp_path / "b.almtp")
    assert unnamed.elements is None
    unnamed.save(tmp_path / "c.almtp")
    named = mentor.load(tmp_path / "c.almtp", elements=["Ag", "Pd"])
    pairs = zip(active.active_set.structures, named.active_set.structures, strict=True)
    assert all(a.get_chemical_symbols() == b.get_chemical_symbols() for a, b in pairs)


def test_elements_are_agreed_on(potential, tmp_path):
    potential.save(tmp_path / "x.mtp")
    with pytest.raises(InputError, match=r"names its elements Ag, Pd, not Pd, Ag"):
        mentor.load(tmp_path / "x.mtp", elements=["Pd", "Ag"])
    (tmp_path / "y.mtp").write_text(without(text_of(potential), "potential_tag"))
    assert mentor.load(tmp_path / "y.mtp").elements is None
    assert mentor.load(tmp_path / "y.mtp", elements=["Pd", "Ag"]).elements == ("Pd", "Ag")
    with pytest.raises(InputError, match=r"has 2 species but 3 elements"):
        mentor.load(tmp_path / "y.mtp", elements=["Pd", "Ag", "Au"])
    with pytest.raises(InputError, match=r"Foo must be chemical symbols"):
        mentor.load(tmp_path / "y.mtp", elements=["Pd", "Foo"])


def test_unusable_paths(potential, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        mentor.load(tmp_path / "none.mtp")
    with pytest.raises(InputError, match="cannot be read"):
        mentor.load(tmp_path)
    with pytest.raises(InputError, match=r"must end in \.mtp or \.almtp"):
        potential.save(tmp_path / "x.txt")
    with pytest.raises(InputError, match="has no active set"):
        potential.save(tmp_path / "x.almtp")
    with pytest.raises(StorageError, match="cannot be written"):
        potential.save(tmp_path / "nowhere" / "x.mtp")
    (tmp_path / "x.mtp").write_bytes(b"MTP\nversion = \xff\xfe\n")
    with pytest.raises(FormatError, match=r"x\.mtp:2: is not text"):
        mentor.load(tmp_path / "x.mtp")


@pytest.mark.parametrize("name", ["AgPd", "AgPd-clean", "Cu", "Li", "Si"])
def test_published_potentials_round_trip(published, name, tmp_path):
    before = published(name)
    before.save(tmp_path / "x.mtp")
    assert_same(before, mentor.load(tmp_path / "x.mtp"))


def test_active_set_of_mlip3_round_trips(shared, tmp_path):
    path = shared / "reference" / "potentials" / "AgPd-L10-neighborhood.almtp"
    before = mentor.load(path, elements=["Ag", "Pd"])
    assert before.active_set.mode == "neighborhood"
    assert before.active_set.filled == 104
    assert len(before.active_set.structures) == 68
    before.save(tmp_path / "x.almtp")
    after = mentor.load(tmp_path / "x.almtp")
    old, new = (each.read_bytes() for each in (path, tmp_path / "x.almtp"))
    assert old[old.index(b"#MVS") : old.index(b"BEGIN")] in new
    assert np.array_equal(before.active_set.eqn_index, after.active_set.eqn_index)
