// Neighbour lists of one or many structures, as plain arrays owned by the caller.
#pragma once

#include <cstdint>

namespace mentor {

/// The neighbourhoods of `atoms` central atoms. Central atom i is atom center(i) of `all_atoms`,
/// of which `neighbours` and `types` speak; in LAMMPS these include ghosts.
struct Neighbourhoods {
    int64_t structures, atoms;
    const int32_t* types;              // [all_atoms]
    const int64_t* structure_offsets;  // [structures + 1], into central atoms
    const int64_t* offsets;            // [atoms + 1], into pairs
    const int32_t* neighbours;         // [pairs], atom j
    const double* displacements;       // [pairs][3], r_ij = x_j - x_i, Å
    int64_t all_atoms;
    const int32_t* centers = nullptr;  // [atoms]; null: central atom i is atom i

    int64_t center(int64_t i) const { return centers ? centers[i] : i; }
    int32_t type(int64_t i) const { return types[center(i)]; }
};

}  // namespace mentor
