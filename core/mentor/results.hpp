// Where results of evaluate go: plain arrays owned by the caller. Null pointers cost nothing.
#pragma once

namespace mentor {

struct ActiveSetInverse;

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

}  // namespace mentor
