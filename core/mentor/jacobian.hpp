// Derivatives of energies, forces and virials of one structure with respect to all parameters.
//
// Atom by atom; one SIMD lane is one parameter. With A = dV/dM and its derivatives D = dA/dtheta
// (one forward-over-reverse sweep of the schedule per block of parameters),
//   d(dV/dr_j)/dtheta = sum_i D_i dM_i/dr_j + sum_i A_i d(dM_i/dr_j)/dtheta,
// whose first term is a matrix product over the basic moments and whose second touches only the
// radial coefficients c[z_i, z_j, mu, k].
#pragma once

#include "batch.hpp"
#include "outputs.hpp"
#include "parallel.hpp"

namespace mentor::MENTOR_ARCH {

/// Rows to fill, zero on entry; null pointers cost nothing. m = model.parameters().
struct JacobianRows {
    double* energy = nullptr;  // [m]
    double* forces = nullptr;  // [atoms of the structure][3][m]
    double* virial = nullptr;  // [6][m]
};

class Differentiator {
  public:
    explicit Differentiator(const Model& model)
        : model_(model), C_(model.species()), K_(model.radial_funcs()), R_(model.basis_size()) {
        const size_t directions = model.radial_block() + model.scalars();
        stride_ = static_cast<int>((directions + block - 1) / block * block);
        M_.reserve(model.slot_count);
        A_.reserve(model.slot_count);
        dM_.reserve(model.slot_count);
        dA_.reserve(model.slot_count);
        D_.reserve(static_cast<size_t>(model.reduced_count) * stride_);
        dg_.reserve(static_cast<size_t>(3) * stride_);
    }

    void operator()(const Neighbourhoods& nb, int64_t structure, const JacobianRows& out) {
        const int64_t first = nb.structure_offsets[structure];
        for (int64_t i = first; i < nb.structure_offsets[structure + 1]; ++i) {
            gather(nb, i);
            moments();
            energy_row(out.energy, nb.types[i]);
            if (!(out.forces || out.virial)) continue;
            adjoint_derivatives();
            for (int j = 0; j < size_; ++j) pair_rows(nb, first, i, j, out);
        }
    }

  private:
    static constexpr int vecs = 4;
    static constexpr int block = vecs * lanes;  // parameters per sweep
    struct Block {
        vec v[vecs];
    };
    struct Pair {
        int64_t index;
        int type;
        double u[3], r, inverse_r;
    };

    const Model& model_;
    int C_, K_, R_, stride_, size_ = 0;
    Buffer<Pair> pairs_;
    Buffer<double> Q_, dQ_, f_, df_, mono_, dmono_, N_, M_, A_, D_, dg_, T_;
    Buffer<Block> dM_, dA_;

    int monomials() const { return model_.monomials(); }

    /// Radial functions, monomials and their gradients (1/r)(1 - u u^T) dmono/du of all neighbours.
    void gather(const Neighbourhoods& nb, int64_t i) {
        const int most = static_cast<int>(nb.offsets[i + 1] - nb.offsets[i]), L = monomials();
        Pair* pair = pairs_.reserve(most + 1);
        Q_.reserve((most + 1) * R_), dQ_.reserve((most + 1) * R_);
        f_.zeros((most + 1) * K_), df_.zeros((most + 1) * K_);
        mono_.reserve((most + 1) * L), dmono_.reserve((most + 1) * L * 3);
        size_ = 0;
        for (int64_t p = nb.offsets[i]; p < nb.offsets[i + 1]; ++p) {
            const double* d = nb.displacements + 3 * p;
            const double r = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
            if (!(r < model_.data.max_dist)) continue;
            pair[size_] = {
                p, nb.types[nb.neighbours[p]], {d[0] / r, d[1] / r, d[2] / r}, r, 1.0 / r};
            radial(pair[size_], nb.types[i], size_);
            angular(pair[size_], size_);
            ++size_;
        }
    }

    void radial(const Pair& j, int type, int n) {
        const double* c = model_.coeffs.data() + (type * C_ + j.type) * K_ * R_;
        const RadialArgument<double> x(model_.data, j.r, 1.0);
        double *Q = Q_.data() + n * R_, *dQ = dQ_.data() + n * R_;
        double *f = f_.data() + n * K_, *df = df_.data() + n * K_;
        chebyshev(x.t, R_, [&](int k, double T, double dT) {
            Q[k] = T * x.s;
            dQ[k] = dT * x.dt_dr * x.s + T * x.ds_dr;
            for (int mu = 0; mu < K_; ++mu)
                f[mu] += c[mu * R_ + k] * Q[k], df[mu] += c[mu * R_ + k] * dQ[k];
        });
    }

