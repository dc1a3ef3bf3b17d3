// Energies, forces, virials, basis functions and parameter gradients; one SIMD lane = one atom.
//
// For each batch: radial functions and unit vectors of the neighbours, moments
// M_{mu,nu} = sum_j f_mu(r_ij) u_ij^(x nu), the contraction schedule, its reverse sweep
// A = dV/dM, and dV/dr_ij = sum_mu,nu A_{mu,nu} dM_{mu,nu}/dr_ij.
#pragma once

#include "batch.hpp"
#include "monomials.hpp"
#include "outputs.hpp"

namespace mentor::MENTOR_ARCH {

/// Evaluates batches of atoms; one per thread.
class Evaluator {
  public:
    explicit Evaluator(const Model& model)
        : model_(model),
          K_(model.radial_funcs()),
          R_(model.basis_size()),
          slots_(model.slot_count) {
        M_.reserve(slots_);
        A_.reserve(slots_);
        mono_.reserve(4 * model.monomials());
        dmono_.reserve(model.monomials());
        G_.reserve(K_);
        real* c = coeffs_.reserve(model.coeffs.size());
        for (size_t i = 0; i < model.coeffs.size(); ++i) c[i] = static_cast<real>(model.coeffs[i]);
    }

    /// structure_of[l] is the structure of lane l's atom.
    void operator()(const Neighbourhoods& nb, const int64_t* atoms, int count,
                    const int64_t* structure_of, const Outputs& out) {
        batch_.gather(model_, nb, atoms, count);
        accumulate_moments();
        contract();
        write_energies(out);
        if (!(out.derivatives() || out.needs_rows())) return;
        reverse();
        if (out.needs_rows()) write_rows(structure_of, out);
        if (out.derivatives()) write_forces(nb, structure_of, out);
    }

  private:
    const Model& model_;
    int K_, R_, slots_;
    Batch batch_;
    Buffer<vec> M_, A_, mono_, dmono_, G_, f_, df_, row_;
    Buffer<real> coeffs_;
    Buffer<double> own_row_;
    vec repulsion_;

    void accumulate_moments() {
        vec* M = M_.data();
        for (int i = 0; i < model_.reduced_count; ++i) M[i] = vec{};
        vec* f = f_.reserve(static_cast<size_t>(batch_.size) * K_);
        vec* df = df_.reserve(static_cast<size_t>(batch_.size) * K_);
        repulsion_ = vec{};
        for (int z = 0; z < model_.species(); ++z) {
            const real* c = coeffs_.data() + (batch_.species * model_.species() + z) * K_ * R_;
            for (int n = batch_.begin[z]; n < batch_.begin[z + 1]; ++n)
                radial_functions(batch_.neighbour(n), c, f + n * K_, df + n * K_);
        }
        int n = 0;
        for (; n + 4 <= batch_.size; n += 4) add_moments<4>(n);
        for (; n < batch_.size; ++n) add_moments<1>(n);
    }

    void radial_functions(const Neighbour& j, const real* c, vec* f, vec* df) {
        const RadialArgument<vec> x(model_.data, j.r, j.present);
        for (int mu = 0; mu < K_; ++mu) f[mu] = df[mu] = vec{};
        chebyshev(x.t, R_, [&](int k, const vec& T, const vec& dT) {
            for (int mu = 0; mu < K_; ++mu) {
                f[mu] += c[mu * R_ + k] * T;
                df[mu] += c[mu * R_ + k] * dT;
            }
        });
        for (int mu = 0; mu < K_; ++mu) {
            df[mu] = df[mu] * x.dt_dr * x.s + f[mu] * x.ds_dr;
            f[mu] *= x.s;
        }
        if (model_.data.radial_basis_type == RadialBasis::RBChebyshev_repuls)
            for (int l = 0; l < lanes; ++l)
                if (j.present[l] != 0) repulsion_[l] += Repulsion(model_.data, j.r[l]).energy;
    }

    void monomials(const Neighbour& j, vec* mono) const {
        MENTOR_ARCH::monomials(j.ux, j.uy, j.uz, model_.highest_degree, mono);
    }

    /// M[mu, i] += f_mu mono_i of `count` neighbours from n on.
    template <int count>
    void add_moments(int n) {
        const int L = model_.monomials();
        vec* mono = mono_.data();
        for (int c = 0; c < count; ++c) monomials(batch_.neighbour(n + c), mono + c * L);
        for (int mu = 0; mu < K_; ++mu) {
            vec* M = M_.data() + model_.reduced_begin[mu];
            const int end = model_.monomial_count[mu];
            vec f[count];
            for (int c = 0; c < count; ++c) f[c] = f_.data()[(n + c) * K_ + mu];
            for (int i = 0; i < end; ++i) {
                vec total = M[i];
                for (int c = 0; c < count; ++c) total += f[c] * mono[c * L + i];
                M[i] = total;
            }
        }
    }

