// How the energy follows from the moments: what an Evaluator runs for every batch of atoms.
//
// Values live in slots. The reduced basic moments come first; `tensors` are linear in them,
// `outers` and `targets` multiply, `couplings` are linear in products, and the energy is a
// quadratic form of slots: V = sum_b zeta_b I_b, where an invariant I_b is a slot or the dot
// product of two segments of slots, and B_alpha = sum_b W[alpha, b] I_b. The derivative of V with
// respect to a segment, R_a = sum_b zeta_ab S_b, is all the last layer has to compute: V follows
// from it.
//
// A Program is made once for each basis, by plan.hpp, or straight from the contraction schedule.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace mentor {

/// Numbers in double and, for mixed precision, in single precision.
struct Numbers {
    std::vector<double> doubles;
    std::vector<float> singles;

    Numbers() = default;
    explicit Numbers(std::vector<double> values)
        : doubles(std::move(values)), singles(doubles.begin(), doubles.end()) {}

    void push_back(double x) {
        doubles.push_back(x);
        singles.push_back(static_cast<float>(x));
    }
    template <class Real>
    const Real* data() const {
        if constexpr (std::is_same_v<Real, double>)
            return doubles.data();
        else
            return singles.data();
    }
};

struct Term {
    int source;
    double factor;
};
struct Sum {
    int target;
    std::vector<Term> terms;
};

/// S[target] = sum of factor * S[source] over the terms of each row, packed for speed.
struct Forms {
    struct Row {
        int target, begin, end;
    };
    std::vector<Row> rows;
    std::vector<int> sources;
    Numbers factors;

    int size() const { return static_cast<int>(rows.size()); }
    int64_t terms() const { return static_cast<int64_t>(sources.size()); }

    /// Adds rows, the shortest first, so that a processor foresees where each ends.
    void add(std::vector<Sum> sums) {
        std::stable_sort(sums.begin(), sums.end(), [](const Sum& a, const Sum& b) {
            return a.terms.size() < b.terms.size();
        });
        for (const Sum& sum : sums) {
            const int begin = static_cast<int>(sources.size());
            for (const Term& term : sum.terms) {
                sources.push_back(term.source);
                factors.push_back(term.factor);
            }
            rows.push_back({sum.target, begin, static_cast<int>(sources.size())});
        }
    }

    /// Adds to `result` the rows that carry derivatives from rows begin : end back to the sources
    /// 0 : sources.
    void transpose(int begin, int end, int source_count, Forms& result) const {
        std::vector<Sum> sums(source_count);
        for (int source = 0; source < source_count; ++source) sums[source].target = source;
        for (int row = begin; row < end; ++row)
            for (int t = rows[row].begin; t < rows[row].end; ++t)
                sums[sources[t]].terms.push_back({rows[row].target, factors.doubles[t]});
        result.add(std::move(sums));
    }
};

/// Tensors bilinear in the harmonics left : left + n_left and right : right + n_right.
///
/// Where one of them is a scalar, the tensor is their product and stands at `target`. Otherwise the
/// products of components (products.hpp) are combined by `combine` rows begin : end; derivatives go
/// back by as many rows of `spread` as there are products, from back_begin on.
struct Coupling {
    int left, n_left, right, n_right, target, begin, end, back_begin;

    bool is_product() const { return n_left == 1 || n_right == 1; }
    int products() const { return n_left * n_right; }
};

/// S[target] = sum over its products of factor * S[left] * S[right]; only in schedules.
struct Product {
    int left, right;
    double factor;
};
struct Target {
    int target, begin, end;
};

/// S[left], or the dot product of two segments of `length` slots.
struct Invariant {
    int left, right, length;  // right = -1: S[left] alone
};

/// The slots slot : slot + length, which occur in invariants with its partners begin : end.
struct Segment {
    int slot, length, begin, end;
};
struct Partner {
    int slot, invariant;
    double count;  // dI/dS[segment] = count * S[slot]
};

struct Program {
    int moment_count = 0;  // slots 0 : moment_count
    int pair_begin = 0;    // coupled tensors, each of which is a segment; none in a schedule
    int slot_count = 0;
    Forms tensors, tensors_back;
    std::vector<Coupling> couplings;
    Forms combine, spread;
    int most_products = 0;  // of one coupling
    std::vector<Target> targets;
    std::vector<Product> products;
    std::vector<Invariant> invariants;
    std::vector<std::vector<Term>> scalars;  // W: B_alpha as a sum of invariants
    bool planned = false;

    std::vector<Segment> segments;
    std::vector<Partner> partners;
    std::vector<int> partner_slots;  // the same, packed
    std::vector<Partner> linear;     // invariants that are a slot

    int size() const { return static_cast<int>(invariants.size()); }

    /// zeta = W^T xi.
    std::vector<double> coefficients(const double* moment_coeffs) const {
        std::vector<double> zeta(invariants.size(), 0.0);
        for (size_t alpha = 0; alpha < scalars.size(); ++alpha)
            for (const auto& [b, factor] : scalars[alpha]) zeta[b] += factor * moment_coeffs[alpha];
        return zeta;
    }

    /// Multiplications (with addition, mostly) for the energy and its derivatives of one atom.
    int64_t operations() const {
        int64_t count = 2 * (tensors.terms() + combine.terms()) + partners_length();
        for (const Coupling& each : couplings) count += 3 * each.products();
        return count + 5 * static_cast<int64_t>(products.size()) + linear.size();
    }

    /// What follows from the other members; to be called when they are complete.
    void finish() {
        tensors.transpose(0, tensors.size(), moment_count, tensors_back);
        for (const Coupling& each : couplings)
            most_products = std::max(most_products, each.products());
        std::vector<std::vector<Partner>> of(slot_count);
        std::vector<int> length(slot_count, 0);
        for (int b = 0; b < size(); ++b) {
            const Invariant& each = invariants[b];
            if (each.right < 0) {
                linear.push_back({each.left, b, 1.0});
                continue;
            }
            length[each.left] = length[each.right] = each.length;
            const bool square = each.left == each.right;
            of[each.left].push_back({each.right, b, square ? 2.0 : 1.0});
            if (!square) of[each.right].push_back({each.left, b, 1.0});
        }
        for (int slot = 0; slot < slot_count; ++slot) {
            if (of[slot].empty()) continue;
            const int begin = static_cast<int>(partners.size());
            std::sort(of[slot].begin(), of[slot].end(),
                      [](const Partner& p, const Partner& q) { return p.slot < q.slot; });
            partners.insert(partners.end(), of[slot].begin(), of[slot].end());
            for (const Partner& p : of[slot]) partner_slots.push_back(p.slot);
            segments.push_back({slot, length[slot], begin, static_cast<int>(partners.size())});
        }
    }

  private:
    int64_t partners_length() const {
        int64_t count = 0;
        for (const Segment& s : segments)
            count += static_cast<int64_t>(s.length) * (s.end - s.begin);
        return count;
    }
};

}  // namespace mentor
