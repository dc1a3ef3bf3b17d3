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

/// Rows of the Jacobian for a fit: those of the labels whose weights are not 0, times these, first
/// the energies of all structures, then the forces, then the virials. Null weights are 0.
struct WeightedRows {
    double* rows = nullptr;  // [labels][stride]
    int64_t stride = 0;
    const int32_t* columns = nullptr;  // [width], parameters
    int64_t width = 0;
    const double* energy_weights = nullptr;  // [structures]
    const double* force_weights = nullptr;   // [atoms]
    const double* virial_weights = nullptr;  // [structures][6]
};

/// The kernel compiled for one instruction set; the Jacobian exists in double precision only.
struct Variant {
    const char* name;
    void (*evaluate)(const Model&, const Neighbourhoods&, const Outputs&, int threads);
    void (*evaluate_mixed)(const Model&, const Neighbourhoods&, const Outputs&, int threads);
    void (*jacobian)(const Model&, const Neighbourhoods&, const JacobianOutputs&, int threads);
    void (*weighted_rows)(const Model&, const Neighbourhoods&, const WeightedRows&, int threads);
    Pairs (*find_pairs)(const std::vector<Periodic>&, double cutoff, int threads);
};

}  // namespace mentor
