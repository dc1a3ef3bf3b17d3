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
    static constexpr int vecs = 2, size = vecs * lanes;
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
};

/// Values of one atom, and what its sweeps need besides.
class AtomValues {
  public:
    explicit AtomValues(const Model& model) : model(model), program(*model.program) {
        S_.reserve(program.slot_count);
        A_.reserve(program.slot_count);
        products_.reserve(program.most_products);
        size_t all = 0;
        for (const Coupling& c : program.couplings) all += c.products();
        A_products_.reserve(all);
    }

    const Model& model;
    const Program& program;

    /// The moments, to be set before run().
    double* moments() { return S_.data(); }

    /// S and A from the moments of an atom of species z.
    void run(int z) {
        coeffs_ = &model.coeffs_of(z);
        double *S = S_.data(), *A = A_.data();
        forward<double>(program, S, products_.data());
        last_layer<double>(model, *coeffs_, S, A);
        for (const Partner& p : program.linear) A[p.slot] += coeffs_->zeta[p.invariant];
        backward<double>(program, S, A, products_.data());
        double* own = A_products_.data();
        for (const Coupling& c : program.couplings) {
            if (c.is_product())
                std::copy_n(A + c.target, c.products(), own);
            else
                apply<double>(program.spread, c.back_begin, c.back_begin + c.products(), A, own);
            own += c.products();
        }
    }

    const double* S() const { return S_.data(); }
    const double* A() const { return A_.data(); }
    /// dV/dp of the products p of all couplings, one after the other.
    const double* A_products() const { return A_products_.data(); }
    const InvariantCoeffs& coeffs() const { return *coeffs_; }

  private:
    const InvariantCoeffs* coeffs_ = nullptr;
    Buffer<double> S_, A_, products_, A_products_;
};

class Tangents {
  public:
    explicit Tangents(const AtomValues& values)
        : values_(values), model_(values.model), program_(values.program) {
        dS_.reserve(program_.slot_count);
        dA_.reserve(program_.slot_count);
        products_.reserve(program_.most_products);
    }

    /// Changes of the moments, to be set before forwards().
    Block* moments() { return dS_.data(); }

