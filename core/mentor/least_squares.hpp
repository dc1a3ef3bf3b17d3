// Dense linear algebra of the planner: small, and needed once for each basis.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

namespace mentor {

/// Columns of equal length.
using Columns = std::vector<std::vector<double>>;

inline double dot(const std::vector<double>& a, const std::vector<double>& b, size_t from = 0) {
    double sum = 0;
    for (size_t i = from; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

/// Orthonormal vectors, to which independent ones are added one at a time.
class Orthonormal {
  public:
    /// Adds `v` unless it is a combination of those there, to a relative `tolerance`.
    bool add(std::vector<double> v, double tolerance = 1e-8) {
        const double before = std::sqrt(dot(v, v));
        for (int again = 0; again < 2; ++again)
            for (const auto& q : vectors_) {
                const double part = dot(q, v);
                for (size_t i = 0; i < v.size(); ++i) v[i] -= part * q[i];
            }
        const double after = std::sqrt(dot(v, v));
        if (!(after > tolerance * before)) return false;
        for (double& x : v) x /= after;
        vectors_.push_back(std::move(v));
        return true;
    }

  private:
    Columns vectors_;
};

/// X with sum_c X[y][c] A[c] ~ Y[y] for every y in the least-squares sense, by Householder's QR.
///
/// The columns of A must be independent. `residual` receives the largest relative norm of a rest.
inline Columns least_squares(Columns A, Columns Y, double& residual) {
    const size_t n = A.size();
    std::vector<double> scale(n), diagonal(n);
    for (size_t c = 0; c < n; ++c) {
        scale[c] = 1 / std::sqrt(dot(A[c], A[c]));
        for (double& x : A[c]) x *= scale[c];
    }
    const auto reflect = [](const std::vector<double>& v, std::vector<double>& x, size_t from) {
        const double twice = 2 * dot(v, x, from);
        for (size_t i = from; i < x.size(); ++i) x[i] -= twice * v[i];
    };
    std::vector<double> norms(Y.size());
    for (size_t y = 0; y < Y.size(); ++y) norms[y] = std::sqrt(dot(Y[y], Y[y]));
    Columns R(n);  // above the diagonal
    for (size_t c = 0; c < n; ++c) {
        for (size_t before = 0; before < c; ++before) reflect(A[before], A[c], before);
        R[c].assign(A[c].begin(), A[c].begin() + static_cast<std::ptrdiff_t>(c));
        const double norm = std::sqrt(dot(A[c], A[c], c));
        diagonal[c] = A[c][c] > 0 ? -norm : norm;
        A[c][c] -= diagonal[c];
        const double length = std::sqrt(dot(A[c], A[c], c));
        for (size_t i = 0; i < A[c].size(); ++i) A[c][i] = i < c ? 0 : A[c][i] / length;
        for (auto& y : Y) reflect(A[c], y, c);
    }
    residual = 0;
    Columns X(Y.size(), std::vector<double>(n));
    for (size_t y = 0; y < Y.size(); ++y) {
        const double rest = std::sqrt(dot(Y[y], Y[y], n));
        if (norms[y] > 0 && !(rest <= residual * norms[y])) residual = rest / norms[y];
        for (size_t c = n; c-- > 0;) {
            const double x = Y[y][c] / diagonal[c];
            for (size_t i = 0; i < c; ++i) Y[y][i] -= x * R[c][i];
            X[y][c] = x * scale[c];
        }
    }
    return X;
}

}  // namespace mentor
