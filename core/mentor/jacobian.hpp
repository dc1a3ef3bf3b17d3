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

#include "environment.hpp"
#include "outputs.hpp"
#include "parallel.hpp"
#include "tangents.hpp"

namespace mentor::MENTOR_ARCH {

/// Where a row goes, and what it is multiplied with; null: nowhere.
struct RowPlace {
    double* to;
    double factor;
};

/// The rows of one structure: its energy, its derivatives by the strains, those by the positions.
///
/// They stand side by side while they are summed, one lane for each row; one line for each column,
/// which are the radial coefficients, the species and the invariants of the program.
class StructureRows {
  public:
    static constexpr int energy = 0, strain = 1, position = 7;

    explicit StructureRows(const Model& model)
        : model_(model), head_(model.radial_parameters() + model.species()) {
        std::vector<Sum> sums;
        for (const auto& scalar : model.program->scalars)
            sums.push_back({head_ + static_cast<int>(sums.size()), scalar});
        for (Sum& sum : sums)
            for (Term& term : sum.terms) term.source += head_;
        W_.add(std::move(sums));
        from_.reserve(head_ + model.program->size());
        to_.reserve(model.parameters());
    }

    void clear(int64_t atoms) {
        count_ = static_cast<int>(position + 3 * atoms);
        stride_ = padded(count_ + 1, Rows::size);  // one more for what goes nowhere
        sums_.zeros(static_cast<size_t>(head_ + model_.program->size()) * stride_);
    }

    int count() const { return count_; }
    int nowhere() const { return count_; }
    double* radial(int type) { return line(type * model_.radial_block()); }
    double* species(int type) { return line(model_.radial_parameters() + type); }
    double* invariants() { return line(head_); }
    /// From the line of one column to the next.
    int stride() const { return stride_; }

    /// Puts the rows of the model's parameters, the `columns` of them, at their places.
    void write(const RowPlace* places, const int32_t* columns, int64_t width) {
        const int lines = head_ + model_.program->size();
        for (int first = 0; first < count_; first += Rows::size) {
            for (int c = 0; c < lines; ++c)
                from_.data()[c] = *reinterpret_cast<const Rows*>(line(c) + first);
            std::copy_n(from_.data(), head_, to_.data());
            apply<double>(W_, from_.data(), to_.data());
            const int last = std::min(count_ - first, Rows::size);
            for (int l = 0; l < last; ++l) {
                const auto [to, factor] = places[first + l];
                if (!to) continue;
                const double* value = reinterpret_cast<const double*>(to_.data()) + l;
                for (int64_t i = 0; i < width; ++i)
                    to[i] = factor * value[static_cast<int64_t>(columns[i]) * Rows::size];
            }
        }
    }

  private:
    using Rows = Block<4>;

    const Model& model_;
    const int head_;
    int count_ = 0, stride_ = 0;
    Forms W_;  // from the invariants to the scalars
    Buffer<double> sums_;
    Buffer<Rows> from_, to_;

    double* line(int column) { return sums_.data() + static_cast<size_t>(column) * stride_; }
};

/// Adds blocks of an atom's columns, from `first` on, to the rows that they belong to.
template <class Columns>
class Scatter {
  public:
    Scatter(const Environment& environment, const StructureRows& rows, int atom, int first)
        : own_row_(StructureRows::position + 3 * atom) {
        for (Columns& own : own_) own = Columns{};
        for (int l = 0, c = first; l < Columns::size; ++l, ++c) {
            if (c < environment.force_columns()) {
                row_of_[l] = StructureRows::position + 3 * environment.others()[c / 3] + c % 3;
                own_[c % 3][l] = 1;
            } else if (c < environment.columns()) {
                row_of_[l] = StructureRows::strain + c - environment.force_columns();
            } else {
                row_of_[l] = rows.nowhere();
            }
        }
    }

    /// The atom itself moves against all others.
    void operator()(double* line, const Columns& g) const {
        for (int l = 0; l < Columns::size; ++l) line[row_of_[l]] += g[l];
        for (int d = 0; d < 3; ++d) {
            vec total = own_[d].v[0] * g.v[0];
            for (int v = 1; v < Columns::size / lanes; ++v) total += own_[d].v[v] * g.v[v];
            double sum = 0;
            for (int l = 0; l < lanes; ++l) sum += total[l];
            line[own_row_ + d] -= sum;
        }
    }

