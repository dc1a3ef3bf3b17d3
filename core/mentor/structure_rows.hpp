// Rows of the Jacobian of one structure: its gradient by the positions and strains, and its energy.
#pragma once

#include "environment.hpp"
#include "tangents.hpp"

namespace mentor::MENTOR_ARCH {

/// Where a row goes, and what it is multiplied with; null: nowhere.
struct RowPlace {
    double* to;
    double factor;
};

/// The places of all rows of one structure: those of the positions, the strains and the energy.
class RowPlaces {
  public:
    void clear(int64_t atoms) { all_.assign(3 * atoms + 7, {nullptr, 0.0}); }

    RowPlace& position(int64_t x) { return all_[x]; }
    RowPlace& strain(int v) { return all_[all_.size() - 7 + v]; }
    RowPlace& energy() { return all_.back(); }
    const RowPlace* data() const { return all_.data(); }

    bool any_position() const { return any(all_.begin(), all_.end() - 7); }
    bool any_strain() const { return any(all_.end() - 7, all_.end() - 1); }

  private:
    std::vector<RowPlace> all_;

    template <class Iterator>
    static bool any(Iterator begin, Iterator end) {
        return std::any_of(begin, end, [](const RowPlace& row) { return row.to; });
    }
};

/// The rows while they are summed: one lane for each row, in the order of RowPlaces, and one line
/// for each of the radial coefficients, the species and the invariants of the program, these once
/// for each set of moment_coeffs.
class StructureRows {
  public:
    explicit StructureRows(const Model& model)
        : model_(model),
          head_(model.radial_parameters() + model.species()),
          lines_(head_ + model.moment_sets() * model.program->size()) {
        std::vector<Sum> sums;
        for (int set = 0; set < model.moment_sets(); ++set)
            for (const auto& scalar : model.program->scalars) {
                sums.push_back({head_ + static_cast<int>(sums.size()), scalar});
                for (Term& term : sums.back().terms)
                    term.source += head_ + set * model.program->size();
            }
        W_.add(std::move(sums));
        from_.reserve(lines_);
        to_.reserve(model.parameters());
    }

    void clear(int64_t atoms) {
        count_ = static_cast<int>(3 * atoms + 7);
        stride_ = padded(count_ + Block::size, Block::size);
        sums_.zeros(static_cast<size_t>(lines_) * stride_);
    }

    int strain() const { return count_ - 7; }
    int energy() const { return count_ - 1; }
    double* radial(int type) { return line(type * model_.radial_block()); }
    double* species(int type) { return line(model_.radial_parameters() + type); }
    double* invariants(int type) {
        return line(head_ + model_.moment_set(type) * model_.program->size());
    }
    /// From one line to the next.
    int stride() const { return stride_; }

    /// Puts the rows of the model's parameters, the `columns` of them, at their places.
    void write(const RowPlace* places, const int32_t* columns, int64_t width) {
        for (int first = 0; first < count_; first += Block::size) {
            for (int c = 0; c < lines_; ++c)
                from_.data()[c] = *reinterpret_cast<const Block*>(line(c) + first);
            std::copy_n(from_.data(), head_, to_.data());
            apply<double>(W_, from_.data(), to_.data());
            const int last = std::min(count_ - first, Block::size);
            for (int l = 0; l < last; ++l) {
                const auto [to, factor] = places[first + l];
                if (!to) continue;
                const double* value = reinterpret_cast<const double*>(to_.data()) + l;
                for (int64_t i = 0; i < width; ++i)
                    to[i] = factor * value[static_cast<int64_t>(columns[i]) * Block::size];
            }
        }
    }

  private:
    const Model& model_;
    const int head_, lines_;
    int count_ = 0, stride_ = 0;
    Forms W_;  // from the invariants to the scalars
    Buffer<double> sums_;
    Buffer<Block> from_, to_;

    double* line(int column) { return sums_.data() + static_cast<size_t>(column) * stride_; }
};

/// Adds a block of an atom's columns, those from `first` on, to the rows that they belong to.
class Scatter {
  public:
    Scatter(const Environment& environment, const StructureRows& rows, int atom, int first)
        : own_(3 * atom) {
        for (Block& each : direction_) each = Block{};
        for (int l = 0, c = first; l < Block::size; ++l, ++c) {
            if (c < environment.force_columns()) {
                row_[l] = 3 * environment.others()[c / 3] + c % 3;
                direction_[c % 3][l] = 1;
            } else if (c < environment.columns()) {
                row_[l] = rows.strain() + c - environment.force_columns();
            } else {
                row_[l] = l == 0 ? 0 : row_[l - 1] + 1;  // zeros are added
            }
        }
        for (int v = 0; v < Block::vecs; ++v) {
            together_[v] = true;
            for (int l = v * lanes; l < (v + 1) * lanes - 1; ++l)
                together_[v] &= row_[l + 1] == row_[l] + 1;
        }
    }

    /// The atom itself moves against all others.
    void operator()(double* line, const Block& g) const {
        for (int v = 0; v < Block::vecs; ++v) {
            const int* row = row_ + v * lanes;
            if (together_[v])
                *reinterpret_cast<unaligned*>(line + row[0]) += g.v[v];
            else
                for (int l = 0; l < lanes; ++l) line[row[l]] += g.v[v][l];
        }
        for (int d = 0; d < 3; ++d) {
            vec total = direction_[d].v[0] * g.v[0];
            for (int v = 1; v < Block::vecs; ++v) total += direction_[d].v[v] * g.v[v];
            line[own_ + d] -= sum(total);
        }
    }

  private:
    typedef double unaligned __attribute__((vector_size(register_bytes), aligned(8)));

    int row_[Block::size], own_;
    bool together_[Block::vecs];  // whether its rows follow each other
    Block direction_[3];          // 1 for the columns of each direction
};

}  // namespace mentor::MENTOR_ARCH
