#include "loaded_potential.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "dispatch.hpp"
#include "mentor/potential_file.hpp"

namespace mentor {

namespace {

bool finite(const std::vector<double>& values) {
    return std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); });
}

}  // namespace

struct LoadedPotential::Content {
    Model model;
    std::vector<std::string> elements;
    std::unique_ptr<const ActiveSetInverse> active_set;
    bool per_structure;
    const Variant& kernel = variant_named("");

    Content(PotentialFile&& file, bool with_grades)
        : model(std::move(file.data)),
          elements(std::move(file.elements)),
          per_structure(file.per_structure) {
        if (with_grades && file.has_active_set)
            active_set = std::make_unique<const ActiveSetInverse>(model, std::move(file.inverse));
    }
};

LoadedPotential::LoadedPotential(const char* path, bool with_grades) {
    PotentialFile file = read_potential_file(path);
    const auto fail = [&](const std::string& what) {
        throw std::runtime_error(path + (": " + what));
    };
    for (const auto* values :
         {&file.data.radial_coeffs, &file.data.species_coeffs, &file.data.moment_coeffs})
        if (!finite(*values)) fail("some coefficients are not finite numbers; train it again");
    try {
        content_ = std::make_unique<const Content>(std::move(file), with_grades);
    } catch (const std::invalid_argument& invalid) {
        fail(invalid.what());
    }
}

LoadedPotential::~LoadedPotential() = default;

double LoadedPotential::cutoff() const {
    return content_->model.data.max_dist;
}
int LoadedPotential::species() const {
    return content_->model.species();
}
int LoadedPotential::scalars() const {
    return content_->model.scalars();
}
int LoadedPotential::parameters() const {
    return content_->model.parameters();
}
const char* LoadedPotential::element(int type) const {
    return content_->elements.empty() ? nullptr : content_->elements[type].c_str();
}
bool LoadedPotential::has_grades() const {
    return content_->active_set != nullptr;
}
bool LoadedPotential::per_structure() const {
    return content_->per_structure;
}

void LoadedPotential::evaluate(const Neighbourhoods& neighbourhoods, Outputs out,
                               bool mixed) const {
    out.active_set = content_->active_set.get();
    const Variant& kernel = content_->kernel;
    const auto run = mixed && !out.needs_rows() ? kernel.evaluate_mixed : kernel.evaluate;
    run(content_->model, neighbourhoods, out, 1);
}

double LoadedPotential::grade(const double* row) const {
    return content_->active_set->grade(row);
}

}  // namespace mentor
