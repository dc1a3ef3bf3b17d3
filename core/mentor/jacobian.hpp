// Derivatives of energies, forces and virials of one structure with respect to all parameters.
//
// Atom by atom; one SIMD lane is one parameter. With A = dV/dM and its derivatives D = dA/dtheta
// (one forward-over-reverse sweep of the program per block of parameters),
//   d(dV/dr_j)/dtheta = sum_i D_i dM_i/dr_j + sum_i A_i d(dM_i/dr_j)/dtheta,
// whose first term is a matrix product over the basic moments and whose second touches only the
// radial coefficients c[z_i, z_j, mu, k].
#pragma once

#include "outputs.hpp"
#include "parallel.hpp"
#include "radial.hpp"
#include "sweeps.hpp"

namespace mentor::MENTOR_ARCH {

/// Rows to fill, zero on entry; null pointers cost nothing.
///
/// Their columns are the radial coefficients, the species and the invariants of the program, whose
/// combinations W are the scalars.
struct JacobianRows {
    double* energy = nullptr;  // [columns]
    double* forces = nullptr;  // [atoms of the structure][3][columns]
    double* virial = nullptr;  // [6][columns]
};

/// As many parameters as are swept together.
struct Block {
    static constexpr int vecs = 4, size = vecs * lanes;
    vec v[vecs];

    double& operator[](int i) { return reinterpret_cast<double*>(v)[i]; }
    Block& operator+=(const Block& x) {
        for (int i = 0; i < vecs; ++i) v[i] += x.v[i];
        return *this;
    }
    friend Block operator*(double a, const Block& x) {
        Block product;
        for (int i = 0; i < vecs; ++i) product.v[i] = a * x.v[i];
        return product;
    }
    friend Block operator*(const Block& x, double a) { return a * x; }
    friend Block operator+(Block x, const Block& y) { return x += y; }
    friend Block operator-(Block x, const Block& y) { return x += -1.0 * y; }
};

class Differentiator {
  public:
    explicit Differentiator(const Model& model)
        : model_(model),
          program_(*model.program),
          C_(model.species()),
          K_(model.radial_funcs()),
          R_(model.basis_size()) {
        const size_t directions = model.radial_block() + program_.size();
        stride_ = static_cast<int>((directions + Block::size - 1) / Block::size * Block::size);
        S_.reserve(program_.slot_count);
        A_.reserve(program_.slot_count);
        dS_.reserve(program_.slot_count);
        dA_.reserve(program_.slot_count);
        D_.reserve(static_cast<size_t>(program_.moment_count) * stride_);
        dg_.reserve(static_cast<size_t>(3) * stride_);
        products_.reserve(program_.most_products);
        dproducts_.reserve(program_.most_products);
        dright_.reserve(program_.most_products);
    }

    int columns() const { return model_.radial_parameters() + C_ + program_.size(); }

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

    /// Rows of the model's parameters from rows of `columns()`.
    void to_parameters(const double* from, int64_t rows, double* to) const {
        const int head = model_.radial_parameters() + C_;
        for (int64_t row = 0; row < rows; ++row, from += columns()) {
            to = std::copy(from, from + head, to);
            for (const auto& sum : program_.scalars) {
                double total = 0;
                for (const auto& term : sum) total += term.factor * from[head + term.source];
                *to++ = total;
            }
        }
    }

  private:
    struct Pair {
        int64_t index;
        int type;
        double u[3], r, inverse_r;
    };

    const Model& model_;
    const Program& program_;
    int C_, K_, R_, stride_, size_ = 0;
    Buffer<Pair> pairs_;
    Buffer<double> Q_, dQ_, f_, df_, w_, dw_, N_, S_, A_, D_, dg_, T_, products_;
    Buffer<Block> dS_, dA_, dproducts_, dright_;

    /// Radial and angular functions and their gradients (1/r)(1 - u u^T) dw/du of all neighbours.
    void gather(const Neighbourhoods& nb, int64_t i) {
        const int most = static_cast<int>(nb.offsets[i + 1] - nb.offsets[i]), L = model_.angulars();
        Pair* pair = pairs_.reserve(most + 1);
        Q_.reserve((most + 1) * R_), dQ_.reserve((most + 1) * R_);
        f_.zeros((most + 1) * K_), df_.zeros((most + 1) * K_);
        w_.reserve((most + 1) * L), dw_.reserve((most + 1) * L * 3);
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
        const double* c = model_.coeffs.doubles.data() + (type * C_ + j.type) * K_ * R_;
        const RadialArgument<double> x = radial_argument(type, j);
        double *Q = Q_.data() + n * R_, *dQ = dQ_.data() + n * R_;
        double *f = f_.data() + n * K_, *df = df_.data() + n * K_;
        chebyshev(x.t, R_, [&](int k, double T, double dT) {
            Q[k] = T * x.s;
            dQ[k] = dT * x.dt_dr * x.s + T * x.ds_dr;
            for (int mu = 0; mu < K_; ++mu)
                f[mu] += c[mu * R_ + k] * Q[k], df[mu] += c[mu * R_ + k] * dQ[k];
        });
    }

