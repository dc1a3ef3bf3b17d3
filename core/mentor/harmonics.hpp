// Real spherical harmonics, their coupling, and polynomials on the unit sphere.
//
// Angular functions of a unit vector (x, y, z) are w[m, k] = z^k Re (x + iy)^m and z^k Im (x +
// iy)^m: all polynomials of degree d on the sphere are combinations of the (d + 1)^2 with m + k <=
// d. Those of degree n stand at n^2 : (n + 1)^2 in the order of m = 0, 1 Re, 1 Im, 2 Re, ... The
// harmonics are normalised as sum_m h_lm(u) h_lm(v) = P_l(u.v) and ordered by m in the same way, so
// that
//     h_l0 = P_l(z),    h_lm = sqrt(2 (l - m)! / (l + m)!) P_l^(m)(z) (Re, Im)(x + iy)^m.
#pragma once

#include <array>
#include <cmath>
#include <complex>
#include <cstdlib>
#include <map>
#include <vector>

namespace mentor {

/// The place of w[m, k] among the angular functions; `imaginary` only for m > 0.
inline int angular_index(int m, int k, bool imaginary) {
    const int n = m + k;
    return n * n + (m == 0 ? 0 : 2 * m - 1 + imaginary);
}

/// A polynomial on the sphere: angular function -> coefficient.
using Angular = std::map<int, double>;

/// x^a y^b z^c. With s = x + iy, x^a y^b is a sum of s^p conj(s)^q, and s conj(s) = 1 - z^2.
inline Angular monomial(int a, int b, int c) {
    const int n = a + b;
    std::vector<std::complex<double>> powers(n + 1, 0.0);  // of s, the others being of conj(s)
    powers[0] = 1.0;
    for (int factor = 0; factor < n; ++factor) {
        const bool is_x = factor < a;
        const std::complex<double> plus = is_x ? 0.5 : std::complex<double>(0, -0.5);
        const std::complex<double> minus = is_x ? 0.5 : std::complex<double>(0, 0.5);
        for (int p = factor + 1; p >= 0; --p)
            powers[p] = (p > 0 ? powers[p - 1] * plus : 0.0) + powers[p] * minus;
    }
    Angular sum;
    for (int p = 0; p <= n; ++p) {
        const int m = std::abs(2 * p - n), turns = std::min(p, n - p);
        const double sign = 2 * p >= n ? 1 : -1;  // of the imaginary part
        double binomial = 1;                      // (1 - z^2)^turns, term by term
        for (int j = 0; j <= turns; ++j) {
            sum[angular_index(m, c + 2 * j, false)] += powers[p].real() * binomial;
            if (m > 0) sum[angular_index(m, c + 2 * j, true)] -= sign * powers[p].imag() * binomial;
            binomial *= -static_cast<double>(turns - j) / (j + 1);
        }
    }
    for (auto term = sum.begin(); term != sum.end();)
        term = std::abs(term->second) < 1e-14 ? sum.erase(term) : std::next(term);
    return sum;
}

inline double factorial(int n) {
    static const std::array<double, 171> table = [] {  // 170! is the last finite one
        std::array<double, 171> products{1.0};
        for (size_t i = 1; i < products.size(); ++i) products[i] = products[i - 1] * i;
        return products;
    }();
    return table.at(n);
}

/// Component `place` (0 .. 2l) of the harmonics of degree l.
inline Angular harmonic(int l, int place) {
    const int m = (place + 1) / 2;
    const bool imaginary = place > 0 && place % 2 == 0;
    const double norm = m == 0 ? 1 : std::sqrt(2 * factorial(l - m) / factorial(l + m));
    Angular sum;
    for (int j = 0; l - 2 * j >= m; ++j) {
        const double legendre =
            (j % 2 ? -1 : 1) * factorial(2 * l - 2 * j) /
            (std::pow(2.0, l) * factorial(j) * factorial(l - j) * factorial(l - 2 * j - m));
        sum[angular_index(m, l - 2 * j - m, imaginary)] = norm * legendre;
    }
    return sum;
}

/// Clebsch-Gordan coefficient <l1 m1 l2 m2 | L m1+m2> by Racah's formula.
inline double clebsch_gordan(int l1, int m1, int l2, int m2, int L) {
    const int M = m1 + m2;
    if (std::abs(M) > L || L < std::abs(l1 - l2) || L > l1 + l2) return 0;
    const double front = std::sqrt((2 * L + 1) * factorial(L + l1 - l2) * factorial(L - l1 + l2) *
                                   factorial(l1 + l2 - L) / factorial(l1 + l2 + L + 1) *
                                   factorial(L + M) * factorial(L - M) * factorial(l1 - m1) *
                                   factorial(l1 + m1) * factorial(l2 - m2) * factorial(l2 + m2));
    double sum = 0;
    for (int k = 0; k <= l1 + l2 - L; ++k) {
        const std::array<int, 6> terms{k,           l1 + l2 - L - k, l1 - m1 - k,
                                       l2 + m2 - k, L - l2 + m1 + k, L - l1 - m2 + k};
        double product = k % 2 ? -1 : 1;
        for (int n : terms) product = n < 0 ? 0 : product / factorial(n);
        sum += product;
    }
    return front * sum;
}

/// One entry of the coupling of real harmonics: T_L[target] += factor h_l1[left] h_l2[right].
struct CouplingTerm {
    int target, left, right;
    double factor;
};

/// The tensor of degree L in the product of harmonics of degrees l1 and l2, up to a phase.
///
/// A real harmonic is (Y^m (-1)^m + Y^-m) / sqrt(2) or (Y^-m - (-1)^m Y^m) i / sqrt(2).
inline std::vector<CouplingTerm> coupling(int l1, int l2, int L) {
    using Complex = std::complex<double>;
    const auto parts = [](int place) {  // real harmonic = sum over its parts of factor Y^m
        const int m = (place + 1) / 2;
        const double half = std::sqrt(0.5), sign = m % 2 ? -half : half;
        std::vector<std::pair<int, Complex>> found;
        if (m == 0)
            found = {{0, 1.0}};
        else if (place % 2)
            found = {{m, sign}, {-m, half}};
        else
            found = {{m, Complex(0, -sign)}, {-m, Complex(0, half)}};
        return found;
    };
    std::vector<CouplingTerm> terms;
    for (int target = 0; target <= 2 * L; ++target)
        for (int left = 0; left <= 2 * l1; ++left)
            for (int right = 0; right <= 2 * l2; ++right) {
                Complex sum = 0;
                for (const auto& [M, c] : parts(target))
                    for (const auto& [m1, a] : parts(left))
                        for (const auto& [m2, b] : parts(right))
                            if (m1 + m2 == M)
                                sum += c * std::conj(a) * std::conj(b) *
                                       clebsch_gordan(l1, m1, l2, m2, L);
                const double factor = (l1 + l2 + L) % 2 ? sum.imag() : sum.real();
                if (std::abs(factor) > 1e-14) terms.push_back({target, left, right, factor});
            }
    return terms;
}

}  // namespace mentor
