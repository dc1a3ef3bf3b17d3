// A potential compiled for evaluation.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "plan.hpp"
#include "short_range.hpp"

namespace mentor {

enum class RadialBasis {
    RBChebyshev,         // T_k(t) (r - max_dist)^2
    RBChebyshev_repuls,  // the same, frozen below min_dist, plus a repulsive exponential there
    BChebyshev,          // T_k(t)
    RBChebyshev_zbl      // RBChebyshev with a short-range core (short_range.hpp)
};

/// The numbers of an .mtp file (Å, eV), as they stand there.
struct PotentialData {
    RadialBasis radial_basis_type;
    double scaling, min_dist, max_dist;
    int species_count, radial_funcs_count, radial_basis_size, alpha_moments_count;
    std::vector<double> radial_coeffs;                  // [z_i][z_j][mu][k]
    std::vector<double> species_coeffs;                 // [z]
    std::vector<double> moment_coeffs;                  // [alpha], or [z_i][alpha]
    std::vector<std::array<int, 4>> alpha_index_basic;  // {mu, a, b, c}
    std::vector<std::array<int, 4>> alpha_index_times;  // {i, j, m, k}
    std::vector<int> alpha_moment_mapping;              // [alpha]
    std::vector<int> atomic_numbers;                    // [z], of RBChebyshev_zbl
    std::vector<double> core_radii;                     // [z_i][z_j], of RBChebyshev_zbl
};

/// Coefficients of a program's invariants, zeta = W^T xi, for atoms of one species or of all.
struct InvariantCoeffs {
    std::vector<double> zeta;
    Numbers partners;  // zeta * count of the partners in the program

    InvariantCoeffs(const Program& program, const double* moment_coeffs)
        : zeta(program.coefficients(moment_coeffs)) {
        std::vector<double> values;
        for (const Partner& p : program.partners) values.push_back(zeta[p.invariant] * p.count);
        partners = Numbers(std::move(values));
    }
};

/// Whether a model runs the plan of its basis or, as an independent check, the schedule itself.
enum class Contraction { plan, schedule };

struct Model {
    PotentialData data;
    std::shared_ptr<const Program> program;
    std::vector<int> degree, reduced_begin;  // of the moments, per mu (schedule.hpp)
    int highest_degree = 0;
    Numbers coeffs;                                 // scaling * radial_coeffs, [z_i][z_j][mu][k]
    Numbers slopes;                                 // df/dt as a sum of T_k, [z_i][z_j][mu][k]
    std::vector<InvariantCoeffs> invariant_coeffs;  // [set], of moment_coeffs
    std::vector<ShortRangeCore> cores;              // [z_i][z_j], empty for all but RBChebyshev_zbl
    std::vector<double> core_reach;  // largest radius of the cores of each species, Å

    int species() const { return data.species_count; }
    int radial_funcs() const { return data.radial_funcs_count; }
    int basis_size() const { return data.radial_basis_size; }
    int scalars() const { return static_cast<int>(data.alpha_moment_mapping.size()); }
    /// Number of angular functions up to the highest degree.
    int angulars() const { return (highest_degree + 1) * (highest_degree + 1); }
    int reduced_size(int mu) const { return (degree[mu] + 1) * (degree[mu] + 1); }
    /// Number of radial coefficients of one central species.
    int radial_block() const { return species() * radial_funcs() * basis_size(); }
    int radial_parameters() const { return species() * radial_block(); }
    /// Sets of moment_coeffs: 1 that all species share, or one for each.
    int moment_sets() const { return static_cast<int>(invariant_coeffs.size()); }
    /// The set of atoms of species z.
    int moment_set(int z) const { return moment_sets() == 1 ? 0 : z; }
    const InvariantCoeffs& coeffs_of(int z) const { return invariant_coeffs[moment_set(z)]; }
    int parameters() const { return radial_parameters() + species() + moment_sets() * scalars(); }

