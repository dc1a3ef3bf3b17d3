// What the kernel offers, for each instruction set it is compiled for.
#pragma once

#include "grade.hpp"
#include "model.hpp"
#include "neighbourhoods.hpp"
#include "pairs.hpp"
#include "results.hpp"

namespace mentor {

/// Results of jacobian, all zero on entry; m = parameters.
struct JacobianOutputs {
    double* energies = nullptr;  // [structures][m]
    double* forces = nullptr;    // [atoms][3][m]
    double* virials = nullptr;   // [structures][6][m]
};

/// The kernel compiled for one instruction set; the Jacobian exists in double precision only.
struct Variant {
    const char* name;
    void (*evaluate)(const Model&, const Neighbourhoods&, const Outputs&, int threads);
    void (*evaluate_mixed)(const Model&, const Neighbourhoods&, const Outputs&, int threads);
    void (*jacobian)(const Model&, const Neighbourhoods&, const JacobianOutputs&, int threads);
    Pairs (*find_pairs)(const std::vector<Periodic>&, double cutoff, int threads);
};

}  // namespace mentor
