// Derivatives of energies, forces and virials with respect to all parameters, structure by
// structure.
//
// With A = dV/dM, an atom contributes to a gradient g (by a position or a strain; environment.hpp)
//     g = A T,    T = dM/dcolumn,
// and to the derivatives of g, with H the Hessian of V in the moments,
//     dg/dzeta_b  = dI_b . T                          (a forward sweep of T: tangents.hpp),
//     dg/dc[z, mu, k] = N[z, k] . (H T)_mu + X        (a backward sweep, and a matrix product),
// where N[z, k] = dM_mu/dc[z, mu, k] for every mu and X = A dN/dcolumn.
#pragma once

#include <atomic>
#include <numeric>

#include "outputs.hpp"
#include "parallel.hpp"
#include "structure_rows.hpp"

namespace mentor::MENTOR_ARCH {

class Differentiator {
  public:
    explicit Differentiator(const Model& model)
        : model_(model),
          program_(*model.program),
          environment_(model),
          values_(model),
          tangents_(values_),
          rows_(model) {}

    /// The rows of one structure; those by positions or strains only where asked for.
    StructureRows& operator()(const Neighbourhoods& nb, int64_t structure, bool positions,
                              bool strains) {
        const int64_t first = nb.structure_offsets[structure];
        const int64_t last = nb.structure_offsets[structure + 1];
        rows_.clear(last - first);
        for (int64_t i = first; i < last; ++i) {
            environment_.gather(nb, i, first, last);
            moments(nb.types[i]);
            energy(nb.types[i]);
            if (!(positions || strains)) continue;
            environment_.differentiate(values_.A(), positions, strains);
            for (int c = 0; c < environment_.columns(); c += Block::size)
                sweep(nb.types[i], static_cast<int>(i - first), c);
        }
        return rows_;
    }

  private:
    const Model& model_;
    const Program& program_;
    Environment environment_;
    AtomValues values_;
    Tangents tangents_;
    StructureRows rows_;

    void moments(int type) {
        double* S = values_.moments();
        const int K = model_.radial_funcs(), R = model_.basis_size();
        const double* c = model_.data.radial_coeffs.data() + type * model_.radial_block();
        std::fill(S, S + program_.moment_count, 0.0);
        for (int z = 0; z < model_.species(); ++z) {
            if (!environment_.present(z)) continue;
            for (int mu = 0; mu < K; ++mu)
                for (int k = 0; k < R; ++k) {
                    const double* N = environment_.N(z, k);
                    double* own = S + model_.reduced_begin[mu];
                    const double factor = c[(z * K + mu) * R + k];
                    for (int i = 0; i < model_.reduced_size(mu); ++i) own[i] += factor * N[i];
                }
        }
        values_.run(type);
    }

    void energy(int type) {
        const int K = model_.radial_funcs(), R = model_.basis_size();
        double* line = rows_.radial(type) + rows_.energy();
        for (int z = 0; z < model_.species(); ++z)
            for (int mu = 0; mu < K; ++mu)
                for (int k = 0; k < R; ++k, line += rows_.stride()) {
                    const double* N = environment_.N(z, k);
                    const double* A = values_.A() + model_.reduced_begin[mu];
                    double total = 0;
                    for (int i = 0; i < model_.reduced_size(mu); ++i) total += A[i] * N[i];
                    *line += total;
                }
        rows_.species(type)[rows_.energy()] += 1.0;
        line = rows_.invariants(type) + rows_.energy();
        for (int b = 0; b < program_.size(); ++b, line += rows_.stride())
            *line += invariant(program_.invariants[b], values_.S());
    }

    /// A block of columns, from `first` on.
    void sweep(int type, int atom, int first) {
        const int count = std::min(Block::size, environment_.columns() - first);
        const Scatter add(environment_, rows_, atom, first);
        Block* dM = tangents_.moments();
        for (int i = 0; i < program_.moment_count; ++i) dM[i] = Block{};
        for (int mu = 0; mu < model_.radial_funcs(); ++mu)
            for (int l = 0; l < count; ++l) {
                const double* T = environment_.T(first + l, mu);
                Block* own = dM + model_.reduced_begin[mu];
                for (int i = 0; i < model_.reduced_size(mu); ++i) own[i][l] = T[i];
            }
        tangents_.forwards();
        double* line = rows_.invariants(type);
        for (int b = 0; b < program_.size(); ++b, line += rows_.stride())
            add(line, tangents_.invariant_change(b));
        const Block* dA = tangents_.backwards();
        line = rows_.radial(type);
        const int R = model_.basis_size();
        for (int z = 0; z < model_.species(); ++z)
            for (int mu = 0; mu < model_.radial_funcs(); ++mu, line += R * rows_.stride()) {
                if (!environment_.present(z)) continue;
                int k = 0;
                for (; k + 4 <= R; k += 4) radial<4>(dA, z, mu, k, first, count, line, add);
                for (; k < R; ++k) radial<1>(dA, z, mu, k, first, count, line, add);
            }
    }

