// Derivatives of a program's values, of many columns at once.
//
// One SIMD lane is one column, a change of the moments; the values themselves are those of one
// atom. A forward sweep gives the changes dS of all slots and dI of the invariants, a backward
// sweep the changes dA of A = dV/dS: products of the Hessian of V with the columns.
#pragma once

#include "sweeps.hpp"

namespace mentor::MENTOR_ARCH {

/// As many columns as are swept together.
struct Block {
    static constexpr int vecs = 4, size = vecs * lanes;
    vec v[vecs];

    double& operator[](int i) { return reinterpret_cast<double*>(v)[i]; }
    double operator[](int i) const { return reinterpret_cast<const double*>(v)[i]; }
    Block& operator+=(const Block& x) {
        for (int i = 0; i < vecs; ++i) v[i] += x.v[i];
        return *this;
    }
    /// Adds a * x.
    void add(double a, const Block& x) {
        for (int i = 0; i < vecs; ++i) v[i] += a * x.v[i];
    }
    friend Block operator*(double a, const Block& x) {
        Block product;
        for (int i = 0; i < vecs; ++i) product.v[i] = a * x.v[i];
        return product;
    }
    friend Block operator*(const Block& x, double a) { return a * x; }
    friend Block operator+(Block x, const Block& y) { return x += y; }
    friend Block operator-(Block x, const Block& y) {
        for (int i = 0; i < vecs; ++i) x.v[i] -= y.v[i];
        return x;
    }
};

class Tangents {
  public:
    explicit Tangents(const Model& model) : model_(model), program_(*model.program) {
        S_.reserve(program_.slot_count);
        A_.reserve(program_.slot_count);
        dS_.reserve(program_.slot_count);
        dA_.reserve(program_.slot_count);
        products_.reserve(program_.most_products);
        dproducts_.reserve(program_.most_products);
        size_t all = 0;
        for (const Coupling& c : program_.couplings) all += c.products();
        A_products_.reserve(all);
    }

    /// The moments of an atom, to be set before values().
    double* moments() { return S_.data(); }

    /// S and A from the moments.
    void values() {
        double *S = S_.data(), *A = A_.data();
        forward<double>(program_, S, products_.data());
        last_layer<double>(model_, S, A);
        for (const Partner& p : program_.linear) A[p.slot] += model_.zeta[p.invariant];
        backward<double>(program_, S, A, products_.data());
        double* own = A_products_.data();
        for (const Coupling& c : program_.couplings) {
            if (c.is_product())
                std::copy_n(A + c.target, c.products(), own);
            else
                apply<double>(program_.spread, c.back_begin, c.back_begin + c.products(), A, own);
            own += c.products();
        }
    }

    const double* S() const { return S_.data(); }
    const double* A() const { return A_.data(); }

    /// Changes of the moments, to be set before forwards().
    Block* changes() { return dS_.data(); }

    /// dS of all slots.
    void forwards() {
        const double* S = S_.data();
        Block* dS = dS_.data();
        apply<double>(program_.tensors, dS, dS);
        for (const Coupling& c : program_.couplings) {
            Block* p = c.is_product() ? dS + c.target : dproducts_.data();
            multiply_changes(c, S, dS, p);
            if (!c.is_product()) apply<double>(program_.combine, c.begin, c.end, p, dS);
        }
        for (const Target& t : program_.targets) {
            Block total{};
            for (int p = t.begin; p < t.end; ++p) {
                const Product& x = program_.products[p];
                total.add(x.factor * S[x.right], dS[x.left]);
                total.add(x.factor * S[x.left], dS[x.right]);
            }
            dS[t.target] = total;
        }
    }

    /// dI_b, after forwards().
    Block invariant_change(int b) const {
        const Invariant& each = program_.invariants[b];
        const Block* dS = dS_.data() + each.left;
        if (each.right < 0) return dS[0];
        const double *left = S_.data() + each.left, *right = S_.data() + each.right;
        Block total{};
        if (each.left == each.right) {
            for (int i = 0; i < each.length; ++i) total.add(2 * right[i], dS[i]);
            return total;
        }
        const Block* dS_right = dS_.data() + each.right;
        for (int i = 0; i < each.length; ++i) {
            total.add(right[i], dS[i]);
            total.add(left[i], dS_right[i]);
        }
        return total;
    }

