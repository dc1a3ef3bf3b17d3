// A batch of atoms of one species: one SIMD lane is one atom.
#pragma once

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
/// rows are padded to an even number. pair(n, l) is the pair index of lane l's n-th neighbour, -1
/// for padding.
class Batch {
  public:
    int64_t atom[lanes];
    int atoms = 0, species = 0, size = 0;

    void gather(const Model& model, const Neighbourhoods& nb, const int64_t* atoms_of_batch,
                int count) {
        atoms = count;
        species = nb.type(atoms_of_batch[0]);
        for (int l = 0; l < count; ++l) atom[l] = atoms_of_batch[l];
        find_near(model, nb);
        fill(model, nb);
        for (int n = 0; n < size; ++n) {
            Neighbour& j = neighbours_.data()[n];
            const vec square = j.x * j.x + j.y * j.y + j.z * j.z;
            for (int l = 0; l < lanes; ++l) j.r[l] = std::sqrt(square[l]);
            j.inverse_r = broadcast(1) / j.r;
            j.x *= j.inverse_r, j.y *= j.inverse_r, j.z *= j.inverse_r;
        }
    }

    const Neighbour& neighbour(int n) const { return neighbours_.data()[n]; }
    int64_t pair(int n, int l) const { return pairs_.data()[n * lanes + l]; }

  private:
    int near_count_[lanes], stride_ = 0;
    Buffer<int64_t> near_;  // pairs of each lane within the cutoff
    Buffer<int> starts_;    // [lane][species] where the neighbours of a species begin
    Buffer<Neighbour> neighbours_;
    Buffer<int64_t> pairs_;

    void find_near(const Model& model, const Neighbourhoods& nb) {
        const int C = model.species();
        const double limit = model.data.max_dist * model.data.max_dist;
        stride_ = 1;
        for (int l = 0; l < atoms; ++l)
            stride_ = std::max(stride_,
                               static_cast<int>(nb.offsets[atom[l] + 1] - nb.offsets[atom[l]]) + 1);
        near_.reserve(static_cast<size_t>(stride_) * lanes);
        int* starts = starts_.zeros(static_cast<size_t>(lanes) * (C + 1));
        size = 0;
        for (int l = 0; l < atoms; ++l) {
            int64_t* near = near_.data() + l * stride_;
            int found = 0;
            for (int64_t p = nb.offsets[atom[l]]; p < nb.offsets[atom[l] + 1]; ++p) {
                const double* d = nb.displacements + 3 * p;
                near[found] = p;
                found += d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < limit;
            }
            near_count_[l] = found;
            size = std::max(size, found);
            int* start = starts + l * (C + 1);
            if (C == 1) continue;
            for (int n = 0; n < found; ++n) ++start[nb.types[nb.neighbours[near[n]]] + 1];
            for (int z = 0; z < C; ++z) start[z + 1] += start[z];
        }
        size += size % 2;
    }

    void fill(const Model& model, const Neighbourhoods& nb) {
        const int C = model.species();
        const vec zero = vec{}, cutoff = broadcast(static_cast<real>(model.data.max_dist));
        Neighbour* out = neighbours_.reserve(size + 1);
        int64_t* pairs = pairs_.reserve(static_cast<size_t>(size) * lanes + 1);
        for (int n = 0; n < size; ++n) {
            out[n] = {cutoff, zero, zero, zero, zero, zero, broadcast(-1), C, -1};
            for (int l = 0; l < lanes; ++l) pairs[n * lanes + l] = -1;
        }
        for (int l = 0; l < atoms; ++l) {
            const int64_t* near = near_.data() + l * stride_;
            int* start = starts_.data() + l * (C + 1);
            for (int n = 0; n < near_count_[l]; ++n) {
                const int64_t p = near[n];
                const int z = nb.types[nb.neighbours[p]];
                const int place = C == 1 ? n : start[z]++;
                const double* d = nb.displacements + 3 * p;
                Neighbour& j = out[place];
                j.x[l] = d[0], j.y[l] = d[1], j.z[l] = d[2];
                j.present[l] = 1;
                j.species[l] = z;
                j.lowest = std::min(j.lowest, z), j.highest = std::max(j.highest, z);
                pairs[place * lanes + l] = p;
            }
        }
    }
};

}  // namespace mentor::MENTOR_ARCH