    /// The columns of c[z, mu, k], …, c[z, mu, k + n - 1]; `line` is that of k = 0.
    template <int n>
    void radial(const Block* dA, int z, int mu, int k, int first, int count, double* line,
                const Scatter& add) {
        Block total[n];
        for (Block& each : total) each = Block{};
        for (int l = 0; l < count; ++l) {
            const double* X = environment_.X(first + l, z, mu) + k;
            for (int each = 0; each < n; ++each) total[each][l] = X[each];
        }
        const double* N[n];
        for (int each = 0; each < n; ++each) N[each] = environment_.N(z, k + each);
        dA += model_.reduced_begin[mu];
        for (int i = 0; i < model_.reduced_size(mu); ++i)
            for (int each = 0; each < n; ++each) total[each].add(N[each][i], dA[i]);
        for (int each = 0; each < n; ++each)
            add(line + static_cast<size_t>(k + each) * rows_.stride(), total[each]);
    }
};

/// Calls place(s, places), which says where the rows of structure s go, and writes them there.
/// Structures are shared by the threads, those with most pairs first.
template <class Place>
inline void write_rows(const Model& model, const Neighbourhoods& nb, const int32_t* columns,
                       int64_t width, int threads, Place place) {
    std::vector<int64_t> order(nb.structures);
    std::iota(order.begin(), order.end(), 0);
    const auto pairs = [&](int64_t s) {
        return nb.offsets[nb.structure_offsets[s + 1]] - nb.offsets[nb.structure_offsets[s]];
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t s, int64_t t) { return pairs(s) > pairs(t); });
    std::atomic<int64_t> next{0};
    threads = static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, nb.structures)));
    in_parallel(threads, [&](int, int) {
        Differentiator differentiate(model);
        RowPlaces places;
        for (int64_t n = next++; n < nb.structures; n = next++) {
            const int64_t s = order[n];
            places.clear(nb.structure_offsets[s + 1] - nb.structure_offsets[s]);
            place(s, places);
            differentiate(nb, s, places.any_position(), places.any_strain())
                .write(places.data(), columns, width);
        }
    });
}

/// The Jacobian of all structures.
inline void jacobian(const Model& model, const Neighbourhoods& nb, const JacobianOutputs& out,
                     int threads) {
    const int64_t m = model.parameters();
    std::vector<int32_t> columns(m);
    std::iota(columns.begin(), columns.end(), 0);
    write_rows(model, nb, columns.data(), m, threads, [&](int64_t s, RowPlaces& places) {
        const int64_t first = nb.structure_offsets[s];
        const int64_t atoms = nb.structure_offsets[s + 1] - first;
        for (int64_t x = 0; out.forces && x < 3 * atoms; ++x)
            places.position(x) = {out.forces + (3 * first + x) * m, -1.0};
        for (int v = 0; out.virials && v < 6; ++v)
            places.strain(v) = {out.virials + (6 * s + v) * m, -1.0};
        if (out.energies) places.energy() = {out.energies + s * m, 1.0};
    });
}

/// The rows of the labels of a fit.
inline void weighted_rows(const Model& model, const Neighbourhoods& nb, const WeightedRows& out,
                          int threads) {
    // how many rows of energies, forces and virials come before those of each structure
    std::vector<std::array<int64_t, 3>> before(nb.structures + 1, {0, 0, 0});
    const auto known = [](const double* weights, int64_t i) { return weights && weights[i] != 0; };
    for (int64_t s = 0; s < nb.structures; ++s) {
        auto& [energies, forces, virials] = before[s + 1] = before[s];
        energies += known(out.energy_weights, s);
        for (int64_t i = nb.structure_offsets[s]; i < nb.structure_offsets[s + 1]; ++i)
            forces += 3 * known(out.force_weights, i);
        for (int v = 0; v < 6; ++v) virials += known(out.virial_weights, 6 * s + v);
    }
    const int64_t all_energies = before.back()[0], all_forces = before.back()[1];
    write_rows(model, nb, out.columns, out.width, threads, [&](int64_t s, RowPlaces& places) {
        auto [energy, force, virial] = before[s];
        force += all_energies, virial += all_energies + all_forces;
        const auto next = [&](int64_t& row, double factor) -> RowPlace {
            return {out.rows + out.stride * row++, factor};
        };
        if (known(out.energy_weights, s)) places.energy() = next(energy, out.energy_weights[s]);
        const int64_t first = nb.structure_offsets[s];
        for (int64_t i = first; i < nb.structure_offsets[s + 1]; ++i)
            for (int d = 0; d < 3 && known(out.force_weights, i); ++d)
                places.position(3 * (i - first) + d) = next(force, -out.force_weights[i]);
        for (int v = 0; v < 6; ++v)
            if (known(out.virial_weights, 6 * s + v))
                places.strain(v) = next(virial, -out.virial_weights[6 * s + v]);
    });
}

}  // namespace mentor::MENTOR_ARCH