    /// Within the core of the pair, at the distance to which the core holds it.
    RadialArgument<double> radial_argument(int type, const Pair& j) const {
        const ShortRangeCore* core =
            model_.cores.empty() ? nullptr : &model_.cores[type * C_ + j.type];
        if (!core || !(j.r < core->radius)) return {model_.data, j.r, 1.0};
        const auto distance = core->distance(j.r);
        RadialArgument<double> x(model_.data, distance.value, 1.0);
        x.dt_dr *= distance.slope, x.ds_dr *= distance.slope;
        return x;
    }

    void angular(const Pair& j, int n) {
        const int L = model_.angulars();
        double* w = w_.data() + n * L;
        double* dw = dw_.data() + n * L * 3;
        w[0] = 1, dw[0] = dw[1] = dw[2] = 0;
        // place `to`: component a of u times the function at `from`
        const auto add = [&](int to, double factor, int a, int from) {
            w[to] += factor * j.u[a] * w[from];
            for (int d = 0; d < 3; ++d) dw[3 * to + d] += factor * j.u[a] * dw[3 * from + d];
            dw[3 * to + a] += factor * w[from];
        };
        for (int i = 1; i < L; ++i) w[i] = dw[3 * i] = dw[3 * i + 1] = dw[3 * i + 2] = 0;
        for (int degree = 1; degree <= model_.highest_degree; ++degree) {
            const int lower = (degree - 1) * (degree - 1), here = degree * degree;
            for (int i = 0; i < 2 * degree - 1; ++i) add(here + i, 1, 2, lower + i);
            const int re = here + 2 * degree - 1, im = re + 1;
            const int lower_re = here - (degree > 1 ? 2 : 1), lower_im = here - 1;
            add(re, 1, 0, lower_re);
            add(im, 1, 1, lower_re);
            if (degree == 1) continue;
            add(re, -1, 1, lower_im);
            add(im, 1, 0, lower_im);
        }
        for (int i = 1; i < L; ++i) {
            double* d = dw + 3 * i;
            const double dot = d[0] * j.u[0] + d[1] * j.u[1] + d[2] * j.u[2];
            for (int a = 0; a < 3; ++a) d[a] = (d[a] - dot * j.u[a]) * j.inverse_r;
        }
    }

    /// S, A = dV/dS, and N[z, k, i] = sum over neighbours of species z of Q_k w_i.
    void moments() {
        const int L = model_.angulars();
        double *S = S_.data(), *A = A_.data(), *N = N_.zeros(C_ * R_ * L);
        for (int i = 0; i < program_.moment_count; ++i) S[i] = 0;
        for (int n = 0; n < size_; ++n) {
            const double* w = w_.data() + n * L;
            for (int mu = 0; mu < K_; ++mu) {
                const double f = f_.data()[n * K_ + mu];
                double* out = S + model_.reduced_begin[mu];
                for (int i = 0; i < model_.reduced_size(mu); ++i) out[i] += f * w[i];
            }
            for (int k = 0; k < R_; ++k) {
                const double Q = Q_.data()[n * R_ + k] * model_.data.scaling;
                double* out = N + (pairs_.data()[n].type * R_ + k) * L;
                for (int i = 0; i < L; ++i) out[i] += Q * w[i];
            }
        }
        forward<double>(program_, S, products_.data());
        last_layer<double>(model_, S, A);
        for (const Partner& p : program_.linear) A[p.slot] += model_.zeta[p.invariant];
        backward<double>(program_, S, A, products_.data());
    }

    void energy_row(double* energy, int type) {
        if (!energy) return;
        const int L = model_.angulars();
        double* c = energy + type * model_.radial_block();
        for (int z = 0; z < C_; ++z)
            for (int mu = 0; mu < K_; ++mu)
                for (int k = 0; k < R_; ++k) {
                    const double* N = N_.data() + (z * R_ + k) * L;
                    const double* A = A_.data() + model_.reduced_begin[mu];
                    double total = 0;
                    for (int i = 0; i < model_.reduced_size(mu); ++i) total += A[i] * N[i];
                    *c++ += total;
                }
        double* linear = energy + model_.radial_parameters();
        linear[type] += 1.0;
        for (int b = 0; b < program_.size(); ++b)
            linear[C_ + b] += invariant(program_.invariants[b], S_.data());
    }