    void angular(const Pair& j, int n) {
        const int L = monomials();
        double* mono = mono_.data() + n * L;
        double* dmono = dmono_.data() + n * L * 3;
        mono[0] = 1, dmono[0] = dmono[1] = dmono[2] = 0;
        for (int i = 1; i < L; ++i) {
            const Monomial& m = model_.monomial_table[i];
            mono[i] = mono[m.parent] * j.u[m.axis];
            for (int d = 0; d < 3; ++d) dmono[3 * i + d] = dmono[3 * m.parent + d] * j.u[m.axis];
            dmono[3 * i + m.axis] += mono[m.parent];
        }
        for (int i = 1; i < L; ++i) {
            double* d = dmono + 3 * i;
            const double dot = d[0] * j.u[0] + d[1] * j.u[1] + d[2] * j.u[2];
            for (int a = 0; a < 3; ++a) d[a] = (d[a] - dot * j.u[a]) * j.inverse_r;
        }
    }

    /// M, A = dV/dM, and N[z, k, i] = sum over neighbours of species z of Q_k mono_i.
    void moments() {
        const int L = monomials();
        double *M = M_.data(), *A = A_.data(), *N = N_.zeros(C_ * R_ * L);
        for (int i = 0; i < model_.reduced_count; ++i) M[i] = 0;
        for (int n = 0; n < size_; ++n) {
            const double* mono = mono_.data() + n * L;
            for (int mu = 0; mu < K_; ++mu) {
                const double f = f_.data()[n * K_ + mu];
                double* out = M + model_.reduced_begin[mu];
                for (int i = 0; i < model_.monomial_count[mu]; ++i) out[i] += f * mono[i];
            }
            for (int k = 0; k < R_; ++k) {
                const double Q = Q_.data()[n * R_ + k] * model_.data.scaling;
                double* out = N + (pairs_.data()[n].type * R_ + k) * L;
                for (int i = 0; i < L; ++i) out[i] += Q * mono[i];
            }
        }
        for (const Expansion& e : model_.expansions)
            M[e.target] = M[e.plus] - M[e.minus_x] - M[e.minus_y];
        for (const Target& t : model_.targets) {
            double total = 0;
            for (int p = t.begin; p < t.end; ++p) {
                const Product<double>& x = model_.products[p];
                total += x.factor * M[x.left] * M[x.right];
            }
            M[t.target] = total;
        }
        for (int i = 0; i < model_.slot_count; ++i) A[i] = 0;
        for (int a = 0; a < model_.scalars(); ++a)
            A[model_.scalar_slots[a]] += model_.data.moment_coeffs[a];
        for (auto t = model_.targets.rbegin(); t != model_.targets.rend(); ++t) {
            for (int p = t->begin; p < t->end; ++p) {
                const Product<double>& x = model_.products[p];
                const double a = x.factor * A[t->target];
                A[x.left] += a * M[x.right];
                A[x.right] += a * M[x.left];
            }
        }
        fold(A);
    }

    /// Carry adjoints of expanded moments back to the reduced ones.
    template <class Real>
    void fold(Real* A) const {
        for (auto e = model_.expansions.rbegin(); e != model_.expansions.rend(); ++e) {
            add(A[e->plus], 1.0, A[e->target]);
            add(A[e->minus_x], -1.0, A[e->target]);
            add(A[e->minus_y], -1.0, A[e->target]);
        }
    }
    static void add(double& y, double a, const double& x) { y += a * x; }
    static void add(Block& y, double a, const Block& x) {
        for (int v = 0; v < vecs; ++v) y.v[v] += a * x.v[v];
    }