  private:
    int row_of_[Columns::size], own_row_;
    Columns own_[3];  // 1 for the columns of each direction
};

class Differentiator {
  public:
    explicit Differentiator(const Model& model)
        : model_(model),
          program_(*model.program),
          environment_(model),
          values_(model),
          rows_(model),
          tangents_(values_),
          narrow_(values_),
          narrowest_(values_) {}

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
            sweep_all(nb.types[i], static_cast<int>(i - first));
        }
        return rows_;
    }

  private:
    const Model& model_;
    const Program& program_;
    Environment environment_;
    AtomValues values_;
    StructureRows rows_;
    Tangents<4> tangents_;
    Tangents<3> narrow_;
    Tangents<2> narrowest_;

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
        values_.run();
    }

    void energy(int type) {
        const int K = model_.radial_funcs(), R = model_.basis_size(), stride = rows_.stride();
        for (int z = 0; z < model_.species(); ++z) {
            if (!environment_.present(z)) continue;
            for (int mu = 0; mu < K; ++mu)
                for (int k = 0; k < R; ++k) {
                    const double* N = environment_.N(z, k);
                    const double* A = values_.A() + model_.reduced_begin[mu];
                    double total = 0;
                    for (int i = 0; i < model_.reduced_size(mu); ++i) total += A[i] * N[i];
                    rows_.radial(type)[static_cast<size_t>((z * K + mu) * R + k) * stride] += total;
                }
        }
        *rows_.species(type) += 1.0;
        for (int b = 0; b < program_.size(); ++b)
            rows_.invariants()[static_cast<size_t>(b) * stride] +=
                invariant(program_.invariants[b], values_.S());
    }

    /// All columns of an atom, in blocks that are hardly larger.
    void sweep_all(int type, int atom) {
        for (int first = 0; first < environment_.columns();) {
            const int left = (environment_.columns() - first + lanes - 1) / lanes;  // registers
            if (left > 6 || left == 4)
                first = sweep(tangents_, type, atom, first);
            else if (left > 4 || left == 3)
                first = sweep(narrow_, type, atom, first);
            else
                first = sweep(narrowest_, type, atom, first);
        }
    }

    /// The columns from `first` on; returns the one after them.
    template <class Tangents>
    int sweep(Tangents& tangents, int type, int atom, int first) {
        using Columns = typename Tangents::Columns;
        const int count = std::min(Columns::size, environment_.columns() - first);
        const Scatter<Columns> add(environment_, rows_, atom, first);
        Columns* dM = tangents.moments();
        for (int i = 0; i < program_.moment_count; ++i) dM[i] = Columns{};
        for (int mu = 0; mu < model_.radial_funcs(); ++mu)
            for (int l = 0; l < count; ++l) {
                const double* T = environment_.T(first + l, mu);
                Columns* own = dM + model_.reduced_begin[mu];
                for (int i = 0; i < model_.reduced_size(mu); ++i) own[i][l] = T[i];
            }
        tangents.forwards();
        double* line = rows_.invariants();
        for (int b = 0; b < program_.size(); ++b, line += rows_.stride())
            add(line, tangents.invariant_change(b));
        const Columns* dA = tangents.backwards();
        line = rows_.radial(type);
        const int R = model_.basis_size();
        for (int z = 0; z < model_.species(); ++z)
            for (int mu = 0; mu < model_.radial_funcs(); ++mu, line += R * rows_.stride()) {
                if (!environment_.present(z)) continue;
                int k = 0;
                for (; k + 2 <= R; k += 2) radial<2>(dA, z, mu, k, first, count, line, add);
                if (k < R) radial<1>(dA, z, mu, k, first, count, line, add);
            }
        return first + count;
    }

    /// The columns of c[z, mu, k], …, c[z, mu, k + n - 1]; `line` is that of k = 0.
    template <int n, class Columns>
    void radial(const Columns* dA, int z, int mu, int k, int first, int count, double* line,
                const Scatter<Columns>& add) {
        Columns total[n] = {};
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
        std::vector<RowPlace> places;
        for (int64_t n = next++; n < nb.structures; n = next++) {
            const int64_t s = order[n];
            const int64_t atoms = nb.structure_offsets[s + 1] - nb.structure_offsets[s];
            places.assign(StructureRows::position + 3 * atoms, {nullptr, 0.0});
            place(s, places.data());
            const auto wanted = [&](auto begin, auto end) {
                return std::any_of(begin, end, [](const RowPlace& row) { return row.to; });
            };
            const auto strains = places.begin() + StructureRows::strain;
            const auto positions = places.begin() + StructureRows::position;
            differentiate(nb, s, wanted(positions, places.end()), wanted(strains, positions))
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
    write_rows(model, nb, columns.data(), m, threads, [&](int64_t s, RowPlace* places) {
        const int64_t first = nb.structure_offsets[s];
        const int64_t atoms = nb.structure_offsets[s + 1] - first;
        if (out.energies) places[StructureRows::energy] = {out.energies + s * m, 1.0};
        for (int64_t v = 0; out.virials && v < 6; ++v)
            places[StructureRows::strain + v] = {out.virials + (6 * s + v) * m, -1.0};
        for (int64_t x = 0; out.forces && x < 3 * atoms; ++x)
            places[StructureRows::position + x] = {out.forces + (3 * first + x) * m, -1.0};
    });
}

}  // namespace mentor::MENTOR_ARCH
