// Radial basis functions Q_k(r) = T_k(t) s(r), t = (2r - min_dist - max_dist) / (max_dist -
// min_dist).
#pragma once

#include <cmath>

#include "batch.hpp"

namespace mentor::MENTOR_ARCH {

/// The argument t of the Chebyshev polynomials and the factor s, with derivatives, at distances r.
/// `Real` is a real or a vec; `present` is 1 for a neighbour and 0 for padding.
template <class Real>
struct RadialArgument {
    Real t, dt_dr, s, ds_dr;

    RadialArgument() = default;
    RadialArgument(const PotentialData& p, Real r, Real present) {
        const real min_dist = p.min_dist, max_dist = p.max_dist, range = max_dist - min_dist;
        const real two = 2;
        Real moving = present;
        if (p.radial_basis_type == RadialBasis::RBChebyshev_repuls) {
            const Real zero = Real{};
            const Real lowest = zero + min_dist;
            moving = r < lowest ? zero : present;
            r = r < lowest ? lowest : r;
        }
        t = (two * r - (min_dist + max_dist)) / range;
        dt_dr = moving * (two / range);
        if (p.radial_basis_type == RadialBasis::BChebyshev) {
            s = present;
            ds_dr = Real{};
        } else {
            const Real x = r - max_dist;
            s = present * x * x;
            ds_dr = two * moving * x;
        }
    }
};

/// Calls visit(k, T_k, dT_k/dt) for k < size.
template <class Real, class Visit>
inline void chebyshev(Real t, int size, Visit visit) {
    const real one = 1, two = 2;
    Real previous = Real{} + one, current = t;
    Real dprevious = Real{}, dcurrent = Real{} + one;
    visit(0, previous, dprevious);
    for (int k = 1; k < size; ++k) {
        visit(k, current, dcurrent);
        const Real next = two * t * current - previous;
        const Real dnext = two * current + two * t * dcurrent - dprevious;
        previous = current, current = next;
        dprevious = dcurrent, dcurrent = dnext;
    }
}

/// Energy (eV) and its derivative that RBChebyshev_repuls adds per neighbour below min_dist.
struct Repulsion {
    double energy = 0, derivative = 0;

    Repulsion(const PotentialData& p, double r) {
        if (p.radial_basis_type != RadialBasis::RBChebyshev_repuls || r >= p.min_dist) return;
        const double here = 1e4 * std::exp(-10.0 * (r - 1.0));
        energy = here - 1e4 * std::exp(-10.0 * (p.min_dist - 1.0));
        derivative = -10.0 * here;
    }
};

/// `x` in the lanes where the neighbour is of species z, 0 elsewhere.
inline vec only(const Neighbour& j, int z, const vec& x) {
    if (j.lowest == j.highest) return x;
    return j.species == broadcast(static_cast<real>(z)) ? x : vec{};
}

/// f_mu(r) = sum_k c_k Q_k(r) and their derivatives, for all neighbours of a batch.
class RadialFunctions {
  public:
    /// `keep_basis`: whether basis(n) will be asked for.
    void prepare(const Model& model, const Batch& batch, bool keep_basis) {
        K_ = model.radial_funcs(), R_ = model.basis_size();
        const size_t size = batch.size;
        f_.reserve(size * K_ + 1), df_.reserve(size * K_ + 1);
        T_.reserve(static_cast<size_t>(4) * R_);
        if (keep_basis) Q_.reserve(size * R_ + 1);
        int n = 0;
        const int species = batch.species;
        for (; n + 4 <= batch.size; n += 4)
            add<4>(model, species, &batch.neighbour(n), n, keep_basis);
        for (; n < batch.size; n += 2) add<2>(model, species, &batch.neighbour(n), n, keep_basis);
        repulsion = wide{};
        repulsive = model.data.radial_basis_type == RadialBasis::RBChebyshev_repuls;
        if (repulsive) repel(model, batch);
        if (batch.closest < model.core_reach[species]) add_core(model, batch, keep_basis);
    }

    /// f_mu(r_n), [K].
    const vec* f(int n) const { return f_.data() + n * K_; }
    /// df_mu/dr, [K].
    const vec* df(int n) const { return df_.data() + n * K_; }
    /// Q_k(r_n), [R].
    const vec* basis(int n) const { return Q_.data() + n * R_; }

    bool repulsive = false;
    wide repulsion;  // energy that RBChebyshev_repuls or the core adds to each atom, eV
    /// Its derivative by r_n.
    const vec& repulsion_slope(int n) const { return slope_.data()[n]; }