    void contract() {
        vec* M = M_.data();
        for (const Expansion& e : model_.expansions)
            M[e.target] = M[e.plus] - M[e.minus_x] - M[e.minus_y];
        const Product<real>* products = model_.program<real>();
        for (const Target& t : model_.targets) {
            vec total = vec{};
            for (int p = t.begin; p < t.end; ++p)
                total += products[p].factor * M[products[p].left] * M[products[p].right];
            M[t.target] = total;
        }
    }

    void write_energies(const Outputs& out) {
        const vec* M = M_.data();
        const int n = model_.scalars();
        if (out.site_energies) {
            wide energy = widen(repulsion_) + model_.data.species_coeffs[batch_.species];
            for (int a = 0; a < n; ++a)
                energy += model_.data.moment_coeffs[a] * widen(M[model_.scalar_slots[a]]);
            for (int l = 0; l < batch_.atoms; ++l) out.site_energies[batch_.atom[l]] = energy[l];
        }
        if (out.basis)
            for (int l = 0; l < batch_.atoms; ++l)
                for (int a = 0; a < n; ++a)
                    out.basis[batch_.atom[l] * n + a] = M[model_.scalar_slots[a]][l];
    }

    /// A[slot] = dV/dM[slot], down to the reduced basic moments.
    void reverse() {
        const vec* M = M_.data();
        vec* A = A_.data();
        for (int i = 0; i < slots_; ++i) A[i] = vec{};
        for (int a = 0; a < model_.scalars(); ++a)
            A[model_.scalar_slots[a]] += static_cast<real>(model_.data.moment_coeffs[a]);
        const Product<real>* products = model_.program<real>();
        for (auto t = model_.targets.rbegin(); t != model_.targets.rend(); ++t) {
            const vec adjoint = A[t->target];
            for (int p = t->begin; p < t->end; ++p) {
                const vec a = products[p].factor * adjoint;
                A[products[p].left] += a * M[products[p].right];
                A[products[p].right] += a * M[products[p].left];
            }
        }
        for (auto e = model_.expansions.rbegin(); e != model_.expansions.rend(); ++e) {
            A[e->plus] += A[e->target];
            A[e->minus_x] -= A[e->target];
            A[e->minus_y] -= A[e->target];
        }
    }

    /// dV/dc[z_j, mu, k] = sum_j Q_k(r_j) sum_i A[mu, i] mono_i; dV/dxi0 = 1; dV/dxi_alpha =
    /// B_alpha.
    void write_rows(const int64_t* structure_of, const Outputs& out) {
        const int C = model_.species(), n = model_.scalars();
        const size_t m = model_.parameters();
        double* own = out.rows ? nullptr : own_row_.reserve(m);
        vec* row = row_.zeros(model_.radial_block());
        for (int z = 0; z < C; ++z)
            for (int j = batch_.begin[z]; j < batch_.begin[z + 1]; ++j)
                add_radial_row(batch_.neighbour(j), row + z * K_ * R_);
        const int first = batch_.species * model_.radial_block();
        for (int l = 0; l < batch_.atoms; ++l) {
            double* b = out.rows ? out.rows + batch_.atom[l] * m : own;
            for (size_t i = 0; i < m; ++i) b[i] = 0;
            for (int i = 0; i < model_.radial_block(); ++i)
                b[first + i] = row[i][l] * model_.data.scaling;
            double* linear = b + model_.radial_parameters();
            linear[batch_.species] = 1.0;
            for (int a = 0; a < n; ++a) linear[C + a] = M_.data()[model_.scalar_slots[a]][l];
            if (out.row_sums)
                for (size_t i = 0; i < m; ++i) out.row_sums[structure_of[l] * m + i] += b[i];
            if (out.grades) out.grades[batch_.atom[l]] = out.active_set->grade(b);
        }
    }

    void add_radial_row(const Neighbour& j, vec* row) {
        monomials(j, mono_.data());
        const vec* mono = mono_.data();
        const RadialArgument<vec> x(model_.data, j.r, j.present);
        vec* G = G_.data();
        for (int mu = 0; mu < K_; ++mu) {
            const vec* A = A_.data() + model_.reduced_begin[mu];
            vec total = vec{};
            for (int i = 0; i < model_.monomial_count[mu]; ++i) total += A[i] * mono[i];
            G[mu] = total * x.s;
        }
        chebyshev(x.t, R_, [&](int k, const vec& T, const vec&) {
            for (int mu = 0; mu < K_; ++mu) row[mu * R_ + k] += T * G[mu];
        });
    }

