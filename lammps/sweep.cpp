#include "sweep.hpp"

#include <algorithm>
#include <exception>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace mentor::lammps {

namespace {

constexpr int largest_chunk = 512;  // atoms: their neighbourhoods stay in the cache
constexpr int smallest_chunk = 64;

/// work(thread, threads) on each thread; passes on an exception.
template <class Work>
void on_threads(int threads, Work work) {
    std::exception_ptr failure;
#ifdef _OPENMP
#pragma omp parallel num_threads(threads) if (threads > 1)
#endif
    {
        try {
#ifdef _OPENMP
            work(omp_get_thread_num(), omp_get_num_threads());
#else
            work(0, 1);
#endif
        } catch (...) {
#ifdef _OPENMP
#pragma omp critical(mentor_failure)
#endif
            failure = std::current_exception();
        }
    }
    if (failure) std::rethrow_exception(failure);
}

/// Writes the neighbours of atom i and how far they are from it; returns their number.
int64_t add_neighbours(const Atoms& atoms, int i, double limit, int32_t* neighbours,
                       double* displacements) {
    const double* positions = atoms.positions;
    const int32_t* types = atoms.types;
    const double* x = positions + 3 * static_cast<int64_t>(i);
    const double x0 = x[0], x1 = x[1], x2 = x[2];
    const int* list = atoms.list[i];
    const int length = atoms.list_length[i];
    int64_t pairs = 0;
    for (int n = 0; n < length; ++n) {
        const int j = list[n] & atom_mask;
        const double* y = positions + 3 * static_cast<int64_t>(j);
        const double d0 = y[0] - x0, d1 = y[1] - x1, d2 = y[2] - x2;
        neighbours[pairs] = j;
        displacements[3 * pairs] = d0;
        displacements[3 * pairs + 1] = d1;
        displacements[3 * pairs + 2] = d2;
        const double r2 = d0 * d0 + d1 * d1 + d2 * d2;
        pairs += int(r2 < limit) & int(types[j] >= 0);  // no branch to mispredict
    }
    return pairs;
}

}  // namespace

void Sweep::operator()(const LoadedPotential& potential, bool mixed, const Atoms& atoms,
                       const Results& results, int threads) {
    threads = std::clamp(atoms.count / smallest_chunk, 1, std::max(1, threads));
    if (static_cast<int>(workers_.size()) < threads) workers_.resize(threads);
    const size_t force_size = results.forces ? 3 * atoms.all : 0;
    const size_t site_size = results.site_virials ? 9 * atoms.all : 0;
    const size_t row_size = results.row_sums ? potential.parameters() : 0;
    int used = 1;
    on_threads(threads, [&](int thread, int count) {
        if (thread == 0) used = count;
        Worker& mine = workers_[thread];
        Results own = results;
        if (thread > 0) {
            mine.forces.assign(force_size, 0.0);
            mine.site_virials.assign(site_size, 0.0);
            mine.row_sums.assign(row_size, 0.0);
            if (results.forces) own.forces = mine.forces.data();
            if (results.site_virials) own.site_virials = mine.site_virials.data();
            if (results.row_sums) own.row_sums = mine.row_sums.data();
        }
        mine.virial.fill(0.0);
        mine.energy = 0.0;
        const int first = static_cast<int>(int64_t(atoms.count) * thread / count);
        const int last = static_cast<int>(int64_t(atoms.count) * (thread + 1) / count);
        for (int begin = first; begin < last; begin += largest_chunk) {
            gather(potential.cutoff(), atoms, begin, std::min(begin + largest_chunk, last), mine);
            evaluate(potential, mixed, atoms, own, mine);
        }
    });
    for (int t = 0; t < used; ++t) {
        const Worker& one = workers_[t];
        if (results.energy) *results.energy += one.energy;
        if (results.virial)
            for (int v = 0; v < 6; ++v) results.virial[v] += one.virial[v];
        if (t == 0) continue;
        for (size_t i = 0; i < force_size; ++i) results.forces[i] += one.forces[i];
        for (size_t i = 0; i < site_size; ++i) results.site_virials[i] += one.site_virials[i];
        for (size_t i = 0; i < row_size; ++i) results.row_sums[i] += one.row_sums[i];
    }
}

void Sweep::gather(double cutoff, const Atoms& atoms, int begin, int end, Worker& chunk) {
    const double limit = cutoff * cutoff;
    size_t most = 0;
    for (int c = begin; c < end; ++c) most += atoms.list_length[atoms.centers[c]];
    if (chunk.neighbours.size() < most) {
        chunk.neighbours.resize(most);
        chunk.displacements.resize(3 * most);
    }
    chunk.offsets.assign(1, 0);
    chunk.centers.clear();
    int64_t pairs = 0;
    for (int c = begin; c < end; ++c) {
        const int i = atoms.centers[c];
        if (atoms.types[i] < 0) continue;
        pairs += add_neighbours(atoms, i, limit, chunk.neighbours.data() + pairs,
                                chunk.displacements.data() + 3 * pairs);
        chunk.centers.push_back(i);
        chunk.offsets.push_back(pairs);
    }
}

void Sweep::evaluate(const LoadedPotential& potential, bool mixed, const Atoms& atoms,
                     const Results& results, Worker& chunk) {
    const int64_t count = static_cast<int64_t>(chunk.centers.size());
    const int64_t structure[2] = {0, count};
    const Neighbourhoods neighbourhoods{1,
                                        count,
                                        atoms.types,
                                        structure,
                                        chunk.offsets.data(),
                                        chunk.neighbours.data(),
                                        chunk.displacements.data(),
                                        atoms.all,
                                        chunk.centers.data()};
    Outputs out;
    out.forces = results.forces;
    out.site_virials = results.site_virials;
    out.row_sums = results.row_sums;
    if (results.virial) out.virials = chunk.virial.data();
    if (results.energy || results.site_energies) {
        chunk.site_energies.resize(count);
        out.site_energies = chunk.site_energies.data();
    }
    if (results.grades) {
        chunk.grades.resize(count);
        out.grades = chunk.grades.data();
    }
    potential.evaluate(neighbourhoods, out, mixed);
    for (int64_t c = 0; c < count; ++c) {
        const int32_t i = chunk.centers[c];
        if (out.site_energies) chunk.energy += chunk.site_energies[c];
        if (results.site_energies) results.site_energies[i] += chunk.site_energies[c];
        if (results.grades) results.grades[i] = chunk.grades[c];
    }
}

double Sweep::bytes() const {
    size_t total = 0;
    for (const Worker& w : workers_)
        total += sizeof(double) * (w.displacements.capacity() + w.site_energies.capacity() +
                                   w.grades.capacity() + w.forces.capacity() +
                                   w.site_virials.capacity() + w.row_sums.capacity()) +
                 sizeof(int64_t) * w.offsets.capacity() +
                 sizeof(int32_t) * (w.centers.capacity() + w.neighbours.capacity());
    return static_cast<double>(total);
}

}  // namespace mentor::lammps
