"""Basis functions: graphs, contraction schedules, linear dependence."""

from mentor.basis.generator import Basis, generate
from mentor.basis.graphs import Graph

__all__ = ["Basis", "Graph", "generate"]
