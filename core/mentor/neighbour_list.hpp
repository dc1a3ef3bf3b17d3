// All pairs of atoms nearer than a cutoff, periodic images included, by binning; linear in atoms.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace mentor {

using Vector = std::array<double, 3>;

inline double dot(const Vector& a, const Vector& b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
inline Vector cross(const Vector& a, const Vector& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

/// One structure. Cell vectors are rows; they must be independent, also in directions that do not
/// repeat, where any vector out of the plane of the others serves.
struct Periodic {
    int64_t atoms;
    const double* positions;  // [atoms][3], Å
    const double* cell;       // [3][3], Å
    const bool* pbc;          // [3]
};

/// Directed pairs in the order of their first atom.
struct Pairs {
    std::vector<int64_t> offsets{0};
    std::vector<int32_t> neighbours;
    std::vector<double> displacements;  // r_ij = x_j + image - x_i
};

class NeighbourSearch {
  public:
    NeighbourSearch(const Periodic& structure, double cutoff) : cutoff_(cutoff) {
        for (int d = 0; d < 3; ++d)
            for (int a = 0; a < 3; ++a) cell_[d][a] = structure.cell[3 * d + a];
        const double volume = dot(cell_[0], cross(cell_[1], cell_[2]));
        for (int d = 0; d < 3; ++d) {
            reciprocal_[d] = cross(cell_[(d + 1) % 3], cell_[(d + 2) % 3]);
            for (double& x : reciprocal_[d]) x /= volume;
            height_[d] = 1.0 / std::sqrt(dot(reciprocal_[d], reciprocal_[d]));
            periodic_[d] = structure.pbc[d];
        }
        place(structure);
        sort_into_bins(structure.atoms);
    }

    /// Append the pairs of all atoms; neighbour indices are shifted by `first`.
    void append(Pairs& pairs, int64_t first) const {
        const int64_t atoms = static_cast<int64_t>(position_.size());
        for (int64_t i = 0; i < atoms; ++i) {
            visit(i, [&](int64_t j, const Vector& d) {
                pairs.neighbours.push_back(static_cast<int32_t>(first + j));
                pairs.displacements.insert(pairs.displacements.end(), d.begin(), d.end());
            });
            pairs.offsets.push_back(static_cast<int64_t>(pairs.neighbours.size()));
        }
    }

  private:
    double cutoff_;
    std::array<Vector, 3> cell_, reciprocal_;
    std::array<double, 3> height_;  // distance between the cell's faces
    std::array<bool, 3> periodic_;
    std::array<double, 3> low_, extent_;  // fractional range covered by the bins
    std::array<int, 3> bins_, reach_;     // number of bins; how many bins the cutoff reaches
    std::vector<Vector> position_;        // wrapped into the cell where it repeats
    std::vector<std::array<int, 3>> bin_;
    std::vector<int64_t> bin_begin_, order_;  // atoms order_[bin_begin_[b] : bin_begin_[b + 1]]
    std::vector<Vector> binned_;              // positions in that order

    void place(const Periodic& structure) {
        std::vector<Vector> fractional(structure.atoms);
        std::array<double, 3> high;
        low_.fill(0), high.fill(1);
        for (int d = 0; d < 3; ++d)
            if (!periodic_[d]) low_[d] = 1e300, high[d] = -1e300;
        position_.resize(structure.atoms);
        for (int64_t i = 0; i < structure.atoms; ++i) {
            const double* x = structure.positions + 3 * i;
            Vector& p = position_[i] = {x[0], x[1], x[2]};
            for (int d = 0; d < 3; ++d) {
                double s = dot(Vector{x[0], x[1], x[2]}, reciprocal_[d]);
                if (periodic_[d]) {
                    const double image = std::floor(s);
                    for (int a = 0; a < 3; ++a) p[a] -= image * cell_[d][a];
                    s -= image;
                } else {
                    low_[d] = std::min(low_[d], s);
                    high[d] = std::max(high[d], s);
                }
                fractional[i][d] = s;
            }
        }
        choose_bins(structure.atoms, high);
        bin_.resize(structure.atoms);
        for (int64_t i = 0; i < structure.atoms; ++i)
            for (int d = 0; d < 3; ++d) {
                const double part =
                    extent_[d] > 0 ? (fractional[i][d] - low_[d]) / extent_[d] : 0.0;
                bin_[i][d] = std::clamp(static_cast<int>(part * bins_[d]), 0, bins_[d] - 1);
            }
    }

    /// Bins at least as wide as the cutoff, and no more of them than atoms, so that a molecule torn
    /// apart costs no memory.
    void choose_bins(int64_t atoms, const std::array<double, 3>& high) {
        double total = 1;
        std::array<double, 3> wanted;
        for (int d = 0; d < 3; ++d) {
            extent_[d] = std::max(0.0, high[d] - low_[d]);
            wanted[d] = std::max(1.0, std::floor(extent_[d] * height_[d] / cutoff_));
            total *= wanted[d];
        }
        const double limit = std::max<double>(1.0, static_cast<double>(atoms));
        for (int d = 0; d < 3; ++d) {
            if (total > limit) {
                const double fewer = std::max(1.0, std::floor(wanted[d] * limit / total));
                total *= fewer / wanted[d];
                wanted[d] = fewer;
            }
            bins_[d] = static_cast<int>(wanted[d]);
            const double width = extent_[d] * height_[d] / bins_[d];
            reach_[d] = width > 0 ? static_cast<int>(std::min(std::ceil(cutoff_ / width), 1e6)) : 1;
            if (!periodic_[d]) reach_[d] = std::min(reach_[d], bins_[d] - 1);
        }
    }

    int64_t bin_index(const std::array<int, 3>& b) const {
        return (static_cast<int64_t>(b[0]) * bins_[1] + b[1]) * bins_[2] + b[2];
    }

    void sort_into_bins(int64_t atoms) {
        bin_begin_.assign(static_cast<size_t>(bins_[0]) * bins_[1] * bins_[2] + 1, 0);
        for (const auto& b : bin_) ++bin_begin_[bin_index(b) + 1];
        for (size_t b = 1; b < bin_begin_.size(); ++b) bin_begin_[b] += bin_begin_[b - 1];
        auto next = bin_begin_;
        order_.resize(atoms);
        for (int64_t i = 0; i < atoms; ++i) order_[next[bin_index(bin_[i])]++] = i;
    }

    /// Calls found(j, r_ij) for every neighbour of atom i.
    template <class Found>
    void visit(int64_t i, Found found) const {
        const Vector& x = position_[i];
        const double limit = cutoff_ * cutoff_;
        std::array<int, 3> b, image;
        const auto step = [&](int d, int shift) {  // false where no bin lies there
            const int place = bin_[i][d] + shift;
            image[d] = place >= 0 ? place / bins_[d] : -((bins_[d] - 1 - place) / bins_[d]);
            b[d] = place - image[d] * bins_[d];
            return periodic_[d] || image[d] == 0;
        };
        for (int s0 = -reach_[0]; s0 <= reach_[0]; ++s0) {
            if (!step(0, s0)) continue;
            for (int s1 = -reach_[1]; s1 <= reach_[1]; ++s1) {
                if (!step(1, s1)) continue;
                for (int s2 = -reach_[2]; s2 <= reach_[2]; ++s2) {
                    if (!step(2, s2)) continue;
                    Vector origin;
                    for (int a = 0; a < 3; ++a)
                        origin[a] = image[0] * cell_[0][a] + image[1] * cell_[1][a] +
                                    image[2] * cell_[2][a];
                    const bool home = image[0] == 0 && image[1] == 0 && image[2] == 0;
                    const int64_t bin = bin_index(b);
                    for (int64_t o = bin_begin_[bin]; o < bin_begin_[bin + 1]; ++o) {
                        const int64_t j = order_[o];
                        if (home && j == i) continue;
                        const Vector& y = position_[j];
                        const Vector d{y[0] - x[0] + origin[0], y[1] - x[1] + origin[1],
                                       y[2] - x[2] + origin[2]};
                        if (dot(d, d) < limit) found(j, d);
                    }
                }
            }
        }
    }
};

}  // namespace mentor
