"""What training achieves on published DFT data of Ag-Pd."""

import numpy as np
import pytest
from ase.io import read

import mentor


@pytest.mark.slow
def test_ag_pd_at_level_10(shared):
    """Errors on structures the fit has not seen, and the same coefficients when repeated."""
    folder = shared / "data" / "agpd"
    first, second = (
        mentor.train(folder / "train.xyz", level=10, cutoff=5.0, radial_basis_size=8, seed=0)
        for _ in range(2)
    )
    table = mentor.errors(first.potential, read(folder / "test_fcc.xyz", ":"))
    found = table.groups["all"]
    assert found["energy_per_atom"].rmse <= 6e-3
    assert found["force_component"].rmse <= 0.025
    difference = np.abs(first.potential.parameters - second.potential.parameters)
    assert difference.max() <= 1e-6
