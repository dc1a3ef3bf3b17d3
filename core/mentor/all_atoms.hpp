// The evaluation of all atoms, batch by batch.
#pragma once

#include <algorithm>
#include <utility>

#include "evaluate.hpp"
#include "outputs.hpp"
#include "parallel.hpp"

namespace mentor::MENTOR_ARCH {

/// Atoms sorted by species and cut into batches of at most `lanes` atoms of one species.
struct Batches {
    Buffer<int64_t> atoms, structure_of, begin;
    int64_t count = 0;

    Batches(const Model& model, const Neighbourhoods& nb) {
        const int C = model.species();
        int64_t* order = atoms.reserve(nb.atoms + 1);
        int64_t* structure = structure_of.reserve(nb.atoms + 1);
        int64_t* cuts = begin.reserve(nb.atoms / lanes + C + 2);
        int64_t filled = 0;
        for (int z = 0; z < C; ++z) {
            const int64_t first = filled;
            for (int64_t s = 0; s < nb.structures; ++s)
                for (int64_t i = nb.structure_offsets[s]; i < nb.structure_offsets[s + 1]; ++i)
                    if (nb.type(i) == z) structure[filled] = s, order[filled++] = i;
            for (int64_t i = first; i < filled; i += lanes) cuts[count++] = i;
        }
        cuts[count] = filled;
    }
};

/// How many threads are worth their while: each must have some 50 µs of work.
inline int useful_threads(const Model& model, const Neighbourhoods& nb, int threads) {
    constexpr int64_t least = 300'000;  // multiplications
    const int64_t pairs = nb.offsets[nb.atoms] - nb.offsets[0];
    const int64_t work =
        pairs * 4 * model.program->moment_count + nb.atoms * model.program->operations();
    return static_cast<int>(std::clamp<int64_t>(work / least, 1, std::max(1, threads)));
}

/// Sums of all results that several threads add to: one thread writes into `out` itself, the others
/// into arrays of their own.
class PartialSums {
  public:
    PartialSums(const Model& model, const Neighbourhoods& nb, const Outputs& out, int threads)
        : out_(out), threads_(threads) {
        parts_[0] = {out.forces, 3 * nb.all_atoms};
        parts_[1] = {out.site_virials, 9 * nb.all_atoms};
        parts_[2] = {out.virials, 6 * nb.structures};
        parts_[3] = {out.row_sums, model.parameters() * nb.structures};
        for (const auto& [total, size] : parts_) size_ += total ? size : 0;
        if (threads > 1) sums_.reserve(size_ * (threads - 1));
    }

    /// The results of one thread, zero.
    Outputs of(int thread) {
        if (thread == 0) return out_;
        double* own = sums_.data() + size_ * (thread - 1);
        std::fill(own, own + size_, 0.0);
        Outputs mine = out_;
        double** pointers[] = {&mine.forces, &mine.site_virials, &mine.virials, &mine.row_sums};
        for (int p = 0; p < 4; ++p) {
            if (!parts_[p].first) continue;
            *pointers[p] = own;
            own += parts_[p].second;
        }
        return mine;
    }

    /// Adds everything up, shared by the threads.
    void add_up() {
        in_parallel(threads_, [&](int task, int count) {
            for (int thread = 1; thread < threads_; ++thread) {
                const double* own = sums_.data() + size_ * (thread - 1);
                for (const auto& [total, size] : parts_) {
                    if (!total) continue;
                    for (int64_t i = size * task / count; i < size * (task + 1) / count; ++i)
                        total[i] += own[i];
                    own += size;
                }
            }
        });
    }

  private:
    Outputs out_;
    int threads_;
    std::pair<double*, int64_t> parts_[4];
    int64_t size_ = 0;
    Buffer<double> sums_;
};

inline void evaluate(const Model& model, const Neighbourhoods& nb, const Outputs& out,
                     int threads) {
    const Batches batches(model, nb);
    threads = useful_threads(model, nb, threads);
    PartialSums sums(model, nb, out, threads);
    in_parallel(threads, [&](int thread, int count) {
        const Outputs mine = sums.of(thread);
        thread_local Evaluator evaluator;  // keeps its memory from call to call
        evaluator.start();
        const int64_t *order = batches.atoms.data(), *cuts = batches.begin.data();
        const int64_t last = batches.count * (thread + 1) / count;
        for (int64_t b = batches.count * thread / count; b < last; ++b)
            evaluator(model, nb, order + cuts[b],
                      static_cast<int>(std::min<int64_t>(lanes, cuts[b + 1] - cuts[b])),
                      batches.structure_of.data() + cuts[b], mine);
        evaluator.finish();
    });
    sums.add_up();
}

}  // namespace mentor::MENTOR_ARCH