    explicit Model(PotentialData potential, Contraction contraction = Contraction::plan)
        : data(std::move(potential)) {
        check();
        Schedule schedule(radial_funcs(), data.alpha_moments_count, data.alpha_index_basic,
                          data.alpha_index_times, data.alpha_moment_mapping);
        degree = schedule.degree;
        reduced_begin = schedule.reduced_begin;
        for (int d : degree) highest_degree = std::max(highest_degree, d);
        program = program_of(std::move(schedule), contraction);
        std::vector<double> c = data.radial_coeffs;
        for (double& x : c) x *= data.scaling;
        slopes = Numbers(derivatives(c));
        coeffs = Numbers(std::move(c));
        const int sets = data.moment_coeffs.size() > static_cast<size_t>(scalars()) ? species() : 1;
        for (int set = 0; set < sets; ++set)
            invariant_coeffs.emplace_back(*program, data.moment_coeffs.data() + set * scalars());
        core_reach.assign(species(), 0.0);
        for (size_t pair = 0; pair < data.core_radii.size(); ++pair) {
            const size_t i = pair / species(), j = pair % species();
            cores.emplace_back(data.core_radii[pair], data.atomic_numbers[i],
                               data.atomic_numbers[j]);
            core_reach[i] = std::max(core_reach[i], data.core_radii[pair]);
        }
    }

  private:
    static void require(bool condition, const std::string& what) {
        if (!condition) throw std::invalid_argument(what);
    }

    void check() const {
        const size_t C = data.species_count, K = data.radial_funcs_count,
                     R = data.radial_basis_size;
        require(C > 0 && K > 0 && R > 0,
                "species, radial functions and basis size must be positive");
        require(data.max_dist > data.min_dist && data.min_dist >= 0,
                "max_dist must exceed min_dist");
        require(data.radial_coeffs.size() == C * C * K * R, "radial_coeffs have the wrong size");
        require(data.species_coeffs.size() == C, "species_coeffs have the wrong size");
        const size_t n = data.alpha_moment_mapping.size();
        require(data.moment_coeffs.size() == n || data.moment_coeffs.size() == C * n,
                "moment_coeffs must have one number for each of alpha_moment_mapping, or for each "
                "species so many");
        check_core();
    }

    void check_core() const {
        const size_t C = data.species_count;
        if (data.radial_basis_type != RadialBasis::RBChebyshev_zbl) {
            require(data.core_radii.empty(), "core_radii belong to RBChebyshev_zbl only");
            return;
        }
        require(data.core_radii.size() == C * C, "core_radii have the wrong size");
        require(data.atomic_numbers.size() == C, "the core needs the element of each species");
        for (size_t i = 0; i < C; ++i)
            for (size_t j = 0; j < C; ++j) {
                const double radius = data.core_radii[i * C + j];
                require(radius >= 0 && radius <= data.max_dist,
                        "core_radii must lie between 0 and max_dist");
                require(radius == data.core_radii[j * C + i], "core_radii must be symmetric");
            }
    }

    /// sum_k c_k T_k'(t) = sum_k d_k T_k(t), with d_{k-1} = d_{k+1} + 2 k c_k and d_0 halved.
    std::vector<double> derivatives(const std::vector<double>& c) const {
        const int R = basis_size();
        std::vector<double> d(c.size(), 0.0);
        for (size_t row = 0; row < c.size(); row += R) {
            for (int k = R - 1; k > 0; --k)
                d[row + k - 1] = (k + 1 < R ? d[row + k + 1] : 0.0) + 2 * k * c[row + k];
            d[row] /= 2;
        }
        return d;
    }

    /// Plans are made once for each basis: potentials of a fit differ in coefficients only.
    static std::shared_ptr<const Program> program_of(Schedule schedule, Contraction contraction) {
        if (contraction == Contraction::schedule)
            return std::make_shared<const Program>(schedule.program());
        constexpr size_t most = 16;
        static std::mutex mutex;
        static std::map<Schedule, std::shared_ptr<const Program>> known;
        const std::lock_guard<std::mutex> lock(mutex);
        const auto found = known.find(schedule);
        if (found != known.end()) return found->second;
        if (known.size() >= most) known.clear();
        auto program = std::make_shared<const Program>(Planner(schedule)());
        known.emplace(std::move(schedule), program);
        return program;
    }
};

}  // namespace mentor
