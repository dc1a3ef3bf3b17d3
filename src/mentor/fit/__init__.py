"""Fitting potentials to labels, and their errors."""

from mentor.fit.fitting import FitResult, fit

__all__ = ["FitResult", "fit"]
