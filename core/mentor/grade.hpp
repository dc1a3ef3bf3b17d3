// The extrapolation grade gamma = max_j |b A^-1|_j of rows b = dV_i/dtheta (or dE/dtheta).
//
// Podryabinkin & Shapeev, Comput. Mater. Sci. 140, 171 (2017), eq. 9.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <vector>

#include "model.hpp"

namespace mentor {

/// A^-1 of an active set, for the rows of atoms of one species.
///
/// A row is here x = (dV_i/dc[z_j, mu, k], 1, I_b), the invariants in place of the scalars and
/// without the zeros of other central species, and y = x G. Rows of G have unit norm; `scale` are
/// the factors that x takes for it.
struct GradeMatrix {
    static constexpr int panel = 4;  // columns that stand together in `panels`

    int rows = 0, columns = 0, panel_count = 0;
    std::vector<double> scale;         // [rows]
    std::vector<double> transposed;    // G^T, [columns][rows]
    std::vector<float> panels;         // G in single precision, [panel][rows][4]
    std::vector<float> column_errors;  // rounding of x G in single precision, by |x| = 1

    GradeMatrix() = default;
    GradeMatrix(int p, int m, const std::vector<double>& G) : rows(p), columns(m), scale(p) {
        panel_count = (m + panel - 1) / panel;
        transposed.resize(static_cast<size_t>(m) * p);
        panels.assign(static_cast<size_t>(panel_count) * p * panel, 0.0f);
        column_errors.assign(m, 0.0f);
        for (int i = 0; i < p; ++i) {
            double sum = 0;
            for (int j = 0; j < m; ++j)
                sum += G[static_cast<size_t>(i) * m + j] * G[static_cast<size_t>(i) * m + j];
            scale[i] = std::sqrt(sum);
            for (int j = 0; j < m; ++j) {
                const double g = scale[i] > 0 ? G[static_cast<size_t>(i) * m + j] / scale[i] : 0.0;
                transposed[static_cast<size_t>(j) * p + i] = g;
                panels[(static_cast<size_t>(j / panel) * p + i) * panel + j % panel] =
                    static_cast<float>(g);
                column_errors[j] += static_cast<float>(g * g);
            }
        }
        constexpr float rounding = 1.2e-7f;  // of one product and sum; errors of p of them add up
        for (float& e : column_errors) e = 4 * rounding * std::sqrt(e);
    }
};

/// A^-1 of an active set of a potential.
struct ActiveSetInverse {
    size_t size;                        // m, the number of parameters
    std::vector<double> inverse;        // [m][m], row by row
    std::vector<GradeMatrix> matrices;  // of each central species

    ActiveSetInverse(const Model& model, std::vector<double> values)
        : size(model.parameters()), inverse(std::move(values)) {
        if (inverse.size() != size * size)
            throw std::invalid_argument("the active set does not have the size of the potential");
        for (int z = 0; z < model.species(); ++z) matrices.push_back(matrix_of(model, z));
    }

    /// The grade of one row b of m numbers; NaN if one of them is not finite.
    double grade(const double* row) const {
        std::vector<double> product(size, 0.0);
        for (size_t i = 0; i < size; ++i) {
            if (row[i] == 0) continue;
            for (size_t j = 0; j < size; ++j) product[j] += row[i] * inverse[i * size + j];
        }
        double largest = 0, sum = 0;
        for (double x : product) {
            largest = std::max(largest, std::abs(x));
            sum += x;
        }
        return std::isfinite(sum) ? largest : std::numeric_limits<double>::quiet_NaN();
    }

  private:
    GradeMatrix matrix_of(const Model& model, int z) const {
        const size_t block = model.radial_block(), first = z * block;
        const size_t invariants = model.program->size(), linear = model.radial_parameters();
        const size_t scalars = linear + model.species() + model.moment_set(z) * model.scalars();
        const size_t p = block + 1 + invariants;
        std::vector<double> G(p * size, 0.0);
        const auto row = [&](size_t i) {
            return inverse.begin() + static_cast<std::ptrdiff_t>(i * size);
        };
        std::copy(row(first), row(first + block), G.begin());
        std::copy(row(linear + z), row(linear + z + 1),
                  G.begin() + static_cast<std::ptrdiff_t>(block * size));
        for (int alpha = 0; alpha < model.scalars(); ++alpha) {
            const double* from = &inverse[(scalars + alpha) * size];
            for (const auto& term : model.program->scalars[alpha]) {
                double* to = &G[(block + 1 + term.source) * size];
                for (size_t j = 0; j < size; ++j) to[j] += term.factor * from[j];
            }
        }
        return {static_cast<int>(p), static_cast<int>(size), G};
    }
};

}  // namespace mentor
