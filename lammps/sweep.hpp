// Evaluates the atoms of one process, a chunk at a time, so that the memory does not grow with
// them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "loaded_potential.hpp"

namespace mentor::lammps {

constexpr int atom_mask = 0x1FFFFFFF;  // the bits of a neighbour that say which atom it is

/// The atoms of one process as LAMMPS holds them: those of its domain, then ghosts.
struct Atoms {
    int count;                // central atoms
    const int* centers;       // [count]
    const int* list_length;   // [atom]
    int* const* list;         // [atom][list_length], all within the cutoff and some beyond
    const double* positions;  // [all][3], Å
    const int32_t* types;     // [all], of the potential; -1: not an atom of this potential
    int64_t all;
};

/// Where results are added, except `grades`, which are set. Null pointers cost nothing.
struct Results {
    double* energy = nullptr;         // eV
    double* site_energies = nullptr;  // [all] eV
    double* forces = nullptr;         // [all][3] eV/Å
    double* virial = nullptr;         // [6] eV, xx yy zz yz xz xy
    double* site_virials = nullptr;   // [all][9] eV, -r_ij (x) dV_i/dr_ij of atom j
    double* grades = nullptr;         // [all]
    double* row_sums = nullptr;       // [parameters] dE/dtheta
};

class Sweep {
  public:
    /// One after another or, with more than one thread, several chunks at once.
    void operator()(const LoadedPotential& potential, bool mixed, const Atoms& atoms,
                    const Results& results, int threads);
    double bytes() const;

  private:
    /// The neighbourhoods of a chunk of atoms, and one thread's sums.
    struct Worker {
        std::vector<int64_t> offsets;
        std::vector<int32_t> centers, neighbours;
        std::vector<double> displacements, site_energies, grades;
        std::vector<double> forces, site_virials, row_sums;
        std::array<double, 6> virial;
        double energy;
    };
    std::vector<Worker> workers_;

    static void gather(double cutoff, const Atoms&, int begin, int end, Worker&);
    static void evaluate(const LoadedPotential&, bool mixed, const Atoms&, const Results&, Worker&);
};

}  // namespace mentor::lammps
