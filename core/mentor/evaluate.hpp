// Energies, forces, virials, basis functions and parameter gradients; one SIMD lane = one atom.
//
// For each batch: radial functions and unit vectors of the neighbours, moments
// M_{mu,w} = sum_j f_mu(r_ij) w(u_ij) of the angular functions w (harmonics.hpp), the program of
// the basis forwards and backwards, which gives A = dV/dM, and with the polynomials P_mu(u) = sum_w
// A_{mu,w} w(u) the derivative of V by r_ij,
//     g_j = sum_mu f_mu'(r) P_mu(u) u + f_mu(r) (1 - u u^T) dP_mu/du / r.
#pragma once

#include "batch.hpp"
#include "grading.hpp"
#include "outputs.hpp"
#include "polynomials.hpp"
#include "radial.hpp"
#include "sweeps.hpp"

namespace mentor::MENTOR_ARCH {

/// Evaluates batches of atoms; one per thread.
class Evaluator {
  public:
    /// structure_of[l] is the structure of lane l's atom.
    void operator()(const Model& model, const Neighbourhoods& nb, const int64_t* atoms, int count,
                    const int64_t* structure_of, const Outputs& out) {
        batch_.gather(model, nb, atoms, count);
        radial_.prepare(model, batch_, out.needs_rows());
        accumulate_moments(model);
        forward<real>(*model.program, S_.data(), products_.reserve(model.program->most_products));
        if (out.needs_basis()) invariants(model);
        if (out.site_energies || out.derivatives() || out.needs_rows()) differentiate(model, out);
        if (out.basis) write_basis(model, out.basis);
        if (out.derivatives() || out.needs_rows()) gradients(model, out.needs_rows());
        if (out.needs_rows()) write_rows(model, structure_of, out);
        if (out.derivatives()) write_forces(nb, structure_of, out);
    }

    /// Forgets what an evaluation that failed has left.
    void start() { grader_.start(); }

    /// Completes the grades of the batches so far.
    void finish() { grader_.finish(); }

  private:
    static constexpr int together = 2;  // neighbours; batches have an even number of them

    Batch batch_;
    RadialFunctions radial_;
    Grader grader_;
    Polynomials polynomials_;
    Buffer<vec> S_, R_;            // slots of the program and the derivatives of V by them
    Buffer<vec> w_, I_, row_, P_;  // angular functions, invariants, radial row, P_mu(u_j)
    Buffer<vec> g_;                // [neighbour][3]
    Buffer<vec> products_;
    Buffer<double> own_row_, scalars_;

    void accumulate_moments(const Model& model) {
        vec* M = S_.reserve(model.program->slot_count);
        for (int i = 0; i < model.program->moment_count; ++i) M[i] = vec{};
        w_.reserve(static_cast<size_t>(4) * model.angulars());
        int n = 0;
        for (; n + 4 <= batch_.size; n += 4) add_moments<4>(model, n);
        for (; n < batch_.size; n += 2) add_moments<2>(model, n);
    }

    /// M[mu, i] += f_mu w_i of `count` neighbours from n on.
    template <int count>
    void add_moments(const Model& model, int n) {
        vec* w = w_.data();
        angular_functions<count>(&batch_.neighbour(n), model.highest_degree, w);
        for (int mu = 0; mu < model.radial_funcs(); ++mu) {
            vec* M = S_.data() + model.reduced_begin[mu];
            const int end = model.reduced_size(mu);
            vec f[count];
            for (int c = 0; c < count; ++c) f[c] = radial_.f(n + c)[mu];
            for (int i = 0; i < end; ++i) {
                vec total = M[i];
                for (int c = 0; c < count; ++c) total += f[c] * w[i * count + c];
                M[i] = total;
            }
        }
    }

    void invariants(const Model& model) {
        const Program& program = *model.program;
        vec* I = I_.reserve(program.size() + 1);
        for (int b = 0; b < program.size(); ++b) I[b] = invariant(program.invariants[b], S_.data());
    }

    /// R = dV/dS, and V = sum of linear invariants + half of sum S R over the quadratic ones.
    void differentiate(const Model& model, const Outputs& out) {
        const Program& program = *model.program;
        const vec* S = S_.data();
        vec* R = R_.reserve(program.slot_count);
        const InvariantCoeffs& own = model.coeffs_of(batch_.species);
        last_layer<real>(model, own, S, R);
        if (out.site_energies) {
            wide energy = radial_.repulsion + model.data.species_coeffs[batch_.species];
            for (const Segment& segment : program.segments) {
                vec sum = vec{};
                for (int i = segment.slot; i < segment.slot + segment.length; ++i)
                    sum += S[i] * R[i];
                energy += 0.5 * widen(sum);
            }
            for (const Partner& p : program.linear)
                energy += own.zeta[p.invariant] * widen(S[p.slot]);
            for (int l = 0; l < batch_.atoms; ++l) out.site_energies[batch_.atom[l]] = energy[l];
        }
        if (!(out.derivatives() || out.needs_rows())) return;
        for (const Partner& p : program.linear)
            R[p.slot] += static_cast<real>(own.zeta[p.invariant]);
        backward<real>(program, S, R, products_.data());
    }

    /// B_alpha = sum_b W[alpha, b] I_b of one lane.
    void scalars(const Model& model, int lane, double* B) const {
        for (const auto& sum : model.program->scalars) {
            double total = 0;
            for (const auto& term : sum) total += term.factor * I_.data()[term.source][lane];
            *B++ = total;
        }
    }

