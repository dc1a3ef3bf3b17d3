// Radial basis functions Q_k(r) = T_k(t) s(r), t = (2r - min_dist - max_dist) / (max_dist -
// min_dist).
#pragma once

#include <cmath>

#include "arch.hpp"
#include "model.hpp"

namespace mentor::MENTOR_ARCH {

/// The argument t of the Chebyshev polynomials and the factor s, with derivatives, at distances r.
/// `Real` is a double or a vec; `present` is 1 for a neighbour and 0 for padding.
template <class Real>
struct RadialArgument {
    Real t, dt_dr, s, ds_dr;

    RadialArgument(const PotentialData& p, Real r, Real present) {
        const double range = p.max_dist - p.min_dist;
        Real moving = present;
        if (p.radial_basis_type == RadialBasis::RBChebyshev_repuls) {
            const Real zero = Real{};
            const Real lowest = zero + p.min_dist;
            moving = r < lowest ? zero : present;
            r = r < lowest ? lowest : r;
        }
        t = (2.0 * r - (p.min_dist + p.max_dist)) / range;
        dt_dr = moving * (2.0 / range);
        if (p.radial_basis_type == RadialBasis::BChebyshev) {
            s = present;
            ds_dr = Real{};
        } else {
            const Real x = r - p.max_dist;
            s = present * x * x;
            ds_dr = 2.0 * moving * x;
        }
    }
};

/// Calls visit(k, T_k, dT_k/dt) for k < size.
template <class Real, class Visit>
inline void chebyshev(Real t, int size, Visit visit) {
    Real previous = Real{} + 1.0, current = t;
    Real dprevious = Real{}, dcurrent = Real{} + 1.0;
    visit(0, previous, dprevious);
    for (int k = 1; k < size; ++k) {
        visit(k, current, dcurrent);
        const Real next = 2.0 * t * current - previous;
        const Real dnext = 2.0 * current + 2.0 * t * dcurrent - dprevious;
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
