// The atoms of a structure and those of their periodic images that can be neighbours.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "arch.hpp"
#include "pairs.hpp"

namespace mentor::MENTOR_ARCH {

using Vector = std::array<double, 3>;

inline double dot(const Vector& a, const Vector& b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
inline Vector cross(const Vector& a, const Vector& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

inline Vector unit(const Vector& a) {
    const double length = std::sqrt(dot(a, a));
    return {a[0] / length, a[1] / length, a[2] / length};
}
/// Some vector normal to a.
inline Vector normal_to(const Vector& a) {
    const bool along_x = std::abs(a[0]) > std::abs(a[1]) && std::abs(a[0]) > std::abs(a[2]);
    return cross(a, along_x ? Vector{0, 1, 0} : Vector{1, 0, 0});
}

/// The atoms, wrapped into the cell where it repeats, and all images no further than `reach` from
/// the box around the atoms, sorted by atom.
class Images {
  public:
    struct Image {
        int32_t atom, translation;
    };
    Values<Vector> atoms;              // positions
    std::vector<Vector> translations;  // of images; number `home` is zero
    int32_t home = 0;
    Values<Image> images;  // the atoms themselves included
    Vector low, high;      // box around the images

    /// Throws std::invalid_argument where a position or a periodic cell vector is not finite, or
    /// the latter are not independent.
    Images(const Periodic& structure, double reach) {
        for (int d = 0; d < 3; ++d) {
            periodic_[d] = structure.pbc[d];
            for (int a = 0; a < 3; ++a) cell_[d][a] = structure.cell[3 * d + a];
        }
        complete_cell();
        wrap(structure);
        choose_translations(reach);
        choose_images();
    }

    Vector position(const Image& image) const {
        const Vector &x = atoms[image.atom], &t = translations[image.translation];
        return {x[0] + t[0], x[1] + t[1], x[2] + t[2]};
    }

  private:
    std::array<Vector, 3> cell_, reciprocal_;
    std::array<bool, 3> periodic_;
    Values<Vector> fractional_;
    Vector first_, last_;               // fractional coordinates of images lie in first_ : last_
    std::array<int, 3> most_{0, 0, 0};  // cells in which there are images: -most : most

    /// Unit vectors normal to the periodic ones stand where the structure does not repeat.
    void complete_cell() {
        for (int d = 0; d < 3; ++d) {
            if (periodic_[d]) continue;
            const Vector &a = cell_[(d + 1) % 3], &b = cell_[(d + 2) % 3];
            if (periodic_[(d + 1) % 3] && periodic_[(d + 2) % 3])
                cell_[d] = unit(cross(a, b));
            else if (periodic_[(d + 1) % 3])
                cell_[d] = unit(normal_to(a));
            else if (periodic_[(d + 2) % 3])
                cell_[d] = unit(cross(b, normal_to(b)));
            else
                cell_[d] = {d == 0 ? 1.0 : 0.0, d == 1 ? 1.0 : 0.0, d == 2 ? 1.0 : 0.0};
        }
        const double volume = dot(cell_[0], cross(cell_[1], cell_[2]));
        constexpr double flat = 1e-9;
        double box = flat;
        for (const Vector& a : cell_) box *= std::sqrt(dot(a, a));
        if (!(std::abs(volume) > box && std::isfinite(box)))
            throw std::invalid_argument("the periodic cell vectors do not span a cell");
        for (int d = 0; d < 3; ++d) {
            reciprocal_[d] = cross(cell_[(d + 1) % 3], cell_[(d + 2) % 3]);
            for (double& x : reciprocal_[d]) x /= volume;
        }
    }

    void wrap(const Periodic& structure) {
        atoms.resize(structure.atoms), fractional_.resize(structure.atoms);
        low.fill(std::numeric_limits<double>::max());
        high.fill(std::numeric_limits<double>::lowest());
        first_ = low, last_ = high;
        bool finite = true;
        for (size_t i = 0; i < atoms.size(); ++i) {
            const double* given = structure.positions + 3 * i;
            const Vector x{given[0], given[1], given[2]};
            Vector& p = atoms[i] = x;
            for (int d = 0; d < 3; ++d) {
                if (!periodic_[d]) continue;
                const double s = dot(x, reciprocal_[d]), cells = std::floor(s);
                for (int a = 0; a < 3; ++a) p[a] -= cells * cell_[d][a];
                fractional_[i][d] = s - cells;
                first_[d] = std::min(first_[d], s - cells);
                last_[d] = std::max(last_[d], s - cells);
            }
            for (int a = 0; a < 3; ++a) {
                low[a] = std::min(low[a], p[a]);
                high[a] = std::max(high[a], p[a]);
                finite &= std::isfinite(p[a]);
            }
        }
        if (!finite) throw std::invalid_argument("a position is not a finite number");
    }

    void choose_translations(double reach) {
        for (int d = 0; d < 3; ++d) {
            if (!periodic_[d] || atoms.empty()) continue;
            const double margin = reach * std::sqrt(dot(reciprocal_[d], reciprocal_[d]));
            most_[d] = static_cast<int>(std::min(last_[d] - first_[d] + margin, 1e6));
            first_[d] -= margin, last_[d] += margin;
        }
        if (most_[0] + most_[1] + most_[2] > 0)
            for (int a = 0; a < 3; ++a) low[a] -= reach, high[a] += reach;
        for (int n0 = -most_[0]; n0 <= most_[0]; ++n0)
            for (int n1 = -most_[1]; n1 <= most_[1]; ++n1)
                for (int n2 = -most_[2]; n2 <= most_[2]; ++n2) {
                    Vector t;
                    for (int a = 0; a < 3; ++a)
                        t[a] = n0 * cell_[0][a] + n1 * cell_[1][a] + n2 * cell_[2][a];
                    translations.push_back(t);
                }
        home = static_cast<int32_t>(translations.size() / 2);
    }

    void choose_images() {
        images.reserve(atoms.size());
        for (size_t i = 0; i < atoms.size(); ++i) {
            std::array<int, 3> from{0, 0, 0}, to{0, 0, 0};
            for (int d = 0; d < 3; ++d) {
                if (most_[d] == 0) continue;
                const double s = fractional_[i][d];
                from[d] = std::max(-most_[d], static_cast<int>(std::ceil(first_[d] - s)));
                to[d] = std::min(most_[d], static_cast<int>(std::floor(last_[d] - s)));
            }
            for (int n0 = from[0]; n0 <= to[0]; ++n0)
                for (int n1 = from[1]; n1 <= to[1]; ++n1)
                    for (int n2 = from[2]; n2 <= to[2]; ++n2)
                        add_if_near({static_cast<int32_t>(i), number(n0, n1, n2)});
        }
        if (images.size() > std::numeric_limits<int32_t>::max() / 2)
            throw std::length_error("there are too many atoms and images for one neighbour list");
    }

    int32_t number(int n0, int n1, int n2) const {
        return home + (n0 * (2 * most_[1] + 1) + n1) * (2 * most_[2] + 1) + n2;
    }

    void add_if_near(const Image& image) {
        const Vector x = position(image);
        bool near = true;
        for (int a = 0; a < 3; ++a) near &= low[a] <= x[a] && x[a] <= high[a];
        if (near) images.push_back(image);
    }
};

}  // namespace mentor::MENTOR_ARCH