    void write_basis(const Model& model, double* basis) {
        for (int l = 0; l < batch_.atoms; ++l)
            scalars(model, l, basis + batch_.atom[l] * model.scalars());
    }

    /// g_j of all neighbours, and P_mu(u_j) where rows need them.
    void gradients(const Model& model, bool keep_values) {
        const int K = model.radial_funcs();
        polynomials_.prepare(model, R_.data());
        vec* g = g_.reserve(static_cast<size_t>(3) * batch_.size + 1);
        vec* P = P_.reserve(static_cast<size_t>(together) * K +
                            (keep_values ? static_cast<size_t>(K) * batch_.size : 0));
        for (int n = 0; n < batch_.size; n += together) {
            polynomials_.gradients<together>(model, &batch_.neighbour(n), radial_.f(n),
                                             radial_.df(n), P, g + 3 * n);
            if (keep_values) P += together * K;
        }
        if (!radial_.repulsive) return;
        for (int n = 0; n < batch_.size; ++n) {
            const Neighbour& j = batch_.neighbour(n);
            g[3 * n] += radial_.repulsion_slope(n) * j.x;
            g[3 * n + 1] += radial_.repulsion_slope(n) * j.y;
            g[3 * n + 2] += radial_.repulsion_slope(n) * j.z;
        }
    }

    /// dV/dc[z_j, mu, k] = sum_j Q_k(r_j) P_mu(u_j); dV/dxi0 = 1; dV/dxi_alpha = B_alpha.
    void write_rows(const Model& model, const int64_t* structure_of, const Outputs& out) {
        const int C = model.species(), K = model.radial_funcs(), R = model.basis_size();
        const size_t m = model.parameters();
        const vec* row = radial_rows(C, K, R);
        double* own = out.rows ? nullptr : own_row_.reserve(m);
        const int block = model.radial_block(), first = batch_.species * block;
        if (out.grades) add_to_grades(model, row, out);
        for (int l = 0; l < batch_.atoms && (out.rows || out.row_sums); ++l) {
            double* b = out.rows ? out.rows + batch_.atom[l] * m : own;
            for (size_t i = 0; i < m; ++i) b[i] = 0;
            for (int i = 0; i < block; ++i) b[first + i] = row[i][l] * model.data.scaling;
            double* linear = b + model.radial_parameters();
            linear[batch_.species] = 1.0;
            scalars(model, l, linear + C + model.moment_set(batch_.species) * model.scalars());
            if (out.row_sums)
                for (size_t i = 0; i < m; ++i) out.row_sums[structure_of[l] * m + i] += b[i];
        }
    }

    void add_to_grades(const Model& model, const vec* row, const Outputs& out) {
        double* x = grader_.add(out.active_set->matrices[batch_.species], batch_.atom, batch_.atoms,
                                out.grades);
        const auto write = [&x](const vec& value) {
            for (int l = 0; l < lanes; ++l) x[l] = value[l];
            x += Grader::tile;
        };
        const real scaling = model.data.scaling;
        for (int i = 0; i < model.radial_block(); ++i) write(row[i] * scaling);
        write(broadcast(1));
        for (int b = 0; b < model.program->size(); ++b) write(I_.data()[b]);
    }

    const vec* radial_rows(int C, int K, int R) {
        vec* row = row_.zeros(static_cast<size_t>(C) * K * R);
        for (int n = 0; n < batch_.size; ++n) {
            const Neighbour& j = batch_.neighbour(n);
            const vec *Q = radial_.basis(n), *P = P_.data() + static_cast<size_t>(n) * K;
            for (int z = j.lowest; z <= j.highest; ++z) {
                vec* out = row + z * K * R;
                for (int mu = 0; mu < K; ++mu) {
                    const vec here = only(j, z, P[mu]);
                    for (int k = 0; k < R; ++k) out[mu * R + k] += here * Q[k];
                }
            }
        }
        return row;
    }

    void write_forces(const Neighbourhoods& nb, const int64_t* structure_of, const Outputs& out) {
        vec own[3] = {vec{}, vec{}, vec{}};
        vec virial[6] = {};
        const real half = 0.5;
        for (int n = 0; n < batch_.size; ++n) {
            const Neighbour& j = batch_.neighbour(n);
            const vec* g = g_.data() + 3 * n;
            for (int d = 0; d < 3; ++d) own[d] += g[d];
            if (out.forces) {
                const int32_t* target = batch_.target(n);
                for (int l = 0; l < lanes; ++l) {  // g = 0 where there is no neighbour
                    double* F = out.forces + 3 * static_cast<int64_t>(target[l]);
                    for (int d = 0; d < 3; ++d) F[d] -= g[d][l];
                }
            }
            if (out.site_virials) write_site_virials(n, g, out.site_virials);
            if (out.virials) {
                const vec x = j.x * j.r, y = j.y * j.r, z = j.z * j.r;
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
    void write_site_virials(int n, const vec* g, double* virials) const {
        const Neighbour& j = batch_.neighbour(n);
        for (int l = 0; l < batch_.atoms; ++l) {
            if (!batch_.has(n, l)) continue;
            const double r[3] = {j.x[l] * j.r[l], j.y[l] * j.r[l], j.z[l] * j.r[l]};
            double* W = virials + 9 * static_cast<int64_t>(batch_.target(n)[l]);
            for (int a = 0; a < 3; ++a)
                for (int b = 0; b < 3; ++b) W[3 * a + b] -= r[a] * g[b][l];
        }
    }
};

}  // namespace mentor::MENTOR_ARCH