    /// D[i, direction] = dA_i/dtheta; directions are the invariants, then c[z, mu, k].
    void adjoint_derivatives() {
        const int n = program_.size(), directions = n + model_.radial_block();
        Block *dS = dS_.data(), *dA = dA_.data();
        for (int first = 0; first < directions; first += Block::size) {
            const int last = std::min(directions, first + Block::size);
            const bool radial = last > n;
            if (radial) {
                for (int i = 0; i < program_.moment_count; ++i) dS[i] = Block{};
                for (int each = std::max(first, n); each < last; ++each)
                    seed_moments(dS, each - n, each - first);
                forward_tangent();
                last_layer<double>(model_, dS, dA);
            } else {
                for (int i = 0; i < program_.slot_count; ++i) dA[i] = Block{};
            }
            for (int b = first; b < std::min(last, n); ++b) seed_invariant(dA, b, b - first);
            radial ? backward_tangent<true>() : backward_tangent<false>();
            for (int i = 0; i < program_.moment_count; ++i)
                *reinterpret_cast<Block*>(D_.data() + static_cast<size_t>(i) * stride_ + first) =
                    dA[i];
        }
    }

    /// dS of direction c[z, mu, k]: the moments of that mu become N[z, k].
    void seed_moments(Block* dS, int direction, int l) const {
        const int k = direction % R_, mu = direction / R_ % K_, z = direction / R_ / K_;
        const double* N = N_.data() + (z * R_ + k) * model_.angulars();
        Block* out = dS + model_.reduced_begin[mu];
        for (int i = 0; i < model_.reduced_size(mu); ++i) out[i][l] = N[i];
    }

    /// dA of direction zeta_b: the derivatives of its invariant.
    void seed_invariant(Block* dA, int b, int l) const {
        const Invariant& each = program_.invariants[b];
        const double* S = S_.data();
        if (each.right < 0) {
            dA[each.left][l] += 1;
            return;
        }
        for (int i = 0; i < each.length; ++i) {
            dA[each.left + i][l] += S[each.right + i];
            dA[each.right + i][l] += S[each.left + i];
        }
    }

    /// As forward() of sweeps.hpp, for changes dS of S.
    void forward_tangent() {
        const double* S = S_.data();
        Block* dS = dS_.data();
        apply<double>(program_.tensors, dS, dS);
        for (const Coupling& c : program_.couplings) {
            Block *sum = c.is_product() ? dS + c.target : dproducts_.data(), *part = dright_.data();
            multiply(dS + c.left, c.n_left, S + c.right, c.n_right, sum);
            multiply(S + c.left, c.n_left, dS + c.right, c.n_right, part);
            for (int p = 0; p < c.products(); ++p) sum[p] += part[p];
            if (!c.is_product()) apply<double>(program_.combine, c.begin, c.end, sum, dS);
        }
        for (const Target& t : program_.targets) {
            Block total{};
            for (int p = t.begin; p < t.end; ++p) {
                const Product& x = program_.products[p];
                total += x.factor * S[x.right] * dS[x.left];
                total += x.factor * S[x.left] * dS[x.right];
            }
            dS[t.target] = total;
        }
    }

    /// As backward(), for changes dA of A, and where `tangent` of S by dS.
    template <bool tangent>
    void backward_tangent() {
        const double *S = S_.data(), *A = A_.data();
        const Block* dS = dS_.data();
        Block* dA = dA_.data();
        const auto add = [&](int from, double factor, int left, int right) {
            dA[left] += factor * S[right] * dA[from];
            dA[right] += factor * S[left] * dA[from];
            if constexpr (tangent) {
                dA[left] += factor * A[from] * dS[right];
                dA[right] += factor * A[from] * dS[left];
            }
        };
        for (auto t = program_.targets.rbegin(); t != program_.targets.rend(); ++t)
            for (int p = t->begin; p < t->end; ++p) {
                const Product& x = program_.products[p];
                add(t->target, x.factor, x.left, x.right);
            }
        for (const Coupling& c : program_.couplings) {
            const Block* d_p = dA + c.target;
            const double* d_A = A + c.target;
            if (!c.is_product()) {
                const int end = c.back_begin + c.products();
                apply<double>(program_.spread, c.back_begin, end, dA, dproducts_.data());
                apply<double>(program_.spread, c.back_begin, end, A, products_.data());
                d_p = dproducts_.data(), d_A = products_.data();
            }
            pull_left(d_p, c.n_left, S + c.right, c.n_right, dA + c.left);
            pull_right(d_p, S + c.left, c.n_left, c.n_right, dA + c.right);
            if constexpr (tangent) {
                pull_left(d_A, c.n_left, dS + c.right, c.n_right, dA + c.left);
                pull_right(d_A, dS + c.left, c.n_left, c.n_right, dA + c.right);
            }
        }
        apply<double>(program_.tensors_back, dA, dA);
    }