    /// dS of all slots.
    void forwards() {
        const double* S = values_.S();
        Block* dS = dS_.data();
        apply<double>(program_.tensors, dS, dS);
        for (const Coupling& c : program_.couplings) {
            Block* p = c.is_product() ? dS + c.target : products_.data();
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
        const double *left = values_.S() + each.left, *right = values_.S() + each.right;
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
        const double *S = values_.S(), *A = values_.A(), *A_products = values_.A_products();
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
        for (const Coupling& c : program_.couplings) {
            const Block* dA_products = dA + c.target;
            if (!c.is_product()) {
                const int end = c.back_begin + c.products();
                apply<double>(program_.spread, c.back_begin, end, dA, products_.data());
                dA_products = products_.data();
            }
            pull_changes(c, dA_products, A_products);
            A_products += c.products();
        }
        apply<double>(program_.tensors_back, dA, dA);
        return dA;
    }

  private:
    const AtomValues& values_;
    const Model& model_;
    const Program& program_;
    Buffer<Block> dS_, dA_, products_;

    /// d(left x right), as multiply() arranges the products.
    static void multiply_changes(const Coupling& c, const double* S, const Block* dS, Block* p) {
        const double *left = S + c.left, *right = S + c.right;
        const Block *dl = dS + c.left, *dr = dS + c.right;
        for_products(
            c.n_left, c.n_right,
            [&](int a, int b) {
                for (int i = 0; i < Block::vecs; ++i)
                    p[a * c.n_right + b].v[i] = right[b] * dl[a].v[i] + left[a] * dr[b].v[i];
            },
            [&](int a, int b) {
                Block *first = p + a * c.n_right + b, *second = first + c.n_right;
                const double l_re = left[a], l_im = left[a + 1];
                const double r_re = right[b], r_im = right[b + 1];
                for (int i = 0; i < Block::vecs; ++i) {
                    const vec dl_re = dl[a].v[i], dl_im = dl[a + 1].v[i];
                    const vec dr_re = dr[b].v[i], dr_im = dr[b + 1].v[i];
                    const vec rr = r_re * dl_re + l_re * dr_re, ii = r_im * dl_im + l_im * dr_im;
                    const vec ri = r_im * dl_re + l_re * dr_im, ir = r_re * dl_im + l_im * dr_re;
                    first[0].v[i] = rr - ii, first[1].v[i] = ri + ir;
                    second[0].v[i] = ir - ri, second[1].v[i] = rr + ii;
                }
            });
    }

    /// Changes of what pull_left() and pull_right() add, for derivatives A_p + dA_p of products.
    void pull_changes(const Coupling& c, const Block* dA_p, const double* A_p) {
        const double *left = values_.S() + c.left, *right = values_.S() + c.right;
        const Block *dl = dS_.data() + c.left, *dr = dS_.data() + c.right;
        Block *to_left = dA_.data() + c.left, *to_right = dA_.data() + c.right;
        for_products(
            c.n_left, c.n_right,
            [&](int a, int b) {
                const Block& here = dA_p[a * c.n_right + b];
                const double A = A_p[a * c.n_right + b];
                for (int i = 0; i < Block::vecs; ++i) {
                    to_left[a].v[i] += right[b] * here.v[i] + A * dr[b].v[i];
                    to_right[b].v[i] += left[a] * here.v[i] + A * dl[a].v[i];
                }
            },
            [&](int a, int b) {
                const Block *first = dA_p + a * c.n_right + b, *second = first + c.n_right;
                const double *A = A_p + a * c.n_right + b, *A_second = A + c.n_right;
                const double rr = A[0] + A_second[1], ri = A[1] - A_second[0];
                const double ir = A[1] + A_second[0], ii = A_second[1] - A[0];
                const double l_re = left[a], l_im = left[a + 1];
                const double r_re = right[b], r_im = right[b + 1];
                for (int i = 0; i < Block::vecs; ++i) {
                    const vec d_rr = first[0].v[i] + second[1].v[i];
                    const vec d_ri = first[1].v[i] - second[0].v[i];
                    const vec d_ir = first[1].v[i] + second[0].v[i];
                    const vec d_ii = second[1].v[i] - first[0].v[i];
                    const vec dl_re = dl[a].v[i], dl_im = dl[a + 1].v[i];
                    const vec dr_re = dr[b].v[i], dr_im = dr[b + 1].v[i];
                    to_left[a].v[i] += r_re * d_rr + r_im * d_ri + rr * dr_re + ri * dr_im;
                    to_left[a + 1].v[i] += r_re * d_ir + r_im * d_ii + ir * dr_re + ii * dr_im;
                    to_right[b].v[i] += l_re * d_rr + l_im * d_ir + rr * dl_re + ir * dl_im;
                    to_right[b + 1].v[i] += l_re * d_ri + l_im * d_ii + ri * dl_re + ii * dl_im;
                }
            });
    }

    /// As last_layer(), which is linear, for blocks: fewer components at a time.
    void last_layer_changes() {
        Block* dA = dA_.data();
        for (int i = program_.moment_count; i < program_.pair_begin; ++i) dA[i] = Block{};
        for (const Segment& segment : program_.segments) {
            int offset = 0, left = segment.length;
            for (; left > 5; left -= 4, offset += 4) components<4>(segment, offset);
            if (left == 1) components<1>(segment, offset);
            if (left == 2) components<2>(segment, offset);
            if (left == 3) components<3>(segment, offset);
            if (left == 4) components<4>(segment, offset);
            if (left == 5) components<5>(segment, offset);
        }
    }

    template <int n>
    void components(const Segment& segment, int offset) {
        const int* partners = program_.partner_slots.data();
        const double* coeffs = values_.coeffs().partners.doubles.data();
        Block total[n];
        for (Block& each : total) each = Block{};
        for (int p = segment.begin; p < segment.end; ++p) {
            const Block* other = dS_.data() + partners[p] + offset;
            for (int i = 0; i < n; ++i) total[i].add(coeffs[p], other[i]);
        }
        for (int i = 0; i < n; ++i) dA_.data()[segment.slot + offset + i] = total[i];
    }
};

}  // namespace mentor::MENTOR_ARCH
