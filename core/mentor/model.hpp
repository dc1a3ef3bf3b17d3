// A potential compiled for evaluation: checked, and with its moments reduced to independent ones.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace mentor {

enum class RadialBasis {
    RBChebyshev,         // T_k(t) (r - max_dist)^2
    RBChebyshev_repuls,  // the same, frozen below min_dist, plus a repulsive exponential there
    BChebyshev           // T_k(t)
};

/// The numbers of an .mtp file (Å, eV), as they stand there.
struct PotentialData {
    RadialBasis radial_basis_type;
    double scaling, min_dist, max_dist;
    int species_count, radial_funcs_count, radial_basis_size, alpha_moments_count;
    std::vector<double> radial_coeffs;                  // [z_i][z_j][mu][k]
    std::vector<double> species_coeffs, moment_coeffs;  // [z], [alpha]
    std::vector<std::array<int, 4>> alpha_index_basic;  // {mu, a, b, c}
    std::vector<std::array<int, 4>> alpha_index_times;  // {i, j, m, k}
    std::vector<int> alpha_moment_mapping;              // [alpha]
};

constexpr int max_radial_funcs = 32;

/// Monomial x^a y^b z^c of the unit vector, c <= 1, as a product of its parent and one component.
struct Monomial {
    int a, b, c;
    int parent, axis;
};

/// M[target] = M[plus] - M[minus_x] - M[minus_y]: z^2 = 1 - x^2 - y^2 on the unit sphere.
struct Expansion {
    int target, plus, minus_x, minus_y;
};

/// M[target] += sum over its products of factor * M[left] * M[right].
template <class Real>
struct Product {
    int left, right;
    Real factor;
};
struct Target {
    int target, begin, end;  // its products
};

/// The evaluation program of a potential.
///
/// Moments live in `slot_count` slots: first the reduced basic moments (z-power <= 1; those of mu
/// start at reduced_begin[mu], one per monomial of degree <= degree[mu]), then the other basic
/// moments, obtained by `expansions`, then the products of the contraction schedule.
struct Model {
    PotentialData data;
    std::vector<double> coeffs;            // scaling * radial_coeffs, [z_i][z_j][mu][k]
    std::vector<Monomial> monomial_table;  // (highest_degree + 1)^2, as in monomials.hpp
    int highest_degree = 0;
    std::vector<int> reduced_begin, monomial_count;  // per mu
    int reduced_count = 0, slot_count = 0;
    std::vector<Expansion> expansions;
    std::vector<Target> targets;
    std::vector<Product<double>> products;
    std::vector<Product<float>> single_products;  // the same, for mixed precision
    std::vector<int> scalar_slots;                // of B_alpha

    template <class Real>
    const Product<Real>* program() const {
        if constexpr (std::is_same_v<Real, double>)
            return products.data();
        else
            return single_products.data();
    }

    int species() const { return data.species_count; }
    int radial_funcs() const { return data.radial_funcs_count; }
    int basis_size() const { return data.radial_basis_size; }
    int monomials() const { return static_cast<int>(monomial_table.size()); }
    int scalars() const { return static_cast<int>(scalar_slots.size()); }
    /// Number of radial coefficients of one central species.
    int radial_block() const { return species() * radial_funcs() * basis_size(); }
    int radial_parameters() const { return species() * radial_block(); }
    int parameters() const { return radial_parameters() + species() + scalars(); }

    explicit Model(PotentialData potential) : data(std::move(potential)) {
        check();
        coeffs = data.radial_coeffs;
        for (double& c : coeffs) c *= data.scaling;
        reduce_basic_moments();
        order_products();
    }

  private:
    std::map<std::array<int, 4>, int> slot_of_;  // {mu, a, b, c} -> slot
    std::vector<int> slot_of_moment_;            // index in the file -> slot

    static void require(bool condition, const std::string& what) {
        if (!condition) throw std::invalid_argument(what);
    }

    void check() const {
        const size_t C = data.species_count, K = data.radial_funcs_count,
                     R = data.radial_basis_size;
        require(C > 0 && K > 0 && R > 0,
                "species, radial functions and basis size must be positive");
        require(K <= max_radial_funcs, "there are more than 32 radial functions");
        require(data.max_dist > data.min_dist && data.min_dist >= 0,
                "max_dist must exceed min_dist");
        require(data.radial_coeffs.size() == C * C * K * R, "radial_coeffs have the wrong size");
        require(data.species_coeffs.size() == C, "species_coeffs have the wrong size");
        require(data.moment_coeffs.size() == data.alpha_moment_mapping.size(),
                "moment_coeffs and alpha_moment_mapping differ in size");
        const int count = data.alpha_moments_count;
        require(count >= static_cast<int>(data.alpha_index_basic.size()),
                "alpha_moments_count is smaller than alpha_index_basic");
        for (const auto& row : data.alpha_index_basic)
            require(row[0] >= 0 && row[0] < static_cast<int>(K) && row[1] >= 0 && row[2] >= 0 &&
                        row[3] >= 0 && row[1] + row[2] + row[3] <= 64,
                    "alpha_index_basic has a row out of range");
        const int basic = static_cast<int>(data.alpha_index_basic.size());
        for (const auto& [i, j, m, k] : data.alpha_index_times)
            require(i >= 0 && j >= 0 && i < count && j < count && k >= basic && k < count &&
                        k != i && k != j,
                    "alpha_index_times has a row out of range");
        for (int k : data.alpha_moment_mapping)
            require(k >= 0 && k < count, "alpha_moment_mapping has an entry out of range");
    }