    void write_forces(const Neighbourhoods& nb, const int64_t* structure_of, const Outputs& out) {
        vec own[3] = {vec{}, vec{}, vec{}};
        vec virial[6] = {};
        const real half = 0.5;
        for (int n = 0; n < batch_.size; ++n) {
            const Neighbour& j = batch_.neighbour(n);
            vec g[3];
            pair_gradient(j, f_.data() + n * K_, df_.data() + n * K_, g);
            for (int d = 0; d < 3; ++d) own[d] += g[d];
            if (out.forces) {
                for (int l = 0; l < batch_.atoms; ++l) {
                    const int64_t p = batch_.pair(n, l);
                    if (p < 0) continue;
                    double* F = out.forces + 3 * static_cast<int64_t>(nb.neighbours[p]);
                    for (int d = 0; d < 3; ++d) F[d] -= g[d][l];
                }
            }
            if (out.site_virials) write_site_virials(nb, n, g, out.site_virials);
            if (out.virials) {
                const vec x = j.ux * j.r, y = j.uy * j.r, z = j.uz * j.r;
                virial[0] -= g[0] * x;
                virial[1] -= g[1] * y;
                virial[2] -= g[2] * z;
                virial[3] -= half * (g[1] * z + g[2] * y);
                virial[4] -= half * (g[0] * z + g[2] * x);
                virial[5] -= half * (g[0] * y + g[1] * x);
            }
        }
        for (int l = 0; l < batch_.atoms; ++l) {
            if (out.forces)
                for (int d = 0; d < 3; ++d)
                    out.forces[3 * nb.center(batch_.atom[l]) + d] += own[d][l];
            if (out.virials)
                for (int v = 0; v < 6; ++v) out.virials[6 * structure_of[l] + v] += virial[v][l];
        }
    }

    /// The virial -r_ij (x) g counts for atom j (Fan et al., Phys. Rev. B 92, 094301 (2015)).
    void write_site_virials(const Neighbourhoods& nb, int n, const vec* g, double* virials) const {
        const Neighbour& j = batch_.neighbour(n);
        for (int l = 0; l < batch_.atoms; ++l) {
            const int64_t p = batch_.pair(n, l);
            if (p < 0) continue;
            const double r[3] = {j.ux[l] * j.r[l], j.uy[l] * j.r[l], j.uz[l] * j.r[l]};
            double* W = virials + 9 * static_cast<int64_t>(nb.neighbours[p]);
            for (int a = 0; a < 3; ++a)
                for (int b = 0; b < 3; ++b) W[3 * a + b] -= r[a] * g[b][l];
        }
    }

    /// g = dV/dr_ij: the radial part along u, the angular part through du/dr = (1 - u u^T) / r.
    void pair_gradient(const Neighbour& j, const vec* f, const vec* df, vec* g) {
        monomials(j, mono_.data());
        const vec* mono = mono_.data();
        vec* t = dmono_.data();  // dV/dmono_i = sum_mu f_mu A[mu, i]
        vec radial = vec{};
        int begin = 0;
        for (int mu = K_ - 1; mu >= 0; --mu) {  // monomials that all up to mu have in common
            const int end = model_.monomial_count[mu];
            switch (mu) {
                case 0:
                    radial += along<1>(begin, end, f, df, mono, t);
                    break;
                case 1:
                    radial += along<2>(begin, end, f, df, mono, t);
                    break;
                case 2:
                    radial += along<3>(begin, end, f, df, mono, t);
                    break;
                case 3:
                    radial += along<4>(begin, end, f, df, mono, t);
                    break;
                case 4:
                    radial += along<5>(begin, end, f, df, mono, t);
                    break;
                default:
                    radial += along<0>(begin, end, f, df, mono, t, mu + 1);
            }
            begin = end;
        }
        if (model_.data.radial_basis_type == RadialBasis::RBChebyshev_repuls)
            for (int l = 0; l < lanes; ++l)
                if (j.present[l] != 0) radial[l] += Repulsion(model_.data, j.r[l]).derivative;
        vec du[3] = {vec{}, vec{}, vec{}};
        reverse_monomials(j.ux, j.uy, model_.highest_degree, mono, t, du);
        const vec dot = du[0] * j.ux + du[1] * j.uy + du[2] * j.uz;
        g[0] = radial * j.ux + (du[0] - dot * j.ux) * j.inverse_r;
        g[1] = radial * j.uy + (du[1] - dot * j.uy) * j.inverse_r;
        g[2] = radial * j.uz + (du[2] - dot * j.uz) * j.inverse_r;
    }

    /// t[i] = sum_mu f_mu A[mu, i] and the sum over i of mono_i sum_mu df_mu A[mu, i], mu < count.
    template <int fixed_count>
    vec along(int begin, int end, const vec* f, const vec* df, const vec* mono, vec* t,
              int count = fixed_count) const {
        const vec* A[fixed_count > 0 ? fixed_count : max_radial_funcs];
        for (int mu = 0; mu < count; ++mu) A[mu] = A_.data() + model_.reduced_begin[mu];
        vec total = vec{};
        for (int i = begin; i < end; ++i) {
            vec here = f[0] * A[0][i], radial = df[0] * A[0][i];
            for (int mu = 1; mu < count; ++mu) {
                here += f[mu] * A[mu][i];
                radial += df[mu] * A[mu][i];
            }
            t[i] = here;
            total += radial * mono[i];
        }
        return total;
    }
};

}  // namespace mentor::MENTOR_ARCH
