// Neighbour lists of one or many structures, as plain arrays owned by the caller.
#pragma once

#include <cstdint>

namespace mentor {

struct Neighbourhoods {
    int64_t structures, atoms;
    const int32_t* types;              // [atoms]
    const int64_t* structure_offsets;  // [structures + 1], into atoms
    const int64_t* offsets;            // [atoms + 1], into pairs
    const int32_t* neighbours;         // [pairs], atom j
    const double* displacements;       // [pairs][3], r_ij = x_j - x_i, Å
};

}  // namespace mentor
