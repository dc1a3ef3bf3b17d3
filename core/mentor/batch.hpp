// A batch of atoms of one species: one SIMD lane is one atom.
#pragma once

#include <cmath>
#include <cstdlib>
#include <new>

#include "arch.hpp"
#include "neighbourhoods.hpp"
#include "radial.hpp"

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

/// One neighbour of each atom of the batch, all of one species.
struct Neighbour {
    vec ux, uy, uz;    // unit vector
    vec r, inverse_r;  // Å, 1/Å
    vec present;       // 1, or 0 where this lane's atom has fewer neighbours
};

/// The neighbours of up to `lanes` atoms of one species, sorted by species and padded.
///
/// Neighbours of species z stand at begin[z] : begin[z + 1]. pair(n, l) is the pair index of lane
/// l's n-th neighbour, -1 for padding.
class Batch {
  public:
    int64_t atom[lanes];
    int atoms = 0, species = 0;
    const int* begin = nullptr;
    int size = 0;

    void gather(const Model& model, const Neighbourhoods& nb, const int64_t* atoms_of_batch,
                int count) {
        const int C = model.species();
        atoms = count;
        species = nb.type(atoms_of_batch[0]);
        int* count_of = counts_.zeros(lanes * C);
        for (int l = 0; l < count; ++l) {
            atom[l] = atoms_of_batch[l];
            for (int64_t p = nb.offsets[atom[l]]; p < nb.offsets[atom[l] + 1]; ++p)
                ++count_of[l * C + nb.types[nb.neighbours[p]]];
        }
        int* starts = begin_.reserve(C + 1);
        starts[0] = 0;
        for (int z = 0; z < C; ++z) {
            int most = 0;
            for (int l = 0; l < count; ++l) most = std::max(most, count_of[l * C + z]);
            starts[z + 1] = starts[z] + most;
        }
        begin = starts;
        size = starts[C];
        fill(model, nb, count_of);
    }

    const Neighbour& neighbour(int n) const { return neighbours_.data()[n]; }
    int64_t pair(int n, int l) const { return pairs_.data()[n * lanes + l]; }

  private:
    Buffer<int> counts_, begin_;
    Buffer<Neighbour> neighbours_;
    Buffer<int64_t> pairs_;

    void fill(const Model& model, const Neighbourhoods& nb, int* count_of) {
        const int C = model.species();
        const vec cutoff = broadcast(model.data.max_dist);
        const vec one = broadcast(1);
        Neighbour* out = neighbours_.reserve(size);
        int64_t* pairs = pairs_.reserve(static_cast<size_t>(size) * lanes);
        for (int n = 0; n < size; ++n) {
            out[n] = {one, vec{}, vec{}, cutoff, one / cutoff, vec{}};
            for (int l = 0; l < lanes; ++l) pairs[n * lanes + l] = -1;
        }
        for (int l = 0; l < atoms; ++l) {
            for (int z = 0; z < C; ++z) count_of[l * C + z] = begin[z];
            for (int64_t p = nb.offsets[atom[l]]; p < nb.offsets[atom[l] + 1]; ++p) {
                const double* d = nb.displacements + 3 * p;
                const double r = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
                if (!(r < model.data.max_dist)) continue;
                const int n = count_of[l * C + nb.types[nb.neighbours[p]]]++;
                const double inverse = 1.0 / r;
                out[n].ux[l] = d[0] * inverse;
                out[n].uy[l] = d[1] * inverse;
                out[n].uz[l] = d[2] * inverse;
                out[n].r[l] = r;
                out[n].inverse_r[l] = inverse;
                out[n].present[l] = 1.0;
                pairs[n * lanes + l] = p;
            }
        }
    }
};

}  // namespace mentor::MENTOR_ARCH
