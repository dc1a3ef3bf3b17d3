// The smooth short-range core of the radial basis RBChebyshev_zbl, for each pair of species.
//
// Below its radius a pair of atoms repels by the universal screened Coulomb energy (Ziegler,
// Biersack & Littmark, The Stopping and Range of Ions in Solids, 1985), times a switch that is 1
// below 0.7 radii. The polynomials Q_k, which explode outside [min_dist, max_dist], are taken at a
// distance that does not fall below 0.925 radii. All of it is twice continuously differentiable.
#pragma once

#include <cmath>

namespace mentor {

struct ShortRangeCore {
    static constexpr double switched = 0.7;  // of the radius, below which all of the energy counts
    static constexpr double held = 0.85;     // below which the polynomials are constant
    static constexpr double coulomb = 14.399645;  // e^2 / (4 pi epsilon_0), eV Å

    double radius = 0;  // Å

    ShortRangeCore() = default;
    ShortRangeCore(double outer, int z_i, int z_j)
        : radius(outer),
          charges_(coulomb * z_i * z_j),
          per_length_((std::pow(z_i, 0.23) + std::pow(z_j, 0.23)) / 0.46850) {}

    /// A function of r and its derivative.
    struct Value {
        double value, slope;
    };

    /// Energy (eV) of a pair at r < radius (Å).
    Value energy(double r) const {
        constexpr double factors[] = {0.18175, 0.50986, 0.28022, 0.02817};
        constexpr double decays[] = {3.19980, 0.94229, 0.40290, 0.20162};
        double screening = 0, slope = 0;
        for (int i = 0; i < 4; ++i) {
            const double part = factors[i] * std::exp(-decays[i] * per_length_ * r);
            screening += part;
            slope -= decays[i] * per_length_ * part;
        }
        const double E = charges_ * screening / r, dE = charges_ * slope / r - E / r;
        const double width = (1 - switched) * radius, x = (r - switched * radius) / width;
        if (x <= 0) return {E, dE};
        const double s = 1 - x * x * x * (10 - 15 * x + 6 * x * x);
        const double ds = -30 * x * x * (1 - x) * (1 - x) / width;
        return {E * s, dE * s + E * ds};
    }

    /// The distance (Å) at which the polynomials are taken, for r < radius.
    Value distance(double r) const {
        const double width = (1 - held) * radius, x = (r - held * radius) / width;
        if (x <= 0) return {radius - width / 2, 0};
        return {radius - width * (0.5 - x * x * x * (1 - x / 2)), x * x * (3 - 2 * x)};
    }

  private:
    double charges_ = 0, per_length_ = 0;  // eV Å, 1/Å
};

}  // namespace mentor
