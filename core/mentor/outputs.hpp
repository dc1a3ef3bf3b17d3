// Where results go: plain arrays owned by the caller. Null pointers cost nothing.
#pragma once

#include "grade.hpp"
#include "model.hpp"
#include "neighbourhoods.hpp"
#include "pairs.hpp"

namespace mentor {

/// Results of evaluate. Forces, virials and row_sums are sums and must be zero on entry.
struct Outputs {
    double* site_energies = nullptr;  // [atoms] eV
    double* forces = nullptr;         // [all_atoms][3] eV/Å
    double* virials = nullptr;        // [structures][6] eV, xx yy zz yz xz xy
    double* site_virials = nullptr;   // [all_atoms][9] eV, -r_ij (x) dV_i/dr_ij of atom j
    double* basis = nullptr;          // [atoms][scalars] B_alpha
    double* rows = nullptr;           // [atoms][parameters] dV_i/dtheta
    double* row_sums = nullptr;       // [structures][parameters] dE/dtheta, zero on entry
    double* grades = nullptr;         // [atoms] extrapolation grades by active_set
    const ActiveSetInverse* active_set = nullptr;

    bool derivatives() const { return forces || virials || site_virials; }
    bool needs_rows() const { return rows || row_sums || grades; }
    bool needs_basis() const { return basis || needs_rows(); }
};

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
