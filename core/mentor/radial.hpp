// Radial basis functions Q_k(r) = T_k(t) s(r), t = (2r - min_dist - max_dist) / (max_dist -
// min_dist).
#pragma once

#include <cmath>

#include "arch.hpp"
#include "model.hpp"

namespace mentor::MENTOR_ARCH {

/// The argument t of the Chebyshev polynomials and the factor s, with derivatives, at distances r.
/// `Real` is a real or a vec; `present` is 1 for a neighbour and 0 for padding.
template <class Real>
struct RadialArgument {
    Real t, dt_dr, s, ds_dr;

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

}  // namespace mentor::MENTOR_ARCH
