"""From ``moment_coeffs`` of each species to those that all species share, as other programs need.

A potential of C species whose atoms have their own ξ is one with C times as many radial functions,
each of which is felt by the atoms of one species only, and C times as many basis functions: that of
species z of f_{z,μ}, and so 0 for all other atoms. It is as accurate and C times as slow.
"""

import numpy as np


def with_shared_moments(fields: dict) -> dict:
    """Fields of the same potential with one set of ``moment_coeffs``; without an active set."""
    if np.ndim(fields["moment_coeffs"]) == 1:
        return fields
    basic, times = fields["alpha_index_basic"], fields["alpha_index_times"]
    mapping, radial = fields["alpha_moment_mapping"], fields["radial_coeffs"]
    species, _, functions, size = radial.shape
    moments, first = fields["alpha_moments_count"], len(basic)

    def moved(indices: np.ndarray, z: int) -> np.ndarray:
        """Numbers of the moments of species ``z``; basic ones come first."""
        others = species * first + z * (moments - first) + indices - first
        return np.where(indices < first, z * first + indices, others).astype(np.int32)

    def of_species(z: int) -> tuple[np.ndarray, np.ndarray]:
        own_basic, own_times = basic.copy(), times.copy()
        own_basic[:, 0] += z * functions
        own_times[:, [0, 1, 3]] = moved(times[:, [0, 1, 3]], z)
        return own_basic, own_times

    copies = [of_species(z) for z in range(species)]
    wide = np.zeros((species, species, species, functions, size))
    for z in range(species):
        wide[z, :, z] = radial[z]
    return fields | {
        "radial_coeffs": wide.reshape(species, species, species * functions, size),
        "alpha_moments_count": species * moments,
        "alpha_index_basic": np.concatenate([own for own, _ in copies]),
        "alpha_index_times": np.concatenate([own for _, own in copies]),
        "alpha_moment_mapping": np.concatenate([moved(mapping, z) for z in range(species)]),
        "moment_coeffs": np.ravel(fields["moment_coeffs"]),
        "active_set": None,
    }
