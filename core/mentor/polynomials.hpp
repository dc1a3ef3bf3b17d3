// Angular functions w[m, k] = z^k (Re, Im)(x + iy)^m of unit vectors, and polynomials made of them.
#pragma once

#include "batch.hpp"
#include "model.hpp"

namespace mentor::MENTOR_ARCH {

/// w[i * count + c], function i of neighbour c, up to degree `highest` (order: harmonics.hpp).
template <int count>
inline void angular_functions(const Neighbour* j, int highest, vec* w) {
    for (int c = 0; c < count; ++c) w[c] = broadcast(1);
    if (highest == 0) return;
    vec x[count], y[count], z[count], re[count], im[count];
    for (int c = 0; c < count; ++c) {
        x[c] = re[c] = w[2 * count + c] = j[c].x;
        y[c] = im[c] = w[3 * count + c] = j[c].y;
        z[c] = w[count + c] = j[c].z;
    }
    for (int n = 2; n <= highest; ++n) {
        const vec* lower = w + (n - 1) * (n - 1) * count;
        vec* here = w + n * n * count;
        const int size = 2 * n - 1;
        for (int i = 0; i < size; ++i)
            for (int c = 0; c < count; ++c) here[i * count + c] = z[c] * lower[i * count + c];
        for (int c = 0; c < count; ++c) {
            const vec next = x[c] * re[c] - y[c] * im[c];
            im[c] = x[c] * im[c] + y[c] * re[c];
            re[c] = next;
            here[size * count + c] = re[c];
            here[(size + 1) * count + c] = im[c];
        }
    }
}

/// P_mu(u) = sum_w A[mu, w] w(u), with gradients, by Horner's rule in z for each power of x + iy.
class Polynomials {
  public:
    /// Sort A by powers of x + iy; for each the coefficients of z^k from the highest k down.
    void prepare(const Model& model, const vec* A) {
        vec* sorted = sorted_.reserve(model.program->moment_count);
        for (int mu = 0; mu < model.radial_funcs(); ++mu) {
            const vec* own = A + model.reduced_begin[mu];
            const int d = model.degree[mu];
            for (int m = 0; m <= d; ++m)
                for (int k = d - m; k >= 0; --k) {
                    const int i = (m + k) * (m + k) + (m == 0 ? 0 : 2 * m - 1);
                    *sorted++ = own[i];
                    if (m > 0) *sorted++ = own[i + 1];
                }
        }
        powers_.reserve(static_cast<size_t>(8) * (model.highest_degree + 1));
    }

    /// P[c * K + mu] = P_mu(u_c), and g[3c : 3c + 3], the derivative of V by r_c, for `count`
    /// neighbours with radial functions f[c * K + mu] and their derivatives df.
    template <int count>
    void gradients(const Model& model, const Neighbour* j, const vec* f, const vec* df, vec* P,
                   vec* g) {
        powers<count>(j, model.highest_degree);
        const int K = model.radial_funcs();
        vec radial[count], gx[count], gy[count], gz[count];
        for (int c = 0; c < count; ++c) radial[c] = gx[c] = gy[c] = gz[c] = vec{};
        const vec* a = sorted_.data();
        for (int mu = 0; mu < K; ++mu) {
            vec value[count], dx[count], dy[count], dz[count];
            a = polynomial<count>(model.degree[mu], j, a, value, dx, dy, dz);
            for (int c = 0; c < count; ++c) {
                const vec here = f[c * K + mu];
                P[c * K + mu] = value[c];
                radial[c] += df[c * K + mu] * value[c];
                gx[c] += here * dx[c];
                gy[c] += here * dy[c];
                gz[c] += here * dz[c];
            }
        }
        for (int c = 0; c < count; ++c) {
            const vec dot = gx[c] * j[c].x + gy[c] * j[c].y + gz[c] * j[c].z;
            const vec along = radial[c] - dot * j[c].inverse_r;
            g[3 * c] = along * j[c].x + gx[c] * j[c].inverse_r;
            g[3 * c + 1] = along * j[c].y + gy[c] * j[c].inverse_r;
            g[3 * c + 2] = along * j[c].z + gz[c] * j[c].inverse_r;
        }
    }

  private:
    Buffer<vec> sorted_, powers_;

    /// powers_[(4m + 0..3) * count + c]: Re, Im of s^m and of m s^(m-1), s = x + iy.
    template <int count>
    void powers(const Neighbour* j, int highest) {
        vec* out = powers_.data();
        vec re[count], im[count];
        for (int c = 0; c < count; ++c) re[c] = broadcast(1), im[c] = vec{};
        for (int m = 1; m <= highest; ++m) {
            out += 4 * count;
            const real times = m;
            for (int c = 0; c < count; ++c) {
                out[2 * count + c] = times * re[c];
                out[3 * count + c] = times * im[c];
                const vec next = j[c].x * re[c] - j[c].y * im[c];
                im[c] = j[c].x * im[c] + j[c].y * re[c];
                re[c] = next;
                out[c] = re[c];
                out[count + c] = im[c];
            }
        }
    }

    /// One polynomial of degree d at `count` points; returns the coefficients after its own.
    template <int count>
    const vec* polynomial(int d, const Neighbour* j, const vec* a, vec* value, vec* dx, vec* dy,
                          vec* dz) const {
        vec z[count];
        for (int c = 0; c < count; ++c) {
            z[c] = j[c].z;
            value[c] = *a;
            dx[c] = dy[c] = dz[c] = vec{};
        }
        ++a;
        for (int k = 0; k < d; ++k, ++a)
            for (int c = 0; c < count; ++c) {
                dz[c] = dz[c] * z[c] + value[c];
                value[c] = value[c] * z[c] + *a;
            }
        const vec* s = powers_.data();
        for (int m = 1; m <= d; ++m) {
            s += 4 * count;
            vec p[count], q[count], dp[count], dq[count];  // coefficients of Re and Im s^m
            for (int c = 0; c < count; ++c) {
                p[c] = a[0], q[c] = a[1];
                dp[c] = dq[c] = vec{};
            }
            a += 2;
            for (int k = 0; k < d - m; ++k, a += 2)
                for (int c = 0; c < count; ++c) {
                    dp[c] = dp[c] * z[c] + p[c];
                    dq[c] = dq[c] * z[c] + q[c];
                    p[c] = p[c] * z[c] + a[0];
                    q[c] = q[c] * z[c] + a[1];
                }
            for (int c = 0; c < count; ++c) {
                const vec re = s[c], im = s[count + c];
                const vec lower_re = s[2 * count + c], lower_im = s[3 * count + c];
                value[c] += p[c] * re + q[c] * im;
                dz[c] += dp[c] * re + dq[c] * im;
                dx[c] += p[c] * lower_re + q[c] * lower_im;
                dy[c] += q[c] * lower_re - p[c] * lower_im;
            }
        }
        return a;
    }
};

}  // namespace mentor::MENTOR_ARCH
