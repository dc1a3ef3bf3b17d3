// Products of the components of two harmonics, arranged by their order m.
//
// Harmonics of order m > 0 are the real and imaginary part of a complex number times (x + iy)^m.
// The four products of two such pairs are stored as the real and imaginary parts of the products of
// the complex numbers, of order m1 + m2, and with the second one conjugated, of order m1 - m2: each
// then enters only one component of a coupled tensor, and sums over them are half as long.
#pragma once

#include <vector>

#include "harmonics.hpp"
#include "program.hpp"

namespace mentor {

/// Calls single(a, b) for products with a component of order 0 and quad(a, b) for the four of
/// (a, a + 1) and (b, b + 1).
template <class Single, class Quad>
inline void for_products(int n_left, int n_right, Single single, Quad quad) {
    for (int b = 0; b < n_right; ++b) single(0, b);
    for (int a = 1; a < n_left; ++a) single(a, 0);
    for (int a = 1; a < n_left; a += 2)
        for (int b = 1; b < n_right; b += 2) quad(a, b);
}

/// p[a * n_right + b], the products of left and right.
template <class Left, class Right, class Value>
inline void multiply(const Left* left, int n_left, const Right* right, int n_right, Value* p) {
    for_products(
        n_left, n_right, [&](int a, int b) { p[a * n_right + b] = left[a] * right[b]; },
        [&](int a, int b) {
            const Value rr = left[a] * right[b], ri = left[a] * right[b + 1];
            const Value ir = left[a + 1] * right[b], ii = left[a + 1] * right[b + 1];
            Value *first = p + a * n_right + b, *second = first + n_right;
            first[0] = rr - ii, first[1] = ri + ir;
            second[0] = ir - ri, second[1] = rr + ii;
        });
}

/// Adds to d_left the derivatives that follow from those by the products, d_p.
template <class Derivative, class Right, class Result>
inline void pull_left(const Derivative* d_p, int n_left, const Right* right, int n_right,
                      Result* d_left) {
    for_products(
        n_left, n_right, [&](int a, int b) { d_left[a] += right[b] * d_p[a * n_right + b]; },
        [&](int a, int b) {
            const Derivative *first = d_p + a * n_right + b, *second = first + n_right;
            d_left[a] += right[b] * (first[0] + second[1]) + right[b + 1] * (first[1] - second[0]);
            d_left[a + 1] +=
                right[b] * (first[1] + second[0]) + right[b + 1] * (second[1] - first[0]);
        });
}

/// The same for d_right.
template <class Derivative, class Left, class Result>
inline void pull_right(const Derivative* d_p, const Left* left, int n_left, int n_right,
                       Result* d_right) {
    for_products(
        n_left, n_right, [&](int a, int b) { d_right[b] += left[a] * d_p[a * n_right + b]; },
        [&](int a, int b) {
            const Derivative *first = d_p + a * n_right + b, *second = first + n_right;
            d_right[b] += left[a] * (first[0] + second[1]) + left[a + 1] * (first[1] + second[0]);
            d_right[b + 1] +=
                left[a] * (first[1] - second[0]) + left[a + 1] * (second[1] - first[0]);
        });
}

/// The components of the tensor of degree L as sums of the products.
inline std::vector<std::vector<Term>> coupled_sums(int l1, int l2, int L) {
    const int n_left = 2 * l1 + 1, n_right = 2 * l2 + 1;
    std::vector<std::vector<Term>> sums(2 * L + 1);
    std::vector<std::vector<double>> plain(2 * L + 1, std::vector<double>(n_left * n_right, 0.0));
    for (const auto& term : coupling(l1, l2, L))
        plain[term.target][term.left * n_right + term.right] = term.factor;
    for (int component = 0; component <= 2 * L; ++component) {
        const std::vector<double>& c = plain[component];
        const auto add = [&](int product, double factor) {
            if (std::abs(factor) > 1e-14) sums[component].push_back({product, factor});
        };
        for_products(
            n_left, n_right, [&](int a, int b) { add(a * n_right + b, c[a * n_right + b]); },
            [&](int a, int b) {
                const int first = a * n_right + b, second = first + n_right;
                add(first, (c[first] - c[second + 1]) / 2);
                add(first + 1, (c[first + 1] + c[second]) / 2);
                add(second, (c[second] - c[first + 1]) / 2);
                add(second + 1, (c[first] + c[second + 1]) / 2);
            });
    }
    return sums;
}

}  // namespace mentor
