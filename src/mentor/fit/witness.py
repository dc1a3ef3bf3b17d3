"""What a fit with many parameters says of structures that it does not know.

With three labels per parameter even the errors of structures left out in closed form are far too
small (:mod:`.posterior`). So the fit is made again without a tenth of the structures.
"""

from dataclasses import replace
from typing import Any

from mentor import progress
from mentor.fit.fitting import fit
from mentor.fit.loss import aside
from mentor.fit.posterior import Witness
from mentor.fit.robust import RobustFit
from mentor.potential import Potential


def with_witness(found: RobustFit, start: Potential, **options: Any) -> RobustFit:
    """The fit with a witness, and the structures set aside for it to validate with.

    Parameters
    ----------
    start, options
        What :func:`mentor.fit.fit` began with, and its options.
    """
    held = aside(len(found.structures))
    known, others = (
        [atoms for atoms, out in zip(found.structures, held, strict=True) if out == which]
        for which in (False, True)
    )
    progress.message("fitting once more without a tenth of the structures, for honest intervals")
    own = fit(start, known, **options)
    witness = Witness(own.potential, known, own.precision)
    return replace(found, validation=others, witness=witness)
