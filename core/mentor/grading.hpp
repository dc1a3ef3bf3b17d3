// Grades of many atoms of one species at once.
//
// y = x G is a matrix product in single precision; the components that may be the largest, given
// how single precision rounds, are computed again in double precision, so that grades are exact.
// Where that leaves too many of them, as with training sets that hold little but perfect crystals,
// the product is done in double precision.
#pragma once

#include "batch.hpp"
#include "grade.hpp"

namespace mentor::MENTOR_ARCH {

/// Collects rows x of atoms of one species until there are enough for an efficient product.
class Grader {
  public:
    static constexpr int width = register_bytes / static_cast<int>(sizeof(float));
    static constexpr int tile = 3 * width;  // atoms; the rows are stored as [row][tile]

    void start() {
        count_ = 0;
        matrix_ = nullptr;
    }

    /// Room for the rows of one more batch, of which lane l's grade goes to grades + atom[l].
    double* add(const GradeMatrix& matrix, const int64_t* atom, int atoms, double* grades) {
        if (matrix_ != &matrix || count_ + lanes > tile) finish();
        if (matrix_ != &matrix) {
            matrix_ = &matrix;
            rows_.zeros(static_cast<size_t>(tile) * matrix.rows);
            x_.reserve(static_cast<size_t>(groups) * matrix.rows);
            y_.reserve(static_cast<size_t>(groups) * matrix.panel_count * GradeMatrix::panel);
        }
        for (int l = 0; l < lanes; ++l)
            grades_[count_ + l] = l < atoms ? grades + atom[l] : nullptr;
        double* place = rows_.data() + count_;
        count_ += lanes;
        return place;
    }

    /// Compute the grades of the rows collected.
    void finish() {
        if (count_ > 0) {
            pack();
            multiply();
            if (!find_largest()) multiply_in_double();
            for (int a = 0; a < count_; ++a)
                if (grades_[a])
                    *grades_[a] = std::isfinite(norms_[a])
                                      ? largest_[a]
                                      : std::numeric_limits<double>::quiet_NaN();
        }
        start();
    }

  private:
    static constexpr int groups = tile / width;
    typedef float single __attribute__((vector_size(register_bytes)));

    const GradeMatrix* matrix_ = nullptr;
    int count_ = 0;
    double* grades_[tile];
    double norms_[tile], largest_[tile];
    Buffer<double> rows_;
    Buffer<single> x_, y_;  // [row][group], [column][group]

    void pack() {
        for (double& norm : norms_) norm = 0;
        for (int i = 0; i < matrix_->rows; ++i) {
            double* row = rows_.data() + static_cast<size_t>(i) * tile;
            float* x = reinterpret_cast<float*>(x_.data() + static_cast<size_t>(i) * groups);
            const double scale = matrix_->scale[i];
            for (int a = 0; a < tile; ++a) {
                row[a] *= scale;
                norms_[a] += row[a] * row[a];
                x[a] = static_cast<float>(row[a]);
            }
        }
        for (double& norm : norms_) norm = std::sqrt(norm);
    }

    void multiply() {
        constexpr int panel = GradeMatrix::panel;
        const int p = matrix_->rows;
        const float* G = matrix_->panels.data();
        single* y = y_.data();
        for (int j = 0; j < matrix_->panel_count; ++j, y += panel * groups) {
            single total[panel][groups] = {};
            const single* x = x_.data();
            for (int i = 0; i < p; ++i, x += groups, G += panel)
                for (int c = 0; c < panel; ++c)
                    for (int g = 0; g < groups; ++g) total[c][g] += G[c] * x[g];
            for (int c = 0; c < panel; ++c)
                for (int g = 0; g < groups; ++g) y[c * groups + g] = total[c][g];
        }
    }

    /// The largest |y_j|, of those j for which |y_j| + error reaches every |y| - error; false if
    /// these are too many.
    bool find_largest() {
        const int m = matrix_->columns;
        const float* errors = matrix_->column_errors.data();
        const float* y = reinterpret_cast<const float*>(y_.data());
        float norm[tile], certain[tile];
        for (int a = 0; a < tile; ++a) {
            norm[a] = static_cast<float>(norms_[a]);
            certain[a] = 0, largest_[a] = 0;
        }
        for (int j = 0; j < m; ++j)
            for (int a = 0; a < tile; ++a) {
                const float least = std::abs(y[j * tile + a]) - errors[j] * norm[a];
                certain[a] = certain[a] < least ? least : certain[a];
            }
        int left = m * count_ / 16;  // of what costs more than the product in double precision
        for (int j = 0; j < m; ++j) {
            int any = 0;
            for (int a = 0; a < tile; ++a)
                any |= std::abs(y[j * tile + a]) + errors[j] * norm[a] >= certain[a];
            for (int a = 0; any && a < count_; ++a)
                if (std::abs(y[j * tile + a]) + errors[j] * norm[a] >= certain[a]) {
                    if (--left < 0) return false;
                    largest_[a] = std::max(largest_[a], std::abs(component(a, j)));
                }
        }
        return true;
    }

    void multiply_in_double() {
        constexpr int together = 2, parts = tile / lanes;
        const int m = matrix_->columns, p = matrix_->rows;
        int best[tile] = {};
        for (double& largest : largest_) largest = 0;
        for (int j = 0; j < m; j += together) {
            const double* G[together];
            for (int c = 0; c < together; ++c)
                G[c] = matrix_->transposed.data() + static_cast<size_t>(std::min(j + c, m - 1)) * p;
            wide total[together][parts] = {};
            const wide* x = reinterpret_cast<const wide*>(rows_.data());
            for (int i = 0; i < p; ++i, x += parts)
                for (int c = 0; c < together; ++c)
                    for (int g = 0; g < parts; ++g) total[c][g] += G[c][i] * x[g];
            for (int c = 0; c < together; ++c)
                for (int a = 0; a < tile; ++a) {
                    const double y = std::abs(total[c][a / lanes][a % lanes]);
                    if (y > largest_[a]) largest_[a] = y, best[a] = std::min(j + c, m - 1);
                }
        }
        for (int a = 0; a < count_; ++a)  // the same sum as find_largest, to the last bit
            largest_[a] = std::abs(component(a, best[a]));
    }

    /// y_j of one atom in double precision.
    double component(int a, int j) const {
        const int p = matrix_->rows;
        const double *G = matrix_->transposed.data() + static_cast<size_t>(j) * p,
                     *x = rows_.data() + a;
        double sum[4] = {0, 0, 0, 0};
        int i = 0;
        for (; i + 4 <= p; i += 4)
            for (int k = 0; k < 4; ++k) sum[k] += G[i + k] * x[static_cast<size_t>(i + k) * tile];
        for (; i < p; ++i) sum[0] += G[i] * x[static_cast<size_t>(i) * tile];
        return sum[0] + sum[1] + sum[2] + sum[3];
    }
};

}  // namespace mentor::MENTOR_ARCH
