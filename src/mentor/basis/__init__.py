"""Basis functions: graphs, contraction schedules, linear dependence."""

from mentor.basis.generator import LEVEL_WEIGHTS, Basis, generate
from mentor.basis.graphs import Graph

__all__ = ["LEVEL_WEIGHTS", "Basis", "Graph", "generate"]
