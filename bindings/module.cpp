// nanobind export of the kernel: array shapes are checked here, nothing is computed.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <limits>

#include "dispatch.hpp"
#include "mentor/potential_file.hpp"
#include "mentor/threads.hpp"

namespace nb = nanobind;
using namespace nb::literals;

template <class T, class... Shape>
using Array = nb::ndarray<T, nb::numpy, nb::c_contig, nb::device::cpu, Shape...>;
using Doubles = Array<const double, nb::ndim<1>>;
using Rows = Array<const int32_t, nb::shape<-1, 4>>;
template <int dimensions>
using Output = std::optional<Array<double, nb::ndim<dimensions>>>;

namespace {

void require(bool condition, const char* what) {
    if (!condition) throw std::invalid_argument(what);
}

std::vector<double> to_vector(const Doubles& x) {
    return {x.data(), x.data() + x.size()};
}

std::vector<std::array<int, 4>> to_rows(const Rows& x) {
    std::vector<std::array<int, 4>> rows(x.shape(0));
    for (size_t i = 0; i < rows.size(); ++i)
        for (int j = 0; j < 4; ++j) rows[i][j] = x.data()[4 * i + j];
    return rows;
}

struct NeighbourArrays {
    Array<const int32_t, nb::ndim<1>> types;
    Array<const int64_t, nb::ndim<1>> structure_offsets, offsets;
    Array<const int32_t, nb::ndim<1>> neighbours;
    Array<const double, nb::shape<-1, 3>> displacements;

    mentor::Neighbourhoods view() const {
        return {static_cast<int64_t>(structure_offsets.size()) - 1,
                static_cast<int64_t>(types.size()),
                types.data(),
                structure_offsets.data(),
                offsets.data(),
                neighbours.data(),
                displacements.data(),
                static_cast<int64_t>(types.size())};
    }

    void check(int species) const {
        const auto all = view();
        require(all.structures >= 0 && offsets.size() == types.size() + 1 &&
                    displacements.shape(0) == neighbours.size(),
                "the arrays of the neighbourhoods differ in length");
        require(all.structure_offsets[0] == 0 && all.structure_offsets[all.structures] == all.atoms,
                "structure_offsets must run from 0 to the number of atoms");
        require(all.offsets[0] == 0 &&
                    all.offsets[all.atoms] == static_cast<int64_t>(neighbours.size()),
                "offsets must run from 0 to the number of pairs");
        for (int64_t i = 0; i < all.atoms; ++i) {
            require(all.types[i] >= 0 && all.types[i] < species,
                    "an atom's type is not in the potential");
            require(all.offsets[i] <= all.offsets[i + 1], "offsets must not decrease");
        }
        for (int64_t s = 0; s < all.structures; ++s)
            require(all.structure_offsets[s] <= all.structure_offsets[s + 1],
                    "structure_offsets must not decrease");
        for (int64_t s = 0; s < all.structures; ++s) {
            const int64_t first = all.structure_offsets[s], last = all.structure_offsets[s + 1];
            int32_t lowest = std::numeric_limits<int32_t>::max(), highest = -1;
            for (int64_t p = all.offsets[first]; p < all.offsets[last]; ++p) {
                lowest = std::min(lowest, all.neighbours[p]);
                highest = std::max(highest, all.neighbours[p]);
            }
            require(lowest >= first && highest < last, "a neighbour lies outside its structure");
        }
    }
};

template <class MaybeArray>
double* data(const MaybeArray& x, const std::vector<size_t>& shape, const char* what) {
    if (!x) return nullptr;
    for (size_t d = 0; d < shape.size(); ++d) require(x->shape(d) == shape[d], what);
    return x->data();
}

class Kernel {
  public:
    Kernel(mentor::PotentialData data, const std::string& variant, bool mixed, bool planned)
        : model_(std::move(data),
                 planned ? mentor::Contraction::plan : mentor::Contraction::schedule),
          variant_(&mentor::variant_named(variant)),
          mixed_(mixed) {}

