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

template <class Real>
struct Term {
    int source;
    Real factor;
};

/// S[target] = sum of factor * S[source] over the terms of each row.
struct Forms {
    struct Row {
        int target, begin, end;
    };
    std::vector<Row> rows;
    std::vector<Term<double>> terms;
    std::vector<Term<float>> single_terms;  // the same, for mixed precision

    template <class Real>
    const Term<Real>* program() const {
        if constexpr (std::is_same_v<Real, double>)
            return terms.data();
        else
            return single_terms.data();
    }

    void add(int target, const std::vector<Term<double>>& sum) {
        const int begin = static_cast<int>(terms.size());
        for (const auto& term : sum) {
            terms.push_back(term);
            single_terms.push_back({term.source, static_cast<float>(term.factor)});
        }
        rows.push_back({target, begin, static_cast<int>(terms.size())});
    }

    /// The forms that carry derivatives from targets back to the sources first : last.
    Forms transposed(int first, int last) const {
        std::vector<std::vector<Term<double>>> sums(last - first);
        for (const Row& row : rows)
            for (int t = row.begin; t < row.end; ++t)
                sums[terms[t].source - first].push_back({row.target, terms[t].factor});
        Forms result;
        for (int source = first; source < last; ++source) result.add(source, sums[source - first]);
        return result;
    }
};

/// S[target + a * n_right + b] = S[left + a] * S[right + b].
struct Outer {
    int left, n_left, right, n_right, target;
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
    int product_begin =
        0;  // of the slots from here on, derivatives are assigned before they are read
    int slot_count = 0;
    Forms tensors, tensors_back, couplings, couplings_back;
    std::vector<Outer> outers;
    std::vector<Target> targets;
    std::vector<Product> products;
    std::vector<Invariant> invariants;
    std::vector<std::vector<Term<double>>> scalars;  // W: B_alpha as a sum of invariants
    int coupled_begin = 0, coupled_end = 0;          // slots of the products that couplings read
    bool planned = false;

    std::vector<Segment> segments;
    std::vector<Partner> partners;
    std::vector<Partner> linear;  // invariants that are a slot

    int size() const { return static_cast<int>(invariants.size()); }

    /// zeta = W^T xi.
    std::vector<double> coefficients(const std::vector<double>& moment_coeffs) const {
        std::vector<double> zeta(invariants.size(), 0.0);
        for (size_t alpha = 0; alpha < scalars.size(); ++alpha)
            for (const auto& [b, factor] : scalars[alpha]) zeta[b] += factor * moment_coeffs[alpha];
        return zeta;
    }

    /// Multiplications (with addition, mostly) for the energy and its derivatives of one atom.
    int64_t operations() const {
        int64_t count = 2 * (tensors.terms.size() + couplings.terms.size()) + partners_length();
        for (const Outer& o : outers) count += 3 * static_cast<int64_t>(o.n_left) * o.n_right;
        return count + 5 * static_cast<int64_t>(products.size()) + linear.size();
    }

    /// What follows from the other members; to be called when they are complete.
    void finish() {
        tensors_back = tensors.transposed(0, moment_count);
        couplings_back = couplings.transposed(coupled_begin, coupled_end);
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
