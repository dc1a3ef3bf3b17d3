// Running a program: values of the slots forwards, derivatives of the energy backwards.
//
// A value is a SIMD register of atoms in an Evaluator, and a double in the Jacobian.
#pragma once

#include "batch.hpp"
#include "model.hpp"
#include "products.hpp"

namespace mentor::MENTOR_ARCH {

/// Rows begin : end of `forms`.
template <class Real, class Value>
inline void apply(const Forms& forms, int begin, int end, const Value* source, Value* target) {
    const Real* factors = forms.factors.template data<Real>();
    const int* sources = forms.sources.data();
    for (const auto* row = forms.rows.data() + begin; row != forms.rows.data() + end; ++row) {
        Value total = Value{};
        for (int t = row->begin; t < row->end; ++t) total += factors[t] * source[sources[t]];
        target[row->target] = total;
    }
}
template <class Real, class Value>
inline void apply(const Forms& forms, const Value* source, Value* target) {
    apply<Real>(forms, 0, forms.size(), source, target);
}

/// All slots, from the moments. `products` has room for those of any coupling.
template <class Real, class Value>
inline void forward(const Program& program, Value* S, Value* products) {
    apply<Real>(program.tensors, S, S);
    for (const Coupling& c : program.couplings) {
        if (c.is_product()) {
            multiply(S + c.left, c.n_left, S + c.right, c.n_right, S + c.target);
        } else {
            multiply(S + c.left, c.n_left, S + c.right, c.n_right, products);
            apply<Real>(program.combine, c.begin, c.end, products, S);
        }
    }
    for (const Target& t : program.targets) {
        Value total = Value{};
        for (int p = t.begin; p < t.end; ++p) {
            const Product& x = program.products[p];
            total += static_cast<Real>(x.factor) * S[x.left] * S[x.right];
        }
        S[t.target] = total;
    }
}

/// R[slot : slot + n] = sum over the partners of coefficient * S[partner : partner + n].
template <int n, class Real, class Value>
inline void segment_derivative(const Segment& segment, const int* partners, const Real* coeffs,
                               int offset, const Value* S, Value* R) {
    Value total[n];
    for (int i = 0; i < n; ++i) total[i] = Value{};
    for (int p = segment.begin; p < segment.end; ++p) {
        const Real c = coeffs[p];
        const Value* other = S + partners[p] + offset;
        for (int i = 0; i < n; ++i) total[i] += c * other[i];
    }
    for (int i = 0; i < n; ++i) R[segment.slot + offset + i] = total[i];
}

/// Derivatives of V by all slots that occur in invariants; the others are zero or not yet set.
template <class Real, class Value>
inline void last_layer(const Model& model, const InvariantCoeffs& own, const Value* S, Value* R) {
    const Program& program = *model.program;
    const int* partners = program.partner_slots.data();
    const Real* coeffs = own.partners.template data<Real>();
    for (int i = program.moment_count; i < program.pair_begin; ++i) R[i] = Value{};
    for (const Segment& segment : program.segments) {
        int offset = 0, left = segment.length;
        while (left > 11) {
            segment_derivative<8>(segment, partners, coeffs, offset, S, R);
            offset += 8, left -= 8;
        }
        switch (left) {
            case 1:
                segment_derivative<1>(segment, partners, coeffs, offset, S, R);
                break;
            case 2:
                segment_derivative<2>(segment, partners, coeffs, offset, S, R);
                break;
            case 3:
                segment_derivative<3>(segment, partners, coeffs, offset, S, R);
                break;
            case 4:
                segment_derivative<4>(segment, partners, coeffs, offset, S, R);
                break;
            case 5:
                segment_derivative<5>(segment, partners, coeffs, offset, S, R);
                break;
            case 6:
                segment_derivative<6>(segment, partners, coeffs, offset, S, R);
                break;
            case 7:
                segment_derivative<7>(segment, partners, coeffs, offset, S, R);
                break;
            case 8:
                segment_derivative<8>(segment, partners, coeffs, offset, S, R);
                break;
            case 9:
                segment_derivative<9>(segment, partners, coeffs, offset, S, R);
                break;
            case 10:
                segment_derivative<10>(segment, partners, coeffs, offset, S, R);
                break;
            case 11:
                segment_derivative<11>(segment, partners, coeffs, offset, S, R);
                break;
        }
    }
}

/// From the derivatives by invariant slots to those by the moments; R is complete afterwards.
template <class Real, class Value>
inline void backward(const Program& program, const Value* S, Value* R, Value* products) {
    for (auto t = program.targets.rbegin(); t != program.targets.rend(); ++t) {
        const Value here = R[t->target];
        for (int p = t->begin; p < t->end; ++p) {
            const Product& x = program.products[p];
            const Value scaled = static_cast<Real>(x.factor) * here;
            R[x.left] += scaled * S[x.right];
            R[x.right] += scaled * S[x.left];
        }
    }
    for (const Coupling& c : program.couplings) {
        const Value* d_p = R + c.target;
        if (!c.is_product()) {
            apply<Real>(program.spread, c.back_begin, c.back_begin + c.products(), R, products);
            d_p = products;
        }
        pull_left(d_p, c.n_left, S + c.right, c.n_right, R + c.left);
        pull_right(d_p, S + c.left, c.n_left, c.n_right, R + c.right);
    }
    apply<Real>(program.tensors_back, R, R);
}

/// I_b of one invariant.
template <class Value>
inline Value invariant(const Invariant& each, const Value* S) {
    if (each.right < 0) return S[each.left];
    Value sum = Value{};
    for (int i = 0; i < each.length; ++i) sum += S[each.left + i] * S[each.right + i];
    return sum;
}

}  // namespace mentor::MENTOR_ARCH