    void evaluate(const NeighbourArrays& arrays, Output<1> site_energies, Output<2> forces,
                  Output<2> virials, Output<3> site_virials, Output<2> basis, Output<2> rows,
                  Output<1> grades, const mentor::ActiveSetInverse* active_set, int threads) const {
        arrays.check(model_.species());
        const auto nbh = arrays.view();
        const size_t N = nbh.atoms, S = nbh.structures;
        const size_t n = model_.scalars(), m = model_.parameters();
        mentor::Outputs out;
        out.site_energies = data(site_energies, {N}, "site_energies must have shape (N,)");
        out.forces = data(forces, {N, 3}, "forces must have shape (N, 3)");
        out.virials = data(virials, {S, 6}, "virials must have shape (S, 6)");
        out.site_virials = data(site_virials, {N, 3, 3}, "site_virials must have shape (N, 3, 3)");
        out.basis = data(basis, {N, n}, "basis must have shape (N, n)");
        out.rows = data(rows, {N, m}, "rows must have shape (N, m)");
        out.grades = data(grades, {N}, "grades must have shape (N,)");
        out.active_set = active_set;
        require(!out.grades || (active_set && active_set->size == m),
                "grades need the active set of this potential");
        nb::gil_scoped_release release;
        const auto evaluate =
            mixed_ && !rows && !basis && !grades ? variant_->evaluate_mixed : variant_->evaluate;
        evaluate(model_, nbh, out, mentor::thread_count(threads));
    }

    void jacobian(const NeighbourArrays& arrays, Output<2> energies, Output<3> forces,
                  Output<3> virials, int threads) const {
        arrays.check(model_.species());
        const auto nbh = arrays.view();
        const size_t N = nbh.atoms, S = nbh.structures, m = model_.parameters();
        mentor::JacobianOutputs out;
        out.energies = data(energies, {S, m}, "energies must have shape (S, m)");
        out.forces = data(forces, {N, 3, m}, "forces must have shape (N, 3, m)");
        out.virials = data(virials, {S, 6, m}, "virials must have shape (S, 6, m)");
        nb::gil_scoped_release release;
        variant_->jacobian(model_, nbh, out, mentor::thread_count(threads));
    }

    void weighted_rows(const NeighbourArrays& arrays, const Array<double, nb::ndim<2>>& rows,
                       const Array<const int32_t, nb::ndim<1>>& columns,
                       const Array<const double, nb::ndim<1>>& energy_weights,
                       const Array<const double, nb::ndim<1>>& force_weights,
                       const Array<const double, nb::ndim<2>>& virial_weights, int threads) const {
        arrays.check(model_.species());
        const auto nbh = arrays.view();
        const size_t N = nbh.atoms, S = nbh.structures;
        require(energy_weights.size() == S && force_weights.size() == N &&
                    virial_weights.shape(0) == S && virial_weights.shape(1) == 6,
                "weights must have shapes (S,), (N,) and (S, 6)");
        const auto known = [](const double* weights, size_t size) {
            return size - std::count(weights, weights + size, 0.0);
        };
        require(rows.shape(0) == known(energy_weights.data(), S) +
                                     3 * known(force_weights.data(), N) +
                                     known(virial_weights.data(), 6 * S) &&
                    rows.shape(1) >= columns.size(),
                "rows must have one row for each weight and one column for each of columns");
        for (size_t c = 0; c < columns.size(); ++c)
            require(columns.data()[c] >= 0 && columns.data()[c] < model_.parameters(),
                    "columns must be numbers of parameters");
        const mentor::WeightedRows out{rows.data(),           static_cast<int64_t>(rows.shape(1)),
                                       columns.data(),        static_cast<int64_t>(columns.size()),
                                       energy_weights.data(), force_weights.data(),
                                       virial_weights.data()};
        nb::gil_scoped_release release;
        variant_->weighted_rows(model_, nbh, out, mentor::thread_count(threads));
    }

    mentor::ActiveSetInverse active_set(const Array<const double, nb::ndim<2>>& inverse) const {
        return {model_, {inverse.data(), inverse.data() + inverse.size()}};
    }

    const mentor::Model& model() const { return model_; }
    std::string variant() const { return variant_->name; }

  private:
    mentor::Model model_;
    const mentor::Variant* variant_;
    bool mixed_;
};

/// Hand a vector over to Python without copying it.
template <class T, class Allocator>
nb::ndarray<nb::numpy, T> to_numpy(std::vector<T, Allocator>&& values,
                                   std::initializer_list<size_t> shape) {
    using Vector = std::vector<T, Allocator>;
    auto* kept = new Vector(std::move(values));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<Vector*>(p); });
    return nb::ndarray<nb::numpy, T>(kept->data(), shape, owner);
}