    /// dA of the moments, after forwards().
    const Block* backwards() {
        const double *S = S_.data(), *A = A_.data();
        const Block* dS = dS_.data();
        Block* dA = dA_.data();
        last_layer_changes();
        for (auto t = program_.targets.rbegin(); t != program_.targets.rend(); ++t)
            for (int p = t->begin; p < t->end; ++p) {
                const Product& x = program_.products[p];
                dA[x.left].add(x.factor * S[x.right], dA[t->target]);
                dA[x.right].add(x.factor * S[x.left], dA[t->target]);
                dA[x.left].add(x.factor * A[t->target], dS[x.right]);
                dA[x.right].add(x.factor * A[t->target], dS[x.left]);
            }
        const double* A_p = A_products_.data();
        for (const Coupling& c : program_.couplings) {
            const Block* dA_p = dA + c.target;
            if (!c.is_product()) {
                const int end = c.back_begin + c.products();
                apply<double>(program_.spread, c.back_begin, end, dA, dproducts_.data());
                dA_p = dproducts_.data();
            }
            pull_left(dA_p, c.n_left, S + c.right, c.n_right, dA + c.left);
            pull_right(dA_p, S + c.left, c.n_left, c.n_right, dA + c.right);
            pull_left(A_p, c.n_left, dS + c.right, c.n_right, dA + c.left);
            pull_right(A_p, dS + c.left, c.n_left, c.n_right, dA + c.right);
            A_p += c.products();
        }
        apply<double>(program_.tensors_back, dA, dA);
        return dA;
    }

  private:
    const Model& model_;
    const Program& program_;
    Buffer<double> S_, A_, products_, A_products_;
    Buffer<Block> dS_, dA_, dproducts_;

    /// d(left x right), as multiply() arranges the products.
    static void multiply_changes(const Coupling& c, const double* S, const Block* dS, Block* p) {
        const double *left = S + c.left, *right = S + c.right;
        const Block *dl = dS + c.left, *dr = dS + c.right;
        const auto change = [&](int a, int b) {
            Block x = right[b] * dl[a];
            x.add(left[a], dr[b]);
            return x;
        };
        for_products(
            c.n_left, c.n_right, [&](int a, int b) { p[a * c.n_right + b] = change(a, b); },
            [&](int a, int b) {
                Block *first = p + a * c.n_right + b, *second = first + c.n_right;
                const Block rr = change(a, b), ii = change(a + 1, b + 1);
                first[0] = rr - ii, second[1] = rr + ii;
                const Block ri = change(a, b + 1), ir = change(a + 1, b);
                first[1] = ri + ir, second[0] = ir - ri;
            });
    }

    /// As last_layer(), which is linear, for blocks: fewer components at a time.
    void last_layer_changes() {
        Block* dA = dA_.data();
        for (int i = program_.moment_count; i < program_.pair_begin; ++i) dA[i] = Block{};
        for (const Segment& segment : program_.segments) {
            int offset = 0;
            for (int left = segment.length; left > 0;) {
                const int count = left == 4 ? 2 : std::min(left, 3);
                if (count == 1) components<1>(segment, offset);
                if (count == 2) components<2>(segment, offset);
                if (count == 3) components<3>(segment, offset);
                offset += count, left -= count;
            }
        }
    }

    template <int n>
    void components(const Segment& segment, int offset) {
        const int* partners = program_.partner_slots.data();
        const double* coeffs = model_.partner_coeffs.doubles.data();
        Block total[n] = {};
        for (int p = segment.begin; p < segment.end; ++p) {
            const Block* other = dS_.data() + partners[p] + offset;
            for (int i = 0; i < n; ++i) total[i].add(coeffs[p], other[i]);
        }
        for (int i = 0; i < n; ++i) dA_.data()[segment.slot + offset + i] = total[i];
    }
};

}  // namespace mentor::MENTOR_ARCH