    void reduce_basic_moments() {
        const int K = radial_funcs();
        std::vector<int> degree(K, -1);
        for (const auto& [mu, a, b, c] : data.alpha_index_basic)
            degree[mu] = std::max(degree[mu], a + b + c);
        // What M_{mu,nu} needs, lower mu have too: the kernel treats common monomials together.
        for (int mu = K - 2; mu >= 0; --mu) degree[mu] = std::max(degree[mu], degree[mu + 1]);
        const int highest = highest_degree = degree[0];
        std::map<std::array<int, 3>, int> index;
        for (int nu = 0; nu <= highest; ++nu) {
            for (int c = 0; c <= std::min(nu, 1); ++c) {
                for (int a = nu - c; a >= 0; --a) {
                    const int b = nu - c - a;
                    Monomial monomial{a, b, c, -1, -1};
                    if (a > 0)
                        monomial.parent = index.at({a - 1, b, c}), monomial.axis = 0;
                    else if (b > 0)
                        monomial.parent = index.at({a, b - 1, c}), monomial.axis = 1;
                    else if (c > 0)
                        monomial.parent = index.at({a, b, c - 1}), monomial.axis = 2;
                    index[{a, b, c}] = static_cast<int>(monomial_table.size());
                    monomial_table.push_back(monomial);
                }
            }
        }
        for (int mu = 0; mu < K; ++mu) {
            reduced_begin.push_back(reduced_count);
            monomial_count.push_back((degree[mu] + 1) * (degree[mu] + 1));
            for (int i = 0; i < monomial_count[mu]; ++i) {
                const auto& m = monomial_table[i];
                slot_of_[{mu, m.a, m.b, m.c}] = reduced_count++;
            }
        }
        slot_count = reduced_count;
        for (const auto& row : data.alpha_index_basic) slot_of_moment_.push_back(expand(row));
    }

    /// The slot of a basic moment, expressed through reduced ones where its z-power is above 1.
    int expand(const std::array<int, 4>& row) {
        if (const auto found = slot_of_.find(row); found != slot_of_.end()) return found->second;
        const auto [mu, a, b, c] = row;
        const int plus = expand({mu, a, b, c - 2});
        const int minus_x = expand({mu, a + 2, b, c - 2});
        const int minus_y = expand({mu, a, b + 2, c - 2});
        expansions.push_back({slot_count, plus, minus_x, minus_y});
        return slot_of_[row] = slot_count++;
    }

    /// Group the products by their target, in an order in which every factor is complete when read.
    void order_products() {
        const int basic = static_cast<int>(data.alpha_index_basic.size());
        const int count = data.alpha_moments_count;
        const auto& times = data.alpha_index_times;
        std::vector<int> last_write(count, -1), rows_of(count, 0);
        for (size_t row = 0; row < times.size(); ++row)
            last_write[times[row][3]] = static_cast<int>(row), ++rows_of[times[row][3]];
        for (size_t row = 0; row < times.size(); ++row)
            require(last_write[times[row][0]] < static_cast<int>(row) &&
                        last_write[times[row][1]] < static_cast<int>(row),
                    "alpha_index_times reads a moment before it is complete");
        std::vector<int> order;
        for (int k = basic; k < count; ++k) order.push_back(k);
        std::stable_sort(order.begin(), order.end(),
                         [&](int p, int q) { return last_write[p] < last_write[q]; });
        slot_of_moment_.resize(count);
        int begin = 0;
        for (int k : order) {
            slot_of_moment_[k] = slot_count;
            targets.push_back({slot_count++, begin, begin + rows_of[k]});
            begin += rows_of[k];
        }
        products.resize(times.size());
        std::vector<int> next(count);
        for (size_t t = 0; t < order.size(); ++t) next[order[t]] = targets[t].begin;
        for (const auto& [i, j, m, k] : times)
            products[next[k]++] = {slot_of_moment_[i], slot_of_moment_[j], static_cast<double>(m)};
        for (const auto& p : products)
            single_products.push_back({p.left, p.right, static_cast<float>(p.factor)});
        for (int k : data.alpha_moment_mapping) scalar_slots.push_back(slot_of_moment_[k]);
    }
};

}  // namespace mentor