nb::tuple neighbour_list(const Array<const double, nb::shape<-1, 3>>& positions,
                         const Array<const double, nb::shape<-1, 3, 3>>& cells,
                         const Array<const bool, nb::shape<-1, 3>>& pbc,
                         const Array<const int64_t, nb::ndim<1>>& structure_offsets, double cutoff,
                         int threads, const std::string& variant) {
    const size_t count = cells.shape(0);
    const int64_t* offsets = structure_offsets.data();
    require(pbc.shape(0) == count && structure_offsets.size() == count + 1,
            "cells, pbc and structure_offsets differ in length");
    require(offsets[0] == 0 && offsets[count] == static_cast<int64_t>(positions.shape(0)),
            "structure_offsets must run from 0 to the number of atoms");
    for (size_t s = 0; s < count; ++s)
        require(offsets[s] <= offsets[s + 1], "structure_offsets must not decrease");
    std::vector<mentor::Periodic> structures;
    for (size_t s = 0; s < count; ++s) {
        structures.push_back({offsets[s + 1] - offsets[s], positions.data() + 3 * offsets[s],
                              cells.data() + 9 * s, pbc.data() + 3 * s});
    }
    mentor::Pairs pairs;
    {
        nb::gil_scoped_release release;
        pairs = mentor::variant_named(variant).find_pairs(structures, cutoff,
                                                          mentor::thread_count(threads));
    }
    const size_t atoms = pairs.offsets.size() - 1, size = pairs.neighbours.size();
    return nb::make_tuple(to_numpy(std::move(pairs.offsets), {atoms + 1}),
                          to_numpy(std::move(pairs.neighbours), {size}),
                          to_numpy(std::move(pairs.displacements), {size, 3}));
}

mentor::RadialBasis radial_basis(const std::string& name) {
    mentor::RadialBasis basis;
    if (mentor::radial_basis_named(name, basis)) return basis;
    throw std::invalid_argument("radial_basis_type '" + name + "' is not known");
}

nb::dict read_potential_file(const std::string& path) {
    auto file = mentor::read_potential_file(path);
    auto& data = file.data;
    const size_t C = data.species_count, K = data.radial_funcs_count, R = data.radial_basis_size;
    const size_t m = C * C * K * R + C + data.moment_coeffs.size();
    const size_t scalars = data.alpha_moment_mapping.size();
    const bool own = data.moment_coeffs.size() > scalars;
    const auto rows = [](const std::vector<std::array<int, 4>>& rows) {
        std::vector<int> flat;
        for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
        return to_numpy(std::move(flat), {rows.size(), 4});
    };
    nb::dict fields;
    fields["radial_basis_type"] = mentor::radial_basis_name(data.radial_basis_type);
    fields["scaling"] = data.scaling;
    fields["min_dist"] = data.min_dist;
    fields["max_dist"] = data.max_dist;
    fields["species_count"] = data.species_count;
    fields["alpha_moments_count"] = data.alpha_moments_count;
    fields["radial_coeffs"] = to_numpy(std::move(data.radial_coeffs), {C, C, K, R});
    fields["species_coeffs"] = to_numpy(std::move(data.species_coeffs), {C});
    fields["moment_coeffs"] = own ? to_numpy(std::move(data.moment_coeffs), {C, scalars})
                                  : to_numpy(std::move(data.moment_coeffs), {scalars});
    fields["alpha_index_basic"] = rows(data.alpha_index_basic);
    fields["alpha_index_times"] = rows(data.alpha_index_times);
    fields["alpha_moment_mapping"] = to_numpy(std::move(data.alpha_moment_mapping), {scalars});
    fields["core_radii"] = data.core_radii.empty()
                               ? nb::object(nb::none())
                               : nb::cast(to_numpy(std::move(data.core_radii), {C, C}));
    fields["elements"] = nb::cast(file.elements);
    fields["per_structure"] = file.per_structure;
    fields["inverse"] = file.has_active_set ? nb::cast(to_numpy(std::move(file.inverse), {m, m}))
                                            : nb::object(nb::none());
    return fields;
}

}  // namespace

