"""What the posterior of a campaign's potential expected, beside what validation found."""

from dataclasses import dataclass

import numpy as np

from mentor.exceptions import InputError
from mentor.learning.history import CampaignHistory
from mentor.potential import load
from mentor.structures import labels
from mentor.uncertainty import Posterior, posterior_path, standard_deviations


@dataclass(frozen=True, eq=False)
class Expectation:
    """Force errors of the validation structures, expected and found; n components in all."""

    expected: np.ndarray
    """Half widths of the 68 % intervals, eV/Å, shape (n,)."""
    found: np.ndarray
    """Absolute errors, eV/Å, shape (n,)."""
    grades: np.ndarray
    """Extrapolation grade of each component's structure, shape (n,)."""
    tested: np.ndarray
    """Parts of the errors within the intervals for 68 % and 95 % known before, shape (2,)."""

    def sentence(self) -> str:
        """What to say below the table of errors."""
        text = (
            "Expected of the potential's posterior: force errors below "
            f"{1000 * np.median(self.expected):.2g} meV/Å (68 % of them, median over validation)."
        )
        if np.isfinite(self.tested).all():
            inside, wide = 100 * self.tested
            text += (
                f" Of the errors found, {inside:.0f} % and {wide:.0f} % lie within the intervals "
                "for 68 % and 95 %"
            )
            wider = inside < 68 or wide < 95
            text += "; the intervals are wider now." if wider else "."
        return text


def expectation(past: CampaignHistory) -> Expectation | None:
    """What the posterior beside the final potential expects; None where there is none yet."""
    if past.validation is None or past.potential is None:
        return None
    path = posterior_path(past.potential)
    if not (path.is_file() and past.potential.is_file()):
        return None
    potential, structures = load(past.potential), past.validation.structures
    try:
        posterior = Posterior.load(path, potential)
    except InputError:
        return None  # of an earlier end of the campaign
    known = standard_deviations(potential, posterior, structures)
    free = [each.forces.free for each in known]
    found = [
        np.abs(labels(atoms).forces - forces)[own]
        for atoms, forces, own in zip(structures, past.validation.forces, free, strict=True)
    ]
    grades = [atoms.info.get("grade", np.nan) for atoms in structures]
    return Expectation(
        expected=np.concatenate(
            [each.forces.std[own] for each, own in zip(known, free, strict=True)]
        ),
        found=np.concatenate(found),
        grades=np.repeat(grades, [len(each) for each in found]),
        tested=posterior.tested,
    )
