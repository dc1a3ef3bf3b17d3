// All pairs of atoms nearer than a cutoff, periodic images included; linear in atoms.
//
// Atoms and images are sorted into columns along z, as wide as the cutoff and cut into flat bins,
// so that the neighbours of an atom lie in at most nine contiguous stretches. Distances are
// compared in single precision, several at a time, with a margin for rounding; where one falls
// inside the margin, double precision decides.
#pragma once

#include <cfloat>

#include "images.hpp"
#include "parallel.hpp"
#include "selection.hpp"

namespace mentor::MENTOR_ARCH {

/// The atoms and images of one structure, sorted into bins. A site is one of them.
class Grid {
  public:
    Grid() = default;
    Grid(const Periodic& structure, double cutoff) : cutoff_(cutoff), reach_(slack * cutoff) {
        Images images(structure, reach_);
        low_ = images.low;
        choose_bins(images);
        sort(images);
        translations_ = std::move(images.translations);
    }

    /// Writes the sites of all neighbours of atom i to `found`, after its first `size` entries,
    /// and makes it larger where need be; returns how many there are.
    size_t search(int64_t i, Values<int32_t>& found, size_t size) const {
        const int32_t own = site_of_[i];
        const Vector& x = sites_[own].x;
        const int b0 = bin(0, x[0]), b1 = bin(1, x[1]);
        const int first = bin(2, x[2] - reach_), last = bin(2, x[2] + reach_);
        std::array<Stretch, 9> stretches;
        int number = 0;
        size_t candidates = 9 * float_lanes;
        for (int c0 = std::max(b0 - 1, 0); c0 <= std::min(b0 + 1, bins_[0] - 1); ++c0)
            for (int c1 = std::max(b1 - 1, 0); c1 <= std::min(b1 + 1, bins_[1] - 1); ++c1) {
                const int32_t* column = begin_.data() + column_of(c0, c1);
                stretches[number++] = {column[first], column[last + 1]};
                candidates += column[last + 1] - column[first];
            }
        if (found.size() < size + candidates) found.resize(2 * (size + candidates));
        return scan(own, stretches.data(), number, found.data() + size);
    }

    /// Writes the pairs of atom i with the sites that `search` found; `shift` is added to indices.
    void write(int64_t i, const int32_t* found, size_t count, int32_t shift, int32_t* neighbours,
               double* displacements) const {
        const Vector x = sites_[site_of_[i]].x;
        for (size_t n = 0; n < count; ++n) {
            const Site& site = sites_[found[n]];
            const Vector r = displacement(x, site);
            neighbours[n] = shift + site.atom;
            for (int a = 0; a < 3; ++a) displacements[3 * n + a] = r[a];
        }
    }

  private:
    static constexpr double slack = 1 + 1e-6;  // of the cutoff where bins and images are chosen
    static constexpr int flatness = 6;         // of the bins

    struct alignas(32) Site {
        Vector x;  // of the atom in the cell
        int32_t atom, translation;
    };

    struct Stretch {
        int32_t begin, end;  // sites
    };

    double cutoff_ = 0, reach_ = 0;
    Vector low_, bins_per_length_;
    std::array<int, 3> bins_;
    Values<int32_t> begin_;  // sites of bin b: begin_[b] : begin_[b + 1]
    Values<Site> sites_;
    std::vector<Vector> translations_;
    std::array<Values<float>, 3> coordinates_;  // of the sites, images translated, from low_
    Values<int32_t> site_of_;                   // of each atom
    float surely_ = 0, possibly_ = 0;           // r² of neighbours: below, not above

    /// A bin beyond the first or last one is that one.
    int bin(int d, double x) const {
        const double place = (x - low_[d]) * bins_per_length_[d];
        return place > 0 ? static_cast<int>(std::min<double>(place, bins_[d] - 1)) : 0;
    }
    size_t column_of(int b0, int b1) const {
        return (static_cast<size_t>(b0) * bins_[1] + b1) * bins_[2];
    }
    Vector displacement(const Vector& x, const Site& site) const {
        const Vector& t = translations_[site.translation];
        return {site.x[0] - x[0] + t[0], site.x[1] - x[1] + t[1], site.x[2] - x[2] + t[2]};
    }

    /// Few more bins than sites, so that a molecule torn apart costs no memory.
    void choose_bins(const Images& images) {
        Vector wanted;
        double total = 1, extent = 0;
        for (int d = 0; d < 3; ++d) {
            const double length = std::max(0.0, images.high[d] - images.low[d]);
            extent = std::max(extent, length);
            wanted[d] = 1 + std::floor(length / (d == 2 ? reach_ / flatness : reach_));
            total *= wanted[d];
        }
        const double limit = 2.0 * static_cast<double>(images.images.size()) + 1;
        for (int d = 0; d < 3; ++d) {
            const double length = std::max(0.0, images.high[d] - images.low[d]);
            double width = d == 2 ? reach_ / flatness : reach_;
            if (total > limit) {
                const double fewer = std::max(1.0, std::floor(wanted[d] * limit / total));
                total *= fewer / wanted[d];
                wanted[d] = fewer;
                width = std::max(width, slack * length / fewer);
            }
            bins_[d] = static_cast<int>(wanted[d]);
            bins_per_length_[d] = 1 / width;
        }
        const double margin = 4 * FLT_EPSILON * (extent + cutoff_);
        const bool precise = margin < cutoff_;  // else every site is decided in double precision
        surely_ = precise ? static_cast<float>((cutoff_ - margin) * (cutoff_ - margin)) : -1;
        possibly_ = precise ? static_cast<float>((cutoff_ + margin) * (cutoff_ + margin)) : 1;
    }