NB_MODULE(_core, module) {
    // kernels in module-level caches outlive the interpreter: no leak, no reason to alarm users
    nb::set_leak_warnings(false);
    module.def("variants", [] {
        std::vector<std::string> names;
        for (const auto* each : mentor::variants()) names.push_back(each->name);
        return names;
    });
    module.def("neighbour_list", &neighbour_list, "positions"_a.noconvert(), "cells"_a.noconvert(),
               "pbc"_a.noconvert(), "structure_offsets"_a.noconvert(), "cutoff"_a, "threads"_a = 0,
               "variant"_a = "");
    module.def("read_potential_file", &read_potential_file, "path"_a);
    nb::class_<NeighbourArrays>(module, "NeighbourArrays")
        .def(nb::init<Array<const int32_t, nb::ndim<1>>, Array<const int64_t, nb::ndim<1>>,
                      Array<const int64_t, nb::ndim<1>>, Array<const int32_t, nb::ndim<1>>,
                      Array<const double, nb::shape<-1, 3>>>(),
             "types"_a.noconvert(), "structure_offsets"_a.noconvert(), "offsets"_a.noconvert(),
             "neighbours"_a.noconvert(), "displacements"_a.noconvert());
    nb::class_<mentor::ActiveSetInverse>(module, "ActiveSetInverse");
    nb::class_<Kernel>(module, "Kernel")
        .def(
            "__init__",
            [](Kernel* self, const std::string& radial_basis_type, double scaling, double min_dist,
               double max_dist, int species_count, int radial_funcs_count, int radial_basis_size,
               const Doubles& radial_coeffs, const Doubles& species_coeffs,
               const Doubles& moment_coeffs, int alpha_moments_count, const Rows& alpha_index_basic,
               const Rows& alpha_index_times, const Array<const int32_t, nb::ndim<1>>& mapping,
               const Array<const int32_t, nb::ndim<1>>& atomic_numbers, const Doubles& core_radii,
               const std::string& variant, bool mixed, bool planned) {
                mentor::PotentialData data{
                    radial_basis(radial_basis_type),
                    scaling,
                    min_dist,
                    max_dist,
                    species_count,
                    radial_funcs_count,
                    radial_basis_size,
                    alpha_moments_count,
                    to_vector(radial_coeffs),
                    to_vector(species_coeffs),
                    to_vector(moment_coeffs),
                    to_rows(alpha_index_basic),
                    to_rows(alpha_index_times),
                    {mapping.data(), mapping.data() + mapping.size()},
                    {atomic_numbers.data(), atomic_numbers.data() + atomic_numbers.size()},
                    to_vector(core_radii)};
                new (self) Kernel(std::move(data), variant, mixed, planned);
            },
            "radial_basis_type"_a, "scaling"_a, "min_dist"_a, "max_dist"_a, "species_count"_a,
            "radial_funcs_count"_a, "radial_basis_size"_a, "radial_coeffs"_a, "species_coeffs"_a,
            "moment_coeffs"_a, "alpha_moments_count"_a, "alpha_index_basic"_a,
            "alpha_index_times"_a, "alpha_moment_mapping"_a, "atomic_numbers"_a, "core_radii"_a,
            "variant"_a = "", "mixed"_a = false, "planned"_a = true)
        .def("evaluate", &Kernel::evaluate, "neighbourhoods"_a,
             "site_energies"_a.noconvert() = nb::none(), "forces"_a.noconvert() = nb::none(),
             "virials"_a.noconvert() = nb::none(), "site_virials"_a.noconvert() = nb::none(),
             "basis"_a.noconvert() = nb::none(), "rows"_a.noconvert() = nb::none(),
             "grades"_a.noconvert() = nb::none(), "active_set"_a = nb::none(), "threads"_a = 0)
        .def("jacobian", &Kernel::jacobian, "neighbourhoods"_a,
             "energies"_a.noconvert() = nb::none(), "forces"_a.noconvert() = nb::none(),
             "virials"_a.noconvert() = nb::none(), "threads"_a = 0)
        .def("weighted_rows", &Kernel::weighted_rows, "neighbourhoods"_a, "rows"_a.noconvert(),
             "columns"_a.noconvert(), "energy_weights"_a.noconvert(), "force_weights"_a.noconvert(),
             "virial_weights"_a.noconvert(), "threads"_a = 0)
        .def("active_set", &Kernel::active_set, "inverse"_a.noconvert())
        .def_prop_ro("variant", &Kernel::variant)
        .def_prop_ro("planned", [](const Kernel& k) { return k.model().program->planned; })
        .def_prop_ro("operations", [](const Kernel& k) { return k.model().program->operations(); });
}
