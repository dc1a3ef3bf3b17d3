"""Moment Tensor Potentials that learn from quantum mechanics by themselves."""