    void sort(const Images& images) {
        const size_t count = images.images.size();
        Values<int32_t> bin_of(count);
        begin_.assign(static_cast<size_t>(bins_[0]) * bins_[1] * bins_[2] + 2, 0);
        for (size_t n = 0; n < count; ++n) {
            const Vector x = images.position(images.images[n]);
            bin_of[n] = static_cast<int32_t>(column_of(bin(0, x[0]), bin(1, x[1]))) + bin(2, x[2]);
            ++begin_[bin_of[n] + 2];
        }
        for (size_t b = 2; b < begin_.size(); ++b) begin_[b] += begin_[b - 1];
        sites_.resize(count);
        site_of_.resize(images.atoms.size());
        for (auto& each : coordinates_) each.assign(count + float_lanes, 0.0f);
        for (size_t n = 0; n < count; ++n) {
            const Images::Image& image = images.images[n];
            const int32_t place = begin_[bin_of[n] + 1]++;  // leaves begin_[b] where bin b begins
            sites_[place] = {images.atoms[image.atom], image.atom, image.translation};
            if (image.translation == images.home) site_of_[image.atom] = place;
            if (surely_ < 0) continue;
            const Vector x = images.position(image);
            for (int a = 0; a < 3; ++a) coordinates_[a][place] = static_cast<float>(x[a] - low_[a]);
        }
    }

    /// Writes the neighbours of site `own` among those of some stretches to `found`.
    size_t scan(int32_t own, const Stretch* stretches, int number, int32_t* found) const {
        const float *x = coordinates_[0].data(), *y = coordinates_[1].data(),
                    *z = coordinates_[2].data();
        const float x0 = x[own], y0 = y[own], z0 = z[own];
        const floats surely = surely_ - floats{}, possibly = possibly_ - floats{};
        flags unsure{};
        int32_t* out = found;
        for (int s = 0; s < number; ++s)
            for (int32_t n = stretches[s].begin; n < stretches[s].end; n += float_lanes) {
                const floats dx = load(x + n) - x0, dy = load(y + n) - y0, dz = load(z + n) - z0;
                const floats r2 = dx * dx + dy * dy + dz * dz;
                const flags possible = r2 <= possibly;
                unsure |= possible & (r2 >= surely);
                const int left = std::min(stretches[s].end - n, float_lanes);
                const unsigned self = static_cast<unsigned>(own - n);
                const unsigned lanes = bits(possible) & ((1u << left) - 1) &
                                       ~(unsigned(self < float_lanes) << (self & 31));
                out += write_selected(lanes, n, out);
            }
        const size_t count = out - found;
        return bits(unsure) ? confirm(sites_[own].x, found, count) : count;
    }

    /// Keeps those of `found` that are nearer to x than the cutoff; returns how many they are.
    size_t confirm(const Vector& x, int32_t* found, size_t count) const {
        size_t kept = 0;
        for (size_t n = 0; n < count; ++n) {
            const Vector r = displacement(x, sites_[found[n]]);
            found[kept] = found[n];
            kept += dot(r, r) < cutoff_ * cutoff_;
        }
        return kept;
    }
};

/// The pairs of all atoms of some structures; they do not depend on the number of threads.
inline Pairs find_pairs(const std::vector<Periodic>& structures, double cutoff, int threads) {
    const int64_t count = structures.size();
    std::vector<int64_t> first(count + 1, 0);  // atom of each structure
    for (int64_t s = 0; s < count; ++s) first[s + 1] = first[s] + structures[s].atoms;
    const int64_t atoms = first[count];
    constexpr int64_t worthwhile = 500;  // atoms per thread below which a thread costs more
    const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(threads, atoms / worthwhile));
    const auto for_each = [&](int64_t tasks, auto work) {
        in_parallel(static_cast<int>(std::min(tasks, parts)), [&](int thread, int running) {
            for (int64_t task = thread; task < tasks; task += running) work(task);
        });
    };
    std::vector<Grid> grids(count);
    const auto for_atoms_of = [&](int64_t part, auto work) {
        int64_t i = atoms * part / parts;
        const int64_t end = atoms * (part + 1) / parts;
        int64_t s = std::upper_bound(first.begin(), first.end(), i) - first.begin() - 1;
        for (; i < end; ++i) {
            while (i >= first[s + 1]) ++s;
            work(grids[s], first[s], i);
        }
    };
    for_each(count, [&](int64_t s) { grids[s] = Grid(structures[s], cutoff); });

    Pairs pairs;
    pairs.offsets.resize(atoms + 1);
    pairs.offsets[0] = 0;
    std::vector<Values<int32_t>> found(parts);
    for_each(parts, [&](int64_t part) {
        size_t size = 0;
        found[part].resize(32 * (atoms / parts + 1));
        for_atoms_of(part, [&](const Grid& grid, int64_t shift, int64_t i) {
            const size_t own = grid.search(i - shift, found[part], size);
            pairs.offsets[i + 1] = own;
            size += own;
        });
    });
    for (int64_t i = 0; i < atoms; ++i) pairs.offsets[i + 1] += pairs.offsets[i];
    pairs.neighbours.resize(pairs.offsets[atoms]);
    pairs.displacements.resize(3 * pairs.offsets[atoms]);
    for_each(parts, [&](int64_t part) {
        const int32_t* own = found[part].data();
        for_atoms_of(part, [&](const Grid& grid, int64_t shift, int64_t i) {
            const int64_t begin = pairs.offsets[i], size = pairs.offsets[i + 1] - begin;
            grid.write(i - shift, own, size, static_cast<int32_t>(shift),
                       pairs.neighbours.data() + begin, pairs.displacements.data() + 3 * begin);
            own += size;
        });
    });
    return pairs;
}

}  // namespace mentor::MENTOR_ARCH
