"""One potential for the mean of several: a mean of fits errs less than each of them."""

from dataclasses import replace

import numpy as np
import pytest

import mentor
import samples
from mentor.cli.main import main
from mentor.exceptions import InputError
from mentor.fit.mean import mean_of
from mentor.neighbourhoods import neighbourhoods

KINDS = ["triclinic crystal", "molecule", "slab"]


def evaluated(potential):
    structures = [samples.structure(kind, 2, 0) for kind in KINDS]
    nb = neighbourhoods(structures, potential.max_dist, potential.elements)
    return potential.kernel.evaluate(nb)


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own moments"])
@pytest.mark.parametrize("basis", samples.RADIAL_BASES)
def test_energies_forces_and_virials_are_the_mean(basis, own, tmp_path):
    """Of potentials of other levels, radial bases and scalings too, also after a file."""
    options = {"radial_basis_type": basis}
    several = [
        samples.potential(2, level=8, seed=0, **options),
        samples.potential(2, level=12, seed=1, **options),
        replace(samples.potential(2, level=6, seed=2, **options), scaling=0.5),
    ]
    several[0] = mentor.fit.growth.grown(several[0], radial_basis_size=9)
    if own:
        rng = np.random.default_rng(0)
        several[1] = several[1].with_own_moments()
        moments = several[1].moment_coeffs
        several[1] = replace(several[1], moment_coeffs=moments * rng.uniform(0.5, 2, moments.shape))
    found = mean_of(several)
    found.save(tmp_path / "mean.mtp")
    known = [evaluated(each) for each in several]
    for potential in (found, mentor.load(tmp_path / "mean.mtp")):
        result = evaluated(potential)
        for name in ("energies", "forces", "virials"):
            expected = np.mean([getattr(each, name) for each in known], axis=0)
            off = np.abs(getattr(result, name) - expected).max()
            assert off <= 1e-10 * max(1.0, np.abs(expected).max())


def test_the_command(tmp_path, capsys):
    paths = [tmp_path / f"{seed}.mtp" for seed in range(2)]
    for seed, path in enumerate(paths):
        samples.potential(2, level=6, seed=seed).save(path)
    assert main(["mean", *map(str, paths), "--output", str(tmp_path / "mean.mtp")]) == 0
    assert "the mean of 2 potentials" in capsys.readouterr().out.replace("\n", " ")
    assert mentor.load(tmp_path / "mean.mtp").scalar_count == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_dist": 5.0}, "potential 2 has max_dist 5.0, the first 4.5; train all on the same"),
        ({"elements": ("Ag", "Cu")}, "potential 2 has elements"),
        ({"core_radii": np.ones((2, 2))}, "potential 2 has other core_radii than the first"),
    ],
)
def test_what_has_no_mean_is_said(change, message):
    first = samples.potential(2, level=6)
    with pytest.raises(InputError, match=message):
        mean_of([first, replace(first, **change)])


def test_a_mean_takes_two():
    with pytest.raises(InputError, match="two potentials at least, not 1"):
        mean_of([samples.potential(2, level=6)])