  private:
    int K_ = 0, R_ = 0;
    Buffer<vec> f_, df_, T_, Q_, slope_;

    /// `count` neighbours j from n on: T_k once, then for each mu the sums over k.
    template <int count>
    void add(const Model& model, int species, const Neighbour* j, int n, bool keep_basis) {
        RadialArgument<vec> x[count];
        vec* T = T_.data();
        int lowest = model.species() - 1, highest = 0;
        for (int c = 0; c < count; ++c) {
            x[c] = RadialArgument<vec>(model.data, j[c].r, j[c].present);
            lowest = std::min(lowest, j[c].lowest), highest = std::max(highest, j[c].highest);
            const vec twice = x[c].t + x[c].t;
            vec before = broadcast(1), here = x[c].t;
            T[c] = before;
            for (int k = 1; k < R_; ++k) {
                T[k * count + c] = here;
                const vec next = twice * here - before;
                before = here, here = next;
            }
            if (keep_basis)
                for (int k = 0; k < R_; ++k)
                    Q_.data()[(n + c) * R_ + k] = T[k * count + c] * x[c].s;
        }
        vec *f = f_.data() + n * K_, *df = df_.data() + n * K_;
        if (lowest < highest)
            for (int i = 0; i < count * K_; ++i) f[i] = df[i] = vec{};
        for (int z = lowest; z <= highest; ++z) {
            const size_t first = (species * model.species() + z) * K_ * R_;
            const real* coeffs = model.coeffs.data<real>() + first;
            const real* slopes = model.slopes.data<real>() + first;
            for (int mu = 0; mu < K_; ++mu) {
                vec sum[count], slope[count];
                for (int c = 0; c < count; ++c) sum[c] = slope[c] = vec{};
                for (int k = 0; k < R_; ++k)
                    for (int c = 0; c < count; ++c) {
                        sum[c] += coeffs[mu * R_ + k] * T[k * count + c];
                        slope[c] += slopes[mu * R_ + k] * T[k * count + c];
                    }
                for (int c = 0; c < count; ++c) {
                    const vec value = sum[c] * x[c].s;
                    const vec derivative = slope[c] * x[c].dt_dr * x[c].s + sum[c] * x[c].ds_dr;
                    if (lowest == highest) {
                        f[c * K_ + mu] = value, df[c * K_ + mu] = derivative;
                    } else {
                        const vec here = broadcast(static_cast<real>(z));
                        f[c * K_ + mu] = j[c].species == here ? value : f[c * K_ + mu];
                        df[c * K_ + mu] = j[c].species == here ? derivative : df[c * K_ + mu];
                    }
                }
            }
        }
    }

    void repel(const Model& model, const Batch& batch) {
        vec* slope = slope_.reserve(batch.size + 1);
        for (int n = 0; n < batch.size; ++n) {
            const Neighbour& j = batch.neighbour(n);
            slope[n] = vec{};
            for (int l = 0; l < lanes; ++l) {
                if (j.present[l] == 0) continue;
                const Repulsion here(model.data, j.r[l]);
                repulsion[l] += here.energy;
                slope[n][l] = here.derivative;
            }
        }
    }

    /// Neighbours within the core of their pair: f_mu anew, and half of the pair's energy.
    void add_core(const Model& model, const Batch& batch, bool keep_basis) {
        const ShortRangeCore* cores = model.cores.data() + batch.species * model.species();
        repulsive = true;
        vec* slope = slope_.zeros(batch.size + 1);
        for (int n = 0; n < batch.size; ++n) {
            Neighbour j = batch.neighbour(n);
            vec moving = broadcast(1);
            bool any = false;
            for (int l = 0; l < lanes; ++l) {
                if (j.present[l] == 0) continue;
                const int z = j.lowest == j.highest ? j.lowest : static_cast<int>(j.species[l]);
                const double r = j.r[l];
                if (!(r < cores[z].radius)) continue;
                const auto energy = cores[z].energy(r), distance = cores[z].distance(r);
                repulsion[l] += energy.value / 2;
                slope[n][l] = energy.slope / 2;
                j.r[l] = distance.value, moving[l] = distance.slope;
                any = true;
            }
            if (!any) continue;
            add<1>(model, batch.species, &j, n, keep_basis);
            for (int mu = 0; mu < K_; ++mu) df_.data()[n * K_ + mu] *= moving;
        }
    }
};

}  // namespace mentor::MENTOR_ARCH
