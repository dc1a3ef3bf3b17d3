// What neighbour_list.hpp takes and gives.
#pragma once

#include <cstdint>

#include "memory.hpp"

namespace mentor {

/// One structure. Cell vectors are rows; those of directions that do not repeat play no role.
struct Periodic {
    int64_t atoms;
    const double* positions;  // [atoms][3], Å
    const double* cell;       // [3][3], Å
    const bool* pbc;          // [3]
};

/// Directed pairs in the order of their first atom, as in Neighbourhoods.
struct Pairs {
    Values<int64_t> offsets;       // [atoms + 1]
    Values<int32_t> neighbours;    // [pairs]
    Values<double> displacements;  // [pairs][3], r_ij = x_j + image - x_i, Å
};

}  // namespace mentor
