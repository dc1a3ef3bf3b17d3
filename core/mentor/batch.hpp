// A batch of atoms of one species: one SIMD lane is one atom.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <new>

#include "arch.hpp"
#include "model.hpp"
#include "neighbourhoods.hpp"

namespace mentor::MENTOR_ARCH {

/// Aligned memory that only grows; contents are not kept when it does.
template <class T>
class Buffer {
  public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(data_); }

    T* reserve(size_t size) {
        if (size > size_) {
            std::free(data_);
            data_ = nullptr;
            const size_t bytes = (size * sizeof(T) + 63) / 64 * 64;
            data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
            if (!data_) throw std::bad_alloc();
            size_ = size;
        }
        return data_;
    }
    T* zeros(size_t size) {
        reserve(size);
        for (size_t i = 0; i < size; ++i) data_[i] = T{};
        return data_;
    }
    T* data() const { return data_; }

  private:
    T* data_ = nullptr;
    size_t size_ = 0;
};

/// One neighbour of each atom of the batch.
struct Neighbour {
    vec x, y, z;          // r_ij, Å; then the unit vector
    vec r, inverse_r;     // Å, 1/Å
    vec present;          // 1, or 0 where this lane's atom has no further neighbour
    vec species;          // of the neighbours
    int lowest, highest;  // species among them
};

/// The neighbours within the cutoff of up to `lanes` atoms of one species, in `size` rows.
///
/// Each lane's neighbours are sorted by species, so that most rows hold one species only; the last
/// rows are padded to an even number. target(n)[l] is the atom that is lane l's n-th neighbour; for
/// padding it is some atom, to which nothing is to be added.
class Batch {
  public:
    int64_t atom[lanes];
    int atoms = 0, species = 0, size = 0;
    double closest = 0;  // distance of all, Å

    void gather(const Model& model, const Neighbourhoods& nb, const int64_t* atoms_of_batch,
                int count) {
        atoms = count;
        species = nb.type(atoms_of_batch[0]);
        int64_t most = 0;
        for (int l = 0; l < count; ++l) {
            atom[l] = atoms_of_batch[l];
            most = std::max(most, nb.offsets[atom[l] + 1] - nb.offsets[atom[l]]);
        }
        neighbours_.reserve(most + 2);
        targets_.reserve((most + 2) * lanes);
        if (model.species() == 1)
            fill(model, nb);
        else
            fill_sorted(model, nb, most + 1);
        size = *std::max_element(counts_, counts_ + lanes);
        size += size % 2;
        pad(model, nb);
        vec shortest = broadcast(static_cast<real>(model.data.max_dist));
        for (int n = 0; n < size; ++n) {
            Neighbour& j = neighbours_.data()[n];
            const vec square = j.x * j.x + j.y * j.y + j.z * j.z;
            for (int l = 0; l < lanes; ++l) j.r[l] = std::sqrt(square[l]);
            shortest = j.r < shortest ? j.r : shortest;
            j.inverse_r = broadcast(1) / j.r;
            j.x *= j.inverse_r, j.y *= j.inverse_r, j.z *= j.inverse_r;
        }
        closest = shortest[0];
        for (int l = 1; l < lanes; ++l) closest = std::min<double>(closest, shortest[l]);
    }

    const Neighbour& neighbour(int n) const { return neighbours_.data()[n]; }
    const int32_t* target(int n) const { return targets_.data() + n * lanes; }
    /// Whether lane l has an n-th neighbour.
    bool has(int n, int l) const { return n < counts_[l]; }

  private:
    int counts_[lanes];     // neighbours of each lane
    Buffer<int64_t> near_;  // pairs of one lane within the cutoff
    Buffer<int> starts_;    // where those of a species begin
    Buffer<Neighbour> neighbours_;
    Buffer<int32_t> targets_;

    static double square(const double* d) { return d[0] * d[0] + d[1] * d[1] + d[2] * d[2]; }

    void put(int n, int l, const double* d, int32_t target) {
        Neighbour& j = neighbours_.data()[n];
        j.x[l] = d[0], j.y[l] = d[1], j.z[l] = d[2];
        targets_.data()[n * lanes + l] = target;
    }

    /// All pairs in turn; one beyond the cutoff is overwritten by the next.
    void fill(const Model& model, const Neighbourhoods& nb) {
        const double limit = model.data.max_dist * model.data.max_dist;
        for (int l = 0; l < lanes; ++l) {
            int n = 0;
            const int64_t end = l < atoms ? nb.offsets[atom[l] + 1] : 0;
            for (int64_t p = l < atoms ? nb.offsets[atom[l]] : 0; p < end; ++p) {
                const double* d = nb.displacements + 3 * p;
                put(n, l, d, nb.neighbours[p]);
                n += square(d) < limit;
            }
            counts_[l] = n;
        }
    }

    /// The pairs within the cutoff, those of each species together.
    void fill_sorted(const Model& model, const Neighbourhoods& nb, int64_t most) {
        const int C = model.species();
        const double limit = model.data.max_dist * model.data.max_dist;
        int64_t* near = near_.reserve(most);
        for (int n = 0; n < most; ++n) {
            Neighbour& j = neighbours_.data()[n];
            j.species = broadcast(-1), j.lowest = C, j.highest = -1;
        }
        for (int l = 0; l < lanes; ++l) {
            int* start = starts_.zeros(C + 1);
            int found = 0;
            const int64_t end = l < atoms ? nb.offsets[atom[l] + 1] : 0;
            for (int64_t p = l < atoms ? nb.offsets[atom[l]] : 0; p < end; ++p) {
                near[found] = p;
                const bool within = square(nb.displacements + 3 * p) < limit;
                found += within;
                start[nb.types[nb.neighbours[p]] + 1] += within;
            }
            for (int z = 0; z < C; ++z) start[z + 1] += start[z];
            for (int i = 0; i < found; ++i) {
                const int32_t target = nb.neighbours[near[i]];
                const int z = nb.types[target], n = start[z]++;
                put(n, l, nb.displacements + 3 * near[i], target);
                Neighbour& j = neighbours_.data()[n];
                j.species[l] = z;
                j.lowest = std::min(j.lowest, z), j.highest = std::max(j.highest, z);
            }
            counts_[l] = found;
        }
    }

    void pad(const Model& model, const Neighbourhoods& nb) {
        const int fewest = *std::min_element(counts_, counts_ + lanes);
        const double away[3] = {model.data.max_dist, 0, 0};
        const int32_t some_atom = static_cast<int32_t>(nb.center(atom[0]));
        for (int n = 0; n < size; ++n) {
            Neighbour& j = neighbours_.data()[n];
            j.present = broadcast(1);
            if (model.species() == 1) j.lowest = j.highest = 0;
            if (n < fewest) continue;
            for (int l = 0; l < lanes; ++l) {
                if (has(n, l)) continue;
                put(n, l, away, some_atom);
                j.present[l] = 0;
            }
        }
    }
};

}  // namespace mentor::MENTOR_ARCH
