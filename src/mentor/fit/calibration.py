"""Calibration of a posterior on known errors.

Errors of structures that were not fitted to are a spread times something that changes slowly with
the spread: near symmetric places, where spreads are small, the misfit of the model makes it larger.
So the quantiles of |error|/spread are taken within bins of the spread.

Errors within a structure are alike, so quantiles are less certain than the number of values
suggests, and structures met later are less like the known ones than these are like each other. Each
quantile is therefore raised by two standard errors, found from tenths of the structures.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.optimize import isotonic_regression

from mentor.uncertainty import LEVELS, NEGLIGIBLE, Calibration

_WIDTH = 2.0  # ratio of the largest to the smallest spread within a bin
_COUNT = 200  # values in a bin, at least, where there are as many
_STRUCTURES = 20  # structures they come from, at least
_PARTS = 10
_RAISED = 2.0  # standard errors
_FEW = 5  # values below which a part says nothing about a quantile


def calibrate(
    errors: np.ndarray, spreads: np.ndarray, structures: np.ndarray, resolution: float
) -> Calibration | None:
    """Intervals that hold the errors of one quantity; None where no spread is above zero.

    Parameters
    ----------
    errors, spreads
        Errors of structures that were not fitted to, and the posterior's spreads, shape (n,).
    structures
        Number of the structure that each belongs to, shape (n,).
    resolution
        Below what the labels are not known.
    """
    errors = np.abs(errors)
    usual = float(np.sqrt(np.mean(spreads**2))) if len(spreads) else 0.0
    if usual == 0.0:
        return None
    free = spreads > NEGLIGIBLE * usual
    fixed = np.zeros(2) if free.all() else np.quantile(errors[~free], LEVELS)
    order = np.argsort(spreads[free], kind="stable")
    s, ratios = spreads[free][order], (errors[free] / spreads[free])[order]
    groups, parts = structures[free][order], _part_of(structures)[free][order]
    bins = _bins(s, groups)
    centres = np.array([np.exp(np.mean(np.log(s[own]))) for own in bins])
    quantiles = [_raised_quantiles(ratios[own], groups[own], parts[own]) for own in bins]
    widths = np.log(np.maximum(np.array(quantiles).T * centres, resolution))
    counts = [own.stop - own.start for own in bins]
    rising = [isotonic_regression(each, weights=counts).x for each in widths]
    return Calibration(
        spreads=centres,
        widths=np.exp(rising),
        fixed=np.maximum(fixed, resolution),
        usual=usual,
    )


def widened(calibration: Calibration, errors: np.ndarray, spreads: np.ndarray) -> Calibration:
    """The calibration with its widths scaled up, where need be, to hold these errors as well.

    They are not scaled down: structures held back from a set are more like it than new ones are.
    """
    free = calibration.free(spreads)
    if not free.any():
        return calibration
    ratios = np.abs(errors[free]) / calibration(spreads[free])
    factors = [np.quantile(row, level) for row, level in zip(ratios, LEVELS, strict=True)]
    return replace(calibration, widths=calibration.widths * np.maximum(factors, 1.0)[:, None])


def _part_of(structures: np.ndarray) -> np.ndarray:
    """Which tenth of the structures each value belongs to, drawn with a fixed seed."""
    return np.random.default_rng(0).permutation(int(structures.max()) + 1)[structures] % _PARTS


def _bins(spreads: np.ndarray, groups: np.ndarray) -> list[slice]:
    """Slices of the rising ``spreads``, each a factor of two wide or just long enough."""
    number = np.floor(np.log(spreads / spreads[0]) / np.log(_WIDTH)).astype(int)
    edges, start = [0], 0
    for stop in [*(np.flatnonzero(np.diff(number)) + 1).tolist(), len(spreads)]:
        if stop - start >= _COUNT and len(np.unique(groups[start:stop])) >= _STRUCTURES:
            edges.append(stop)
            start = stop
    if len(edges) == 1:
        edges.append(len(spreads))
    edges[-1] = len(spreads)
    return [slice(*pair) for pair in pairwise(edges)]


def _raised_quantiles(values: np.ndarray, groups: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Quantiles of :data:`LEVELS` of ``values``, raised by standard errors; shape (2,)."""
    count = len(np.unique(groups))
    levels = np.minimum(np.array(LEVELS) * (count + 1) / count, 1.0)  # of one more structure
    quantiles = np.quantile(values, levels)
    split = [values[parts == part] for part in range(_PARTS)]
    split = [np.quantile(each, LEVELS) for each in split if len(each) >= _FEW]
    if len(split) < 3:
        return quantiles
    return quantiles + _RAISED * np.std(split, axis=0, ddof=1) / np.sqrt(len(split))
