"""Fitting potentials to labels, and their errors."""

from mentor.fit.errors import ErrorTable, errors
from mentor.fit.fitting import FitResult, fit
from mentor.fit.mean import mean
from mentor.fit.posterior import posterior
from mentor.fit.result import TrainResult
from mentor.fit.train import train

__all__ = ["ErrorTable", "FitResult", "TrainResult", "errors", "fit", "mean", "posterior", "train"]
