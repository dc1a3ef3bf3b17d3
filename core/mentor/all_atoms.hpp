// The evaluation of all atoms, batch by batch.
#pragma once

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

inline void evaluate(const Model& model, const Neighbourhoods& nb, const Outputs& out,
                     int threads) {
    const Batches batches(model, nb);
    constexpr int64_t worthwhile = 8;  // batches per thread below which a thread costs more
    const int64_t useful = batches.count / worthwhile;
    threads = static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, useful)));
    const int64_t force_size = out.forces ? 3 * nb.all_atoms : 0;
    const int64_t site_size = out.site_virials ? 9 * nb.all_atoms : 0;
    const int64_t virial_size = out.virials ? 6 * nb.structures : 0;
    const int64_t row_size = out.row_sums ? model.parameters() * nb.structures : 0;
    const int64_t size = force_size + site_size + virial_size + row_size;
    Buffer<double> partial;
    if (threads > 1) partial.zeros(size * (threads - 1));
    in_parallel(threads, [&](int thread, int count) {
        Outputs mine = out;
        if (thread > 0) {
            double* own = partial.data() + size * (thread - 1);
            if (out.forces) mine.forces = own;
            if (out.site_virials) mine.site_virials = own + force_size;
            if (out.virials) mine.virials = own + force_size + site_size;
            if (out.row_sums) mine.row_sums = own + force_size + site_size + virial_size;
        }
        thread_local Evaluator evaluator;  // keeps its memory from call to call
        const int64_t *order = batches.atoms.data(), *cuts = batches.begin.data();
        for (int64_t b = batches.count * thread / count; b < batches.count * (thread + 1) / count;
             ++b)
            evaluator(model, nb, order + cuts[b],
                      static_cast<int>(std::min<int64_t>(lanes, cuts[b + 1] - cuts[b])),
                      batches.structure_of.data() + cuts[b], mine);
        evaluator.finish();
    });
    for (int t = 0; t < threads - 1; ++t) {
        const double* own = partial.data() + size * t;
        for (int64_t i = 0; i < force_size; ++i) out.forces[i] += *own++;
        for (int64_t i = 0; i < site_size; ++i) out.site_virials[i] += *own++;
        for (int64_t i = 0; i < virial_size; ++i) out.virials[i] += *own++;
        for (int64_t i = 0; i < row_size; ++i) out.row_sums[i] += *own++;
    }
}

}  // namespace mentor::MENTOR_ARCH
