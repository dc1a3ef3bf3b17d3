// A contraction schedule, checked, with its basic moments expressed through reduced ones.
#pragma once

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "harmonics.hpp"
#include "program.hpp"

namespace mentor {

/// The make-up of the scalars of an .mtp file.
///
/// Basic moments M_{mu,abc} = sum_j f_mu(r_j) x^a y^b z^c are sums of the reduced moments, those of
/// the (degree[mu] + 1)^2 angular functions (harmonics.hpp), which start at reduced_begin[mu].
struct Schedule {
    int moments = 0;                         // alpha_moments_count
    std::vector<std::array<int, 4>> basic;   // alpha_index_basic {mu, a, b, c}
    std::vector<std::array<int, 4>> times;   // alpha_index_times {i, j, m, k}
    std::vector<int> mapping;                // alpha_moment_mapping
    std::vector<int> degree, reduced_begin;  // per mu

    int radial_funcs() const { return static_cast<int>(degree.size()); }
    int reduced_size(int mu) const { return (degree[mu] + 1) * (degree[mu] + 1); }
    int reduced_count() const {
        return reduced_begin.empty() ? 0 : reduced_begin.back() + reduced_size(radial_funcs() - 1);
    }

    Schedule(int radial_funcs, int moments_count, std::vector<std::array<int, 4>> index_basic,
             std::vector<std::array<int, 4>> index_times, std::vector<int> moment_mapping)
        : moments(moments_count),
          basic(std::move(index_basic)),
          times(std::move(index_times)),
          mapping(std::move(moment_mapping)),
          degree(radial_funcs, 0) {
        check();
        for (const auto& [mu, a, b, c] : basic) degree[mu] = std::max(degree[mu], a + b + c);
        int begin = 0;
        for (int mu = 0; mu < radial_funcs; ++mu) {
            reduced_begin.push_back(begin);
            begin += reduced_size(mu);
        }
    }

    bool operator<(const Schedule& other) const {
        return std::tie(moments, degree, mapping, basic, times) <
               std::tie(other.moments, other.degree, other.mapping, other.basic, other.times);
    }

    /// The schedule as it is: its products one by one, in an order in which factors are complete.
    Program program() const {
        Program result;
        result.moment_count = reduced_count();
        int slot = result.moment_count;
        std::vector<int> slot_of(moments, -1), last_write(moments, -1), rows_of(moments, 0);
        std::vector<Sum> components;
        for (size_t i = 0; i < basic.size(); ++i) {
            const auto& [mu, a, b, c] = basic[i];
            Sum sum{slot_of[i] = slot++, {}};
            for (const auto& [index, coefficient] : monomial(a, b, c))
                sum.terms.push_back({reduced_begin[mu] + index, coefficient});
            components.push_back(std::move(sum));
        }
        result.tensors.add(std::move(components));
        for (size_t row = 0; row < times.size(); ++row)
            last_write[times[row][3]] = static_cast<int>(row), ++rows_of[times[row][3]];
        for (size_t row = 0; row < times.size(); ++row)
            require(last_write[times[row][0]] < static_cast<int>(row) &&
                        last_write[times[row][1]] < static_cast<int>(row),
                    "alpha_index_times reads a moment before it is complete");
        std::vector<int> order;
        for (int k = static_cast<int>(basic.size()); k < moments; ++k) order.push_back(k);
        std::stable_sort(order.begin(), order.end(),
                         [&](int p, int q) { return last_write[p] < last_write[q]; });
        std::vector<int> next(moments);
        int begin = 0;
        for (int k : order) {
            slot_of[k] = slot;
            result.targets.push_back({slot++, begin, begin + rows_of[k]});
            next[k] = begin;
            begin += rows_of[k];
        }
        result.products.resize(times.size());
        for (const auto& [i, j, m, k] : times)
            result.products[next[k]++] = {slot_of[i], slot_of[j], static_cast<double>(m)};
        result.pair_begin = result.slot_count = slot;
        for (int k : mapping) {
            result.scalars.push_back({{result.size(), 1.0}});
            result.invariants.push_back({slot_of[k], -1, 1});
        }
        result.finish();
        return result;
    }

  private:
    static void require(bool condition, const std::string& what) {
        if (!condition) throw std::invalid_argument(what);
    }

    void check() const {
        require(moments >= static_cast<int>(basic.size()),
                "alpha_moments_count is smaller than alpha_index_basic");
        const int K = radial_funcs(), first = static_cast<int>(basic.size());
        for (const auto& row : basic)
            require(row[0] >= 0 && row[0] < K && row[1] >= 0 && row[2] >= 0 && row[3] >= 0 &&
                        row[1] + row[2] + row[3] <= 64,
                    "alpha_index_basic has a row out of range");
        for (const auto& [i, j, m, k] : times)
            require(i >= 0 && j >= 0 && i < moments && j < moments && k >= first && k < moments &&
                        k != i && k != j,
                    "alpha_index_times has a row out of range");
        for (int k : mapping)
            require(k >= 0 && k < moments, "alpha_moment_mapping has an entry out of range");
    }
};

}  // namespace mentor
