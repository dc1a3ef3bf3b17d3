// The extrapolation grade gamma = max_j |b A^-1|_j of rows b = dV_i/dtheta (or dE/dtheta).
//
// Podryabinkin & Shapeev, Comput. Mater. Sci. 140, 171 (2017), eq. 9.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <vector>

namespace mentor {

/// A^-1 of an active set of a potential with m parameters.
struct ActiveSetInverse {
    size_t size;                  // m
    std::vector<double> inverse;  // [m][m], row by row

    ActiveSetInverse(size_t m, std::vector<double> values) : size(m), inverse(std::move(values)) {
        if (inverse.size() != m * m)
            throw std::invalid_argument("the active set does not have the size of the potential");
    }

    /// The grade of one row b of m numbers.
    double grade(const double* row) const {
        std::vector<double> product(size, 0.0);
        for (size_t i = 0; i < size; ++i) {
            if (row[i] == 0) continue;
            for (size_t j = 0; j < size; ++j) product[j] += row[i] * inverse[i * size + j];
        }
        double largest = 0;
        for (double x : product) largest = std::max(largest, std::abs(x));
        return largest;
    }
};

}  // namespace mentor