    void energy_row(double* energy, int type) {
        if (!energy) return;
        const int L = monomials();
        double* c = energy + type * model_.radial_block();
        for (int z = 0; z < C_; ++z)
            for (int mu = 0; mu < K_; ++mu)
                for (int k = 0; k < R_; ++k) {
                    const double* N = N_.data() + (z * R_ + k) * L;
                    const double* A = A_.data() + model_.reduced_begin[mu];
                    double total = 0;
                    for (int i = 0; i < model_.monomial_count[mu]; ++i) total += A[i] * N[i];
                    *c++ += total;
                }
        double* linear = energy + model_.radial_parameters();
        linear[type] += 1.0;
        for (int a = 0; a < model_.scalars(); ++a)
            linear[C_ + a] += M_.data()[model_.scalar_slots[a]];
    }

    /// D[i, direction] = dA_i/dtheta; directions are the scalars, then c[z, mu, k].
    void adjoint_derivatives() {
        const int n = model_.scalars(), directions = n + model_.radial_block();
        for (int first = 0; first < directions; first += block) {
            Block *dM = dM_.data(), *dA = dA_.data();
            for (int i = 0; i < model_.slot_count; ++i) dA[i] = Block{};
            bool tangent = false;
            for (int l = 0; l < block && first + l < directions; ++l) tangent |= first + l >= n;
            if (tangent)
                for (int i = 0; i < model_.reduced_count; ++i) dM[i] = Block{};
            for (int l = 0; l < block && first + l < directions; ++l) {
                if (first + l < n)
                    dA[model_.scalar_slots[first + l]].v[l / lanes][l % lanes] += 1.0;
                else
                    seed(dM, first + l - n, l);
            }
            tangent ? sweep<true>(dM, dA) : sweep<false>(dM, dA);
            fold(dA);
            for (int i = 0; i < model_.reduced_count; ++i)
                for (int v = 0; v < vecs; ++v)
                    *reinterpret_cast<vec*>(D_.data() + static_cast<size_t>(i) * stride_ + first +
                                            v * lanes) = dA[i].v[v];
        }
    }

    /// dM of direction c[z, mu, k]: the moments of that mu become N[z, k].
    void seed(Block* dM, int direction, int l) const {
        const int k = direction % R_, mu = direction / R_ % K_, z = direction / R_ / K_;
        const double* N = N_.data() + (z * R_ + k) * monomials();
        Block* out = dM + model_.reduced_begin[mu];
        for (int i = 0; i < model_.monomial_count[mu]; ++i) out[i].v[l / lanes][l % lanes] = N[i];
    }

    template <bool tangent>
    void sweep(Block* dM, Block* dA) const {
        const double *M = M_.data(), *A = A_.data();
        const Product<double>* products = model_.products.data();
        if constexpr (tangent) {
            for (const Expansion& e : model_.expansions)
                for (int v = 0; v < vecs; ++v)
                    dM[e.target].v[v] = dM[e.plus].v[v] - dM[e.minus_x].v[v] - dM[e.minus_y].v[v];
            for (const Target& t : model_.targets) {
                Block total{};
                for (int p = t.begin; p < t.end; ++p) {
                    const Product<double>& x = products[p];
                    add(total, x.factor * M[x.right], dM[x.left]);
                    add(total, x.factor * M[x.left], dM[x.right]);
                }
                dM[t.target] = total;
            }
        }
        for (auto t = model_.targets.rbegin(); t != model_.targets.rend(); ++t) {
            const Block dadjoint = dA[t->target];
            const double adjoint = A[t->target];
            for (int p = t->begin; p < t->end; ++p) {
                const Product<double>& x = products[p];
                add(dA[x.left], x.factor * M[x.right], dadjoint);
                add(dA[x.right], x.factor * M[x.left], dadjoint);
                if constexpr (tangent) {
                    add(dA[x.left], x.factor * adjoint, dM[x.right]);
                    add(dA[x.right], x.factor * adjoint, dM[x.left]);
                }
            }
        }
    }

