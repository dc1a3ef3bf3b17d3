// Grades of many atoms of one species at once.
//
// y = x G is a matrix product in single precision; the components that may be the largest, given
// how single precision rounds, are computed again in double precision, so that grades are exact.
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
            find_largest();
        }
        start();
    }

  private:
    static constexpr int groups = tile / width;
    typedef float single __attribute__((vector_size(register_bytes)));

    const GradeMatrix* matrix_ = nullptr;
    int count_ = 0;
    double* grades_[tile];
    double norms_[tile];
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

    /// The largest |y_j|, of those j for which |y_j| + error reaches every |y| - error.
    void find_largest() {
        const int m = matrix_->columns;
        const float* errors = matrix_->column_errors.data();
        const float* y = reinterpret_cast<const float*>(y_.data());
        float norm[tile], certain[tile];
        double grade[tile];
        for (int a = 0; a < tile; ++a) {
            norm[a] = static_cast<float>(norms_[a]);
            certain[a] = 0, grade[a] = 0;
        }
        for (int j = 0; j < m; ++j)
            for (int a = 0; a < tile; ++a) {
                const float least = std::abs(y[j * tile + a]) - errors[j] * norm[a];
                certain[a] = certain[a] < least ? least : certain[a];
            }
        for (int j = 0; j < m; ++j) {
            int any = 0;
            for (int a = 0; a < tile; ++a)
                any |= std::abs(y[j * tile + a]) + errors[j] * norm[a] >= certain[a];
            for (int a = 0; any && a < count_; ++a)
                if (std::abs(y[j * tile + a]) + errors[j] * norm[a] >= certain[a])
                    grade[a] = std::max(grade[a], std::abs(component(a, j)));
        }
        for (int a = 0; a < count_; ++a)
            if (grades_[a]) *grades_[a] = grade[a];
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