    /// Rows of forces and virial from neighbour n of atom i.
    void pair_rows(const Neighbourhoods& nb, int64_t first, int64_t i, int n,
                   const JacobianRows& out) {
        const Pair& j = pairs_.data()[n];
        gradient_derivatives(j, n);
        const int type = nb.types[i], invariants = program_.size();
        const int radial = model_.radial_block();
        const size_t m = columns();
        const size_t radial_column = static_cast<size_t>(type) * radial;
        const size_t invariant_column = model_.radial_parameters() + C_;
        auto add_row = [&](double* row, double factor, const double* dg) {
            for (int b = 0; b < invariants; ++b) row[invariant_column + b] += factor * dg[b];
            for (int c = 0; c < radial; ++c) row[radial_column + c] += factor * dg[invariants + c];
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
        const int L = model_.angulars(), reduced = program_.moment_count;
        const double *w = w_.data() + n * L, *dw = dw_.data() + n * L * 3;
        const double *f = f_.data() + n * K_, *df = df_.data() + n * K_;
        double* T = T_.reserve(static_cast<size_t>(reduced) * 3);  // dM_i/dr_j
        for (int mu = 0; mu < K_; ++mu)
            for (int i = 0; i < model_.reduced_size(mu); ++i)
                for (int d = 0; d < 3; ++d)
                    T[3 * (model_.reduced_begin[mu] + i) + d] =
                        df[mu] * j.u[d] * w[i] + f[mu] * dw[3 * i + d];
        combine_directions(T, reduced);
        for (int mu = 0; mu < K_; ++mu) {
            const double* A = A_.data() + model_.reduced_begin[mu];
            double G = 0, dG[3] = {0, 0, 0};
            for (int i = 0; i < model_.reduced_size(mu); ++i) {
                G += A[i] * w[i];
                for (int d = 0; d < 3; ++d) dG[d] += A[i] * dw[3 * i + d];
            }
            double* direct = dg_.data() + program_.size() + (j.type * K_ + mu) * R_;
            for (int d = 0; d < 3; ++d)
                for (int k = 0; k < R_; ++k)
                    direct[d * stride_ + k] +=
                        model_.data.scaling *
                        (dQ_.data()[n * R_ + k] * j.u[d] * G + Q_.data()[n * R_ + k] * dG[d]);
        }
    }

    /// dg = T^T D, (3, reduced) x (reduced, directions).
    void combine_directions(const double* T, int reduced) {
        for (int column = 0; column < stride_; column += Block::size) {
            vec total[3][Block::vecs] = {};
            const double* D = D_.data() + column;
            for (int i = 0; i < reduced; ++i, D += stride_) {
                for (int v = 0; v < Block::vecs; ++v) {
                    const vec x = *reinterpret_cast<const vec*>(D + v * lanes);
                    for (int d = 0; d < 3; ++d) total[d][v] += T[3 * i + d] * x;
                }
            }
            for (int d = 0; d < 3; ++d)
                for (int v = 0; v < Block::vecs; ++v)
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
        const int64_t columns = differentiate.columns();
        Buffer<double> rows;
        for (int64_t s = thread; s < nb.structures; s += count) {
            const int64_t first = nb.structure_offsets[s];
            const int64_t force_rows = out.forces ? 3 * (nb.structure_offsets[s + 1] - first) : 0;
            const int64_t virial_rows = out.virials ? 6 : 0;
            double* energy = rows.zeros((1 + force_rows + virial_rows) * columns);
            double* forces = energy + columns;
            double* virial = forces + force_rows * columns;
            differentiate(nb, s,
                          {energy, out.forces ? forces : nullptr, out.virials ? virial : nullptr});
            if (out.energies) differentiate.to_parameters(energy, 1, out.energies + s * m);
            if (out.forces)
                differentiate.to_parameters(forces, force_rows, out.forces + first * 3 * m);
            if (out.virials)
                differentiate.to_parameters(virial, virial_rows, out.virials + s * 6 * m);
        }
    });
}

}  // namespace mentor::MENTOR_ARCH
