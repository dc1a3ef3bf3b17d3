// The neighbours of one atom, for the Jacobian: how its moments change with the positions.
//
// One SIMD lane is one angular or radial function. Changes of position are `columns`: three for
// each other atom of the structure that has images among the neighbours, then the six strains
// (Voigt) by which the virial is defined. Images of one atom move together, so that a small cell
// has few columns, however many neighbours; images of the atom itself do not move against it at
// all.
#pragma once

#include <utility>

#include "batch.hpp"
#include "model.hpp"
#include "radial.hpp"

namespace mentor::MENTOR_ARCH {

/// The smallest multiple of `unit` that holds `size`.
inline int padded(int size, int unit) {
    return (size + unit - 1) / unit * unit;
}

inline vec load(const double* x) {
    return *reinterpret_cast<const vec*>(x);
}
inline void store(double* x, const vec& value) {
    *reinterpret_cast<vec*>(x) = value;
}

inline double sum(const vec& x) {
    double total = 0;
    for (int l = 0; l < lanes; ++l) total += x[l];
    return total;
}

class Environment {
  public:
    explicit Environment(const Model& model)
        : model_(model),
          C_(model.species()),
          K_(model.radial_funcs()),
          R_(model.basis_size()),
          radials_(padded(R_, lanes)),
          angulars_(padded(model.angulars(), lanes)) {
        for (int mu = 0; mu < K_; ++mu) {
            begin_.push_back(moments_);
            moments_ += padded(model.reduced_size(mu), lanes);
        }
        A_.zeros(moments_);
    }

    /// Radial and angular functions with their gradients, and N, for central atom i, whose
    /// structure has atoms `first` to `last` - 1.
    void gather(const Neighbourhoods& nb, int64_t i, int64_t first, int64_t last) {
        const int most = static_cast<int>(nb.offsets[i + 1] - nb.offsets[i]) + 1;
        pairs_.reserve(most);
        Q_.zeros(static_cast<size_t>(most) * radials_);
        dQ_.zeros(static_cast<size_t>(most) * radials_);
        f_.reserve(most * K_), df_.reserve(most * K_);
        w_.zeros(static_cast<size_t>(most) * 4 * angulars_);
        N_.zeros(static_cast<size_t>(C_) * R_ * angulars_);
        number_others(nb, i, first, last);
        present_.assign(C_, false);
        size_ = 0;
        for (int64_t p = nb.offsets[i]; p < nb.offsets[i + 1]; ++p) {
            const double* d = nb.displacements + 3 * p;
            const double r = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
            if (!(r < model_.data.max_dist)) continue;
            const int64_t j = nb.neighbours[p];
            pairs_.data()[size_] = {
                nb.types[j], place_[j - first], {d[0] / r, d[1] / r, d[2] / r}, r, 1.0 / r};
            radial(nb.types[i], size_);
            angular(size_);
            add_to_N(size_);
            present_[nb.types[j]] = true;
            ++size_;
        }
    }

    /// The other atoms of the structure among the neighbours, counted from its first.
    const std::vector<int>& others() const { return others_; }
    /// Whether there are neighbours of species z.
    bool present(int z) const { return present_[z]; }

    /// N[z, k, i], the sum over neighbours of species z of scaling Q_k w_i; [angulars()].
    const double* N(int z, int k) const {
        return N_.data() + static_cast<size_t>(z * R_ + k) * angulars_;
    }

    /// T = dM/dcolumn, and the part X of d(dV/dcolumn)/dc[z, mu, k] in which A = dV/dM stays as it
    /// is, for force columns, strains or both.
    void differentiate(const double* A, bool forces, bool strains) {
        force_columns_ = forces ? 3 * static_cast<int>(others_.size()) : 0;
        columns_ = force_columns_ + (strains ? 6 : 0);
        stride_ = moments_ + C_ * K_ * radials_;
        T_.zeros(static_cast<size_t>(columns_ + 1) * stride_);
        for (int mu = 0; mu < K_; ++mu)
            std::copy_n(A + model_.reduced_begin[mu], model_.reduced_size(mu),
                        A_.data() + begin_[mu]);
        for (int n = 0; n < size_; ++n) {
            const bool moves = forces && pairs_.data()[n].place >= 0;
            if (moves && strains) add_pair<true, true>(n);
            if (moves && !strains) add_pair<true, false>(n);
            if (!moves && strains) add_pair<false, true>(n);
        }
    }

