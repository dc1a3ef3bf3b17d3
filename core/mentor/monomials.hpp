// Monomials x^a y^b z^c, c <= 1, of a unit vector: all that moments need, since z^2 = 1 - x^2 -
// y^2.
//
// Those of degree nu stand at nu^2 : (nu + 1)^2; first c = 0 with a = nu, ..., 0, then c = 1 with
// a = nu - 1, ..., 0. Each is a lower one times x, the last of a row times y: the loops below.
#pragma once

#include "arch.hpp"

namespace mentor::MENTOR_ARCH {

/// mono[i] for all degrees up to `highest`.
inline void monomials(const vec& x, const vec& y, const vec& z, int highest, vec* mono) {
    mono[0] = broadcast(1);
    if (highest == 0) return;
    mono[1] = x, mono[2] = y, mono[3] = z;
    for (int nu = 2; nu <= highest; ++nu) {
        const vec* lower = mono + (nu - 1) * (nu - 1);
        vec* here = mono + nu * nu;
        for (int i = 0; i < nu; ++i) here[i] = x * lower[i];
        here[nu] = y * lower[nu - 1];
        lower += nu, here += nu + 1;
        for (int i = 0; i < nu - 1; ++i) here[i] = x * lower[i];
        here[nu - 1] = y * lower[nu - 2];
    }
}

/// du += the gradient with respect to (x, y, z) of sum_i t[i] mono[i]; t is overwritten.
inline void reverse_monomials(const vec& x, const vec& y, int highest, const vec* mono, vec* t,
                              vec* du) {
    vec dx = vec{}, dy = vec{};
    for (int nu = highest; nu >= 2; --nu) {
        const vec* lower = mono + (nu - 1) * (nu - 1);
        vec* lower_t = t + (nu - 1) * (nu - 1);
        const vec* here = t + nu * nu;
        for (int i = 0; i < nu; ++i) {
            lower_t[i] += x * here[i];
            dx += here[i] * lower[i];
        }
        lower_t[nu - 1] += y * here[nu];
        dy += here[nu] * lower[nu - 1];
        lower += nu, lower_t += nu, here += nu + 1;
        for (int i = 0; i < nu - 1; ++i) {
            lower_t[i] += x * here[i];
            dx += here[i] * lower[i];
        }
        lower_t[nu - 2] += y * here[nu - 1];
        dy += here[nu - 1] * lower[nu - 2];
    }
    if (highest > 0) {
        dx += t[1];
        dy += t[2];
        du[2] += t[3];
    }
    du[0] += dx;
    du[1] += dy;
}

}  // namespace mentor::MENTOR_ARCH
