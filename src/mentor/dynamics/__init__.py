"""Molecular dynamics and relaxation."""

from mentor.dynamics.md import MDResult, MDSettings, md
from mentor.dynamics.relax import RelaxResult, RelaxSettings, relax

__all__ = ["MDResult", "MDSettings", "RelaxResult", "RelaxSettings", "md", "relax"]
