"""Whether intervals hold the errors they promise to, on published data never trained on."""

import numpy as np
import pytest
from ase.io import read

import mentor

SETS = {
    "ethanol": ("rmd17_ethanol/train.xyz", "rmd17_ethanol/test.xyz", 10, 4.5),
    "silicon": ("zuo2020_Si/train.xyz", "zuo2020_Si/test.xyz", 10, 4.8),
    "silver and palladium": ("agpd/train.xyz", "agpd/test_fcc.xyz", 8, 5.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_intervals_hold_what_they_promise(shared, name, tmp_path):
    train, test, level, cutoff = SETS[name]
    structures = read(shared / "data" / train, ":150" if name == "ethanol" else ":")
    output = tmp_path / "pot.mtp"
    sizes = {"level": level, "cutoff": cutoff, "radial_basis_size": 8}
    mentor.train(structures, **sizes, output=output)
    table = mentor.errors(output, read(shared / "data" / test, ":300"), uncertainty=True)
    inside, wide = table.groups["all"]["force_component"].within
    assert 0.60 <= inside <= 0.76
    assert 0.90 <= wide <= 0.98


@pytest.mark.slow
def test_far_from_what_was_trained_on_nothing_is_promised(shared, tmp_path):
    """On a transition path with contacts of 1.6 Å the potential is wrong, and knows it."""
    output = tmp_path / "pot.mtp"
    data = shared / "data" / "agpd"
    mentor.train(
        data / "train.xyz",
        **{"level": 8, "cutoff": 5.0, "radial_basis_size": 8},
        max_iterations=10,
        starts=1,
        output=output,
    )
    path = read(data / "test_pathway.xyz", ":")
    found = mentor.evaluate(output, path, uncertainty=True)
    errors = np.array([atoms.get_potential_energy() for atoms in path]) - found.energies
    largest = np.abs(errors).argmax()
    assert abs(errors[largest]) >= 10.0
    assert abs(errors[largest]) <= 10.0 * found.uncertainties[largest].energy.half95
    assert found.uncertainties[largest].energy.std >= 0.1 * abs(errors[largest])
    usual = mentor.evaluate(output, read(data / "test_relaxed.xyz", ":"), uncertainty=True)
    usual = np.median([each.energy.std for each in usual.uncertainties])
    assert found.uncertainties[largest].energy.std >= 20.0 * usual