    /// Rows of forces and virial from neighbour n of atom i.
    void pair_rows(const Neighbourhoods& nb, int64_t first, int64_t i, int n,
                   const JacobianRows& out) {
        const Pair& j = pairs_.data()[n];
        gradient_derivatives(j, n);
        const int type = nb.types[i], scalars = model_.scalars(), radial = model_.radial_block();
        const size_t m = model_.parameters();
        const size_t radial_column = static_cast<size_t>(type) * radial;
        const size_t scalar_column = model_.radial_parameters() + C_;
        auto add_row = [&](double* row, double factor, const double* dg) {
            for (int a = 0; a < scalars; ++a) row[scalar_column + a] += factor * dg[a];
            for (int c = 0; c < radial; ++c) row[radial_column + c] += factor * dg[scalars + c];
        };
        if (out.forces) {
            double* own = out.forces + (i - first) * 3 * m;
            double* other = out.forces + (nb.neighbours[j.index] - first) * 3 * m;
            for (int d = 0; d < 3; ++d) {
                add_row(own + d * m, 1.0, dg_.data() + d * stride_);
                add_row(other + d * m, -1.0, dg_.data() + d * stride_);
            }
        }
        if (out.virial) {
            constexpr int voigt[6][2] = {{0, 0}, {1, 1}, {2, 2}, {1, 2}, {0, 2}, {0, 1}};
            for (int v = 0; v < 6; ++v) {
                const auto [a, b] = voigt[v];
                add_row(out.virial + v * m, -0.5 * j.u[b] * j.r, dg_.data() + a * stride_);
                add_row(out.virial + v * m, -0.5 * j.u[a] * j.r, dg_.data() + b * stride_);
            }
        }
    }

    /// dg[d, direction] = d(dV/dr_j)_d / dtheta.
    void gradient_derivatives(const Pair& j, int n) {
        const int L = monomials(), reduced = model_.reduced_count;
        const double *mono = mono_.data() + n * L, *dmono = dmono_.data() + n * L * 3;
        const double *f = f_.data() + n * K_, *df = df_.data() + n * K_;
        double* T = T_.reserve(static_cast<size_t>(reduced) * 3);  // dM_i/dr_j
        for (int mu = 0; mu < K_; ++mu)
            for (int i = 0; i < model_.monomial_count[mu]; ++i)
                for (int d = 0; d < 3; ++d)
                    T[3 * (model_.reduced_begin[mu] + i) + d] =
                        df[mu] * j.u[d] * mono[i] + f[mu] * dmono[3 * i + d];
        multiply(T, reduced);
        for (int mu = 0; mu < K_; ++mu) {
            const double* A = A_.data() + model_.reduced_begin[mu];
            double G = 0, dG[3] = {0, 0, 0};
            for (int i = 0; i < model_.monomial_count[mu]; ++i) {
                G += A[i] * mono[i];
                for (int d = 0; d < 3; ++d) dG[d] += A[i] * dmono[3 * i + d];
            }
            double* direct = dg_.data() + model_.scalars() + (j.type * K_ + mu) * R_;
            for (int d = 0; d < 3; ++d)
                for (int k = 0; k < R_; ++k)
                    direct[d * stride_ + k] +=
                        model_.data.scaling *
                        (dQ_.data()[n * R_ + k] * j.u[d] * G + Q_.data()[n * R_ + k] * dG[d]);
        }
    }

    /// dg = T^T D, (3, reduced) x (reduced, directions).
    void multiply(const double* T, int reduced) {
        for (int column = 0; column < stride_; column += block) {
            vec total[3][vecs] = {};
            const double* D = D_.data() + column;
            for (int i = 0; i < reduced; ++i, D += stride_) {
                for (int v = 0; v < vecs; ++v) {
                    const vec x = *reinterpret_cast<const vec*>(D + v * lanes);
                    for (int d = 0; d < 3; ++d) total[d][v] += T[3 * i + d] * x;
                }
            }
            for (int d = 0; d < 3; ++d)
                for (int v = 0; v < vecs; ++v)
                    *reinterpret_cast<vec*>(dg_.data() + d * stride_ + column + v * lanes) =
                        total[d][v];
        }
    }
};

/// The Jacobian of all structures; structures are shared by the threads.
inline void jacobian(const Model& model, const Neighbourhoods& nb, const JacobianOutputs& out,
                     int threads) {
    const size_t m = model.parameters();
    threads = static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, nb.structures)));
    in_parallel(threads, [&](int thread, int count) {
        Differentiator differentiate(model);
        for (int64_t s = thread; s < nb.structures; s += count) {
            JacobianRows rows;
            if (out.energies) rows.energy = out.energies + s * m;
            if (out.forces) rows.forces = out.forces + nb.structure_offsets[s] * 3 * m;
            if (out.virials) rows.virial = out.virials + s * 6 * m;
            differentiate(nb, s, rows);
        }
    });
}

}  // namespace mentor::MENTOR_ARCH