    int columns() const { return columns_; }
    /// How many of them, which come first, are forces.
    int force_columns() const { return force_columns_; }
    /// T[column, mu, :].
    const double* T(int column, int mu) const { return column_of(column) + begin_[mu]; }
    /// X[column, z, mu, :].
    const double* X(int column, int z, int mu) const {
        return column_of(column) + moments_ + (z * K_ + mu) * radials_;
    }

  private:
    struct Pair {
        int type, place;  // among the others; -1 for an image of the atom itself
        double u[3], r, inverse_r;
    };

    const Model& model_;
    const int C_, K_, R_, radials_, angulars_;
    std::vector<int> begin_;  // of the moments of each mu in T
    int moments_ = 0, size_ = 0, columns_ = 0, force_columns_ = 0, stride_ = 0;
    std::vector<int> place_, others_;
    std::vector<char> present_;
    Buffer<Pair> pairs_;
    Buffer<double> Q_, dQ_, f_, df_, w_, N_, A_, T_;

    const double* column_of(int column) const {
        return T_.data() + static_cast<size_t>(column) * stride_;
    }

    void number_others(const Neighbourhoods& nb, int64_t i, int64_t first, int64_t last) {
        place_.assign(last - first, -1);
        others_.clear();
        for (int64_t p = nb.offsets[i]; p < nb.offsets[i + 1]; ++p)
            place_[nb.neighbours[p] - first] = 0;
        place_[i - first] = -1;
        for (int64_t j = 0; j < last - first; ++j) {
            if (place_[j] < 0) continue;
            place_[j] = static_cast<int>(others_.size());
            others_.push_back(static_cast<int>(j));
        }
    }

    /// Within the core of the pair, at the distance to which the core holds it.
    RadialArgument<double> radial_argument(int type, const Pair& j) const {
        const ShortRangeCore* core =
            model_.cores.empty() ? nullptr : &model_.cores[type * C_ + j.type];
        if (!core || !(j.r < core->radius)) return {model_.data, j.r, 1.0};
        const auto distance = core->distance(j.r);
        RadialArgument<double> x(model_.data, distance.value, 1.0);
        x.dt_dr *= distance.slope, x.ds_dr *= distance.slope;
        return x;
    }

    /// scaling Q_k and f_mu with their derivatives by r.
    void radial(int type, int n) {
        const Pair& j = pairs_.data()[n];
        const double* c = model_.coeffs.doubles.data() + (type * C_ + j.type) * K_ * R_;
        const RadialArgument<double> x = radial_argument(type, j);
        const double scaling = model_.data.scaling;
        double *Q = Q_.data() + n * radials_, *dQ = dQ_.data() + n * radials_;
        chebyshev(x.t, R_, [&](int k, double T, double dT) {
            Q[k] = T * x.s;
            dQ[k] = dT * x.dt_dr * x.s + T * x.ds_dr;
        });
        for (int mu = 0; mu < K_; ++mu) {
            double f = 0, df = 0;
            for (int k = 0; k < R_; ++k) f += c[mu * R_ + k] * Q[k], df += c[mu * R_ + k] * dQ[k];
            f_.data()[n * K_ + mu] = f, df_.data()[n * K_ + mu] = df;
        }
        for (int k = 0; k < R_; ++k) Q[k] *= scaling, dQ[k] *= scaling;
    }

    /// w and its gradient (1/r)(1 - u u^T) dw/du.
    void angular(int n) {
        const Pair& j = pairs_.data()[n];
        double* w = w_.data() + static_cast<size_t>(n) * 4 * angulars_;
        double *dx = w + angulars_, *dy = dx + angulars_, *dz = dy + angulars_;
        const double x = j.u[0], y = j.u[1], z = j.u[2];
        double re = 1, im = 0;  // (x + iy)^degree
        w[0] = 1;
        for (int degree = 1; degree <= model_.highest_degree; ++degree) {
            const int lower = (degree - 1) * (degree - 1), here = degree * degree;
            const int count = 2 * degree - 1;
            for (int i = 0; i < count; ++i) {
                w[here + i] = z * w[lower + i];
                dx[here + i] = z * dx[lower + i];
                dy[here + i] = z * dy[lower + i];
                dz[here + i] = z * dz[lower + i] + w[lower + i];
            }
            const int at = here + count;
            dx[at] = degree * re, dx[at + 1] = degree * im;
            dy[at] = -degree * im, dy[at + 1] = degree * re;
            const double next = x * re - y * im;
            im = x * im + y * re, re = next;
            w[at] = re, w[at + 1] = im;
        }
        for (int i = 0; i < angulars_; i += lanes) {
            const vec gx = load(dx + i), gy = load(dy + i), gz = load(dz + i);
            const vec dot = gx * x + gy * y + gz * z;
            store(dx + i, (gx - dot * x) * j.inverse_r);
            store(dy + i, (gy - dot * y) * j.inverse_r);
            store(dz + i, (gz - dot * z) * j.inverse_r);
        }
    }

    void add_to_N(int n) {
        const double* Q = Q_.data() + n * radials_;
        const double* w = w_.data() + static_cast<size_t>(n) * 4 * angulars_;
        double* N = N_.data() + static_cast<size_t>(pairs_.data()[n].type) * R_ * angulars_;
        for (int k = 0; k < R_; ++k, N += angulars_)
            for (int i = 0; i < angulars_; i += lanes)
                store(N + i, load(N + i) + Q[k] * load(w + i));
    }

    /// Adds a vector t_d of functions of neighbour n to the columns that it belongs to: to its own
    /// three, and sym(t_a r_b) to the strains.
    template <bool force, bool strain>
    static void add_vector(const vec (&t)[3], const Pair& j, double* own, double* strains,
                           size_t stride) {
        const auto add = [](double* to, double x, const vec& a) { store(to, load(to) + x * a); };
        const auto add_two = [](double* to, double x, const vec& a, double y, const vec& b) {
            store(to, (load(to) + x * a) + y * b);
        };
        if constexpr (force)
            for (int d = 0; d < 3; ++d) store(own + d * stride, load(own + d * stride) + t[d]);
        if constexpr (strain) {
            const double x = 0.5 * j.r * j.u[0], y = 0.5 * j.r * j.u[1], z = 0.5 * j.r * j.u[2];
            add(strains, 2 * x, t[0]);
            add(strains + stride, 2 * y, t[1]);
            add(strains + 2 * stride, 2 * z, t[2]);
            add_two(strains + 3 * stride, y, t[2], z, t[1]);
            add_two(strains + 4 * stride, x, t[2], z, t[0]);
            add_two(strains + 5 * stride, x, t[1], y, t[0]);
        }
    }

    template <bool force, bool strain>
    void add_pair(int n) {
        const Pair& j = pairs_.data()[n];
        const double* w = w_.data() + static_cast<size_t>(n) * 4 * angulars_;
        const double *Q = Q_.data() + n * radials_, *dQ = dQ_.data() + n * radials_;
        double* own = T_.data() + static_cast<size_t>(3 * std::max(j.place, 0)) * stride_;
        double* strains = T_.data() + static_cast<size_t>(force_columns_) * stride_;
        for (int mu = 0; mu < K_; ++mu) {
            const double f = f_.data()[n * K_ + mu], df = df_.data()[n * K_ + mu];
            const double dfu[3] = {df * j.u[0], df * j.u[1], df * j.u[2]};
            const double* A = A_.data() + begin_[mu];
            vec G{}, dG[3] = {};
            const int size = padded(model_.reduced_size(mu), lanes);
            for (int i = 0; i < size; i += lanes) {
                const vec here = load(w + i), a = load(A + i);
                vec t[3];
                G += a * here;
                for (int d = 0; d < 3; ++d) {
                    const vec slope = load(w + (d + 1) * angulars_ + i);
                    t[d] = dfu[d] * here + f * slope;
                    dG[d] += a * slope;
                }
                const int to = begin_[mu] + i;
                add_vector<force, strain>(t, j, own + to, strains + to, stride_);
            }
            const double g = sum(G), dg[3] = {sum(dG[0]), sum(dG[1]), sum(dG[2])};
            for (int k = 0; k < radials_; k += lanes) {
                vec t[3];
                for (int d = 0; d < 3; ++d)
                    t[d] = load(dQ + k) * (j.u[d] * g) + load(Q + k) * dg[d];
                const int to = moments_ + (j.type * K_ + mu) * radials_ + k;
                add_vector<force, strain>(t, j, own + to, strains + to, stride_);
            }
        }
    }
};

}  // namespace mentor::MENTOR_ARCH
