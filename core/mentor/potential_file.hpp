// Potentials in .mtp and .almtp files, for programs without Python.
//
// It follows mentor.formats.mtp and mentor.formats.almtp; tests/unit/test_potential_file.py holds
// both readers equal.
#pragma once

#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "chemical_symbols.hpp"
#include "model.hpp"
#include "text_file.hpp"

namespace mentor {

struct PotentialFile {
    PotentialData data;
    std::vector<std::string> elements;  // of the types 0, 1, …; empty where the file names none
    bool has_active_set = false;
    bool per_structure = false;   // configuration mode: grades of structures, not of atoms
    std::vector<double> inverse;  // A^-1, [m][m], row by row
};

constexpr std::pair<RadialBasis, const char*> radial_basis_names[] = {
    {RadialBasis::RBChebyshev, "RBChebyshev"},
    {RadialBasis::RBChebyshev_repuls, "RBChebyshev_repuls"},
    {RadialBasis::BChebyshev, "BChebyshev"},
    {RadialBasis::RBChebyshev_zbl, "RBChebyshev_zbl"}};

/// The radial basis of that name goes to `basis`; false where there is none.
inline bool radial_basis_named(std::string_view name, RadialBasis& basis) {
    for (const auto& [each, own] : radial_basis_names)
        if (name == own) return basis = each, true;
    return false;
}
inline const char* radial_basis_name(RadialBasis basis) {
    for (const auto& [each, name] : radial_basis_names)
        if (basis == each) return name;
    return "";
}

/// Reads the statements `key = value` of an .mtp file and checks them against each other.
class PotentialReader {
  public:
    explicit PotentialReader(const std::string& path) : file_(path) {}

    PotentialFile read() {
        mark_ = file_.text().find("\n#MVS");
        end_ = mark_ == std::string_view::npos ? file_.text().size() : mark_ + 1;
        statements();
        check();
        assemble_radial_coeffs();
        name_elements();
        check_core();
        if (mark_ != std::string_view::npos) active_set();
        return std::move(result_);
    }

  private:
    TextFile file_;
    size_t mark_ = 0, end_ = 0;  // the active set; the end of the text before it
    PotentialFile result_{};
    std::map<std::string, int64_t, std::less<>> line_of_;  // of each statement given
    std::map<std::string, int, std::less<>> count_of_{
        {"species_count", 0},        {"radial_basis_size", 0},       {"radial_funcs_count", 0},
        {"alpha_moments_count", 0},  {"alpha_index_basic_count", 0}, {"alpha_index_times_count", 0},
        {"alpha_scalar_moments", 0},
    };
    /// In place of moment_coeffs where each species has its own, one species after the other.
    static constexpr const char* own_moments = "species_moment_coeffs";
    std::vector<double> own_moments_;
    std::string tag_;
    using Pair = std::pair<int, int>;
    std::vector<int> first_labels_;              // in the order of their appearance
    std::map<Pair, std::vector<double>> pairs_;  // radial_coeffs [mu][k] of two labels

    bool given(std::string_view key) const { return line_of_.count(key) > 0; }
    int count(std::string_view key) const { return count_of_.find(key)->second; }

    void statements() {
        file_.skip_space();
        const auto first =
            file_.take_while([](char c) { return c == 'M' || c == 'T' || c == 'P'; });
        const auto gap = file_.take_while(is_space);
        if (first != "MTP" || gap.find('\n') == std::string_view::npos)
            file_.fail("is not a potential: the first line must be 'MTP'", 1);
        result_.data.scaling = 1;
        for (file_.skip_space(); file_.position() < end_; file_.skip_space()) statement();
    }

    void statement() {
        const size_t start = file_.position();
        const std::string key(file_.take_while(is_word));
        if (!known(key)) {
            file_.move_to(start);
            file_.fail("unknown field " + shown(file_.rest_of_line()) +
                       "; the file is damaged or of another format");
        }
        file_.skip_blanks();
        if (!file_.take('=') && key != "radial_coeffs")
            file_.fail(key + " has no value; expected '" + key + " = ...'");
        if (given(key) && key != "scaling")
            file_.fail(key + " is given a second time; keep one of them");
        line_of_[key] = file_.line();
        value(key);
    }

    bool known(const std::string& key) const {
        static const std::set<std::string> others{
            "scaling",           "min_dist",      "max_dist",          "version",
            "potential_name",    "potential_tag", "radial_basis_type", "alpha_index_basic",
            "alpha_index_times", "radial_coeffs", "species_coeffs",    "alpha_moment_mapping",
            "moment_coeffs",     "core_radii",    own_moments,
        };
        return count_of_.count(key) || others.count(key);
    }

    void value(const std::string& key) {
        PotentialData& data = result_.data;
        if (key == "radial_coeffs")
            radial_coeffs();
        else if (key == "core_radii")
            data.core_radii = file_.list<double>(key);
        else if (key == "alpha_index_basic")
            data.alpha_index_basic = file_.rows(key);
        else if (key == "alpha_index_times")
            data.alpha_index_times = file_.rows(key);
        else if (key == "alpha_moment_mapping")
            data.alpha_moment_mapping = file_.list<int>(key);
        else if (key == "species_coeffs")
            data.species_coeffs = file_.list<double>(key);
        else if (key == "moment_coeffs")
            data.moment_coeffs = file_.list<double>(key);
        else if (key == own_moments)
            own_moments_ = file_.list<double>(key);
        else
            word(key, std::string(file_.rest_of_line()));
    }

    void word(const std::string& key, const std::string& word) {
        PotentialData& data = result_.data;
        if (key == "potential_tag") {
            tag_ = word;
        } else if (key == "radial_basis_type") {
            if (!radial_basis_named(word, data.radial_basis_type))
                file_.fail(key + " " + shown(word) +
                           " is not supported; mentor knows RBChebyshev, RBChebyshev_repuls, "
                           "BChebyshev, RBChebyshev_zbl");
        } else if (key == "scaling") {
            data.scaling *= real(key, word);
        } else if (key == "min_dist") {
            data.min_dist = real(key, word);
        } else if (key == "max_dist") {
            data.max_dist = real(key, word);
        } else if (const auto found = count_of_.find(key); found != count_of_.end()) {
            if (!parse(word, found->second))
                file_.fail(key + " = " + shown(word) + " is not a count");
            if (found->second < 0)
                file_.fail(key + " = " + word + " is out of range; it cannot be negative");
        }
    }

    double real(const std::string& key, const std::string& word) const {
        double value = 0;
        if (!parse(word, value)) file_.fail(key + " = " + shown(word) + " is not a number");
        if (!std::isfinite(value)) file_.fail(key + " = " + word + " is not a finite number");
        return value;
    }

    /// Per pair of labels a line "a-b", then K lists of R numbers.
    void radial_coeffs() {
        for (const char* key : {"radial_basis_size", "radial_funcs_count"})
            if (!given(key)) file_.fail(std::string(key) + " must come before radial_coeffs");
        const int K = count("radial_funcs_count"), R = count("radial_basis_size");
        for (file_.skip_space(); is_digit(file_.peek()); file_.skip_space()) {
            const auto a = file_.take_while(is_digit);
            const bool dash = file_.take('-');
            const auto b = file_.take_while(is_digit);
            const std::string name = std::string(a) + "-" + std::string(b);
            Pair label;
            if (!dash || !parse(a, label.first) || !parse(b, label.second))
                file_.fail("expected a pair of species, such as 0-1");
            if (pairs_.count(label)) file_.fail("the pair " + name + " is given a second time");
            if (std::find(first_labels_.begin(), first_labels_.end(), label.first) ==
                first_labels_.end())
                first_labels_.push_back(label.first);
            auto& coeffs = pairs_[label];
            for (int mu = 0; mu < K; ++mu) {
                const auto row = file_.list<double>("radial_coeffs of " + name);
                if (static_cast<int>(row.size()) != R)
                    file_.fail("function " + std::to_string(mu) + " of the pair " + name + " has " +
                               std::to_string(row.size()) +
                               " coefficients, but radial_basis_size = " + std::to_string(R));
                coeffs.insert(coeffs.end(), row.begin(), row.end());
            }
        }
    }

    void check() {
        file_.move_to(end_);
        for (const auto& [key, unused] : count_of_) require_given(key);
        for (const char* key : {"min_dist", "max_dist", "radial_basis_type", "alpha_index_basic",
                                "alpha_index_times", "alpha_moment_mapping"})
            require_given(key);
        const char* moments = given(own_moments) ? own_moments : "moment_coeffs";
        const bool trained = given("radial_coeffs") || given("species_coeffs") || given(moments);
        if (!trained) file_.fail("the potential is not trained; run mentor train on it first");
        for (const char* key : {"radial_coeffs", "species_coeffs", moments}) require_given(key);
        if (given(own_moments) && given("moment_coeffs"))
            fail_at("moment_coeffs", std::string(own_moments) +
                                         " and moment_coeffs are both given; keep one of them");
        for (const char* key : {"species_count", "radial_basis_size", "radial_funcs_count"})
            if (count(key) < 1) fail_at(key, std::string(key) + " = 0 must be at least 1");
        const PotentialData& data = result_.data;
        if (!(0 <= data.min_dist && data.min_dist < data.max_dist))
            fail_at("max_dist", "min_dist must lie between 0 and max_dist");
        check_length("alpha_index_basic", data.alpha_index_basic.size(), "alpha_index_basic_count");
        check_length("alpha_index_times", data.alpha_index_times.size(), "alpha_index_times_count");
        check_length("alpha_moment_mapping", data.alpha_moment_mapping.size(),
                     "alpha_scalar_moments");
        check_length("species_coeffs", data.species_coeffs.size(), "species_count");
        check_moments();
        check_indices();
        result_.data.species_count = count("species_count");
        result_.data.radial_funcs_count = count("radial_funcs_count");
        result_.data.radial_basis_size = count("radial_basis_size");
        result_.data.alpha_moments_count = count("alpha_moments_count");
    }

    void require_given(const std::string& key) const {
        if (!given(key)) file_.fail(key + " is missing; the file ends too early or is damaged");
    }
    [[noreturn]] void fail_at(std::string_view key, const std::string& what) const {
        file_.fail(what, line_of_.find(key)->second);
    }
    void check_length(const std::string& key, size_t found, const std::string& source) const {
        if (static_cast<int64_t>(found) != count(source))
            fail_at(key, key + " has " + std::to_string(found) + " entries, but " + source + " = " +
                             std::to_string(count(source)));
    }

    void check_moments() {
        if (!given(own_moments)) {
            check_length("moment_coeffs", result_.data.moment_coeffs.size(),
                         "alpha_scalar_moments");
            return;
        }
        const int64_t wanted =
            static_cast<int64_t>(count("species_count")) * count("alpha_scalar_moments");
        if (static_cast<int64_t>(own_moments_.size()) != wanted)
            fail_at(own_moments, std::string(own_moments) + " has " +
                                     std::to_string(own_moments_.size()) +
                                     " entries, but species_count * alpha_scalar_moments = " +
                                     std::to_string(wanted));
        result_.data.moment_coeffs = std::move(own_moments_);
    }

    /// Counts and indices of the contraction schedule must fit each other.
    void check_indices() const {
        const PotentialData& data = result_.data;
        const int64_t basic = data.alpha_index_basic.size(), times = data.alpha_index_times.size();
        const int moments = count("alpha_moments_count"), K = count("radial_funcs_count");
        if (basic > moments || moments > basic + times)
            fail_at("alpha_moments_count", "alpha_moments_count = " + std::to_string(moments) +
                                               " does not fit " + std::to_string(basic) +
                                               " basic moments and " + std::to_string(times) +
                                               " products");
        const auto outside = [](int index, int bound) { return index < 0 || index >= bound; };
        const auto lost = [](const char* key, const char* what) {
            return std::string(key) + " names a " + what + " that is not among those of the file";
        };
        for (const auto& [mu, a, b, c] : data.alpha_index_basic) {
            if (outside(mu, K))
                fail_at("alpha_index_basic", lost("alpha_index_basic", "radial function"));
            if (outside(a, 101) || outside(b, 101) || outside(c, 101))
                fail_at("alpha_index_basic",
                        "alpha_index_basic contains an exponent below 0 or above 100");
        }
        for (const auto& [i, j, m, k] : data.alpha_index_times)
            if (outside(i, moments) || outside(j, moments) || outside(k, moments))
                fail_at("alpha_index_times", lost("alpha_index_times", "moment"));
        for (int k : data.alpha_moment_mapping)
            if (outside(k, moments))
                fail_at("alpha_moment_mapping", lost("alpha_moment_mapping", "moment"));
    }

    /// Labels are the types 0, 1, … or, in order of appearance, anything else: atomic numbers name
    /// the elements.
    void assemble_radial_coeffs() {
        const size_t C = result_.data.species_count;
        std::vector<int> labels;
        for (int z = 0; z < result_.data.species_count; ++z) labels.push_back(z);
        for (const auto& [pair, unused] : pairs_)
            if (std::max(pair.first, pair.second) >= result_.data.species_count)
                labels = first_labels_;
        size_t complete = 0;
        for (int a : labels)
            for (int b : labels)
                if (const auto found = pairs_.find({a, b}); found != pairs_.end()) {
                    const auto& coeffs = found->second;
                    result_.data.radial_coeffs.insert(result_.data.radial_coeffs.end(),
                                                      coeffs.begin(), coeffs.end());
                    ++complete;
                }
        if (labels.size() != C || complete != C * C || pairs_.size() != C * C)
            fail_at("radial_coeffs", "radial_coeffs has " + std::to_string(pairs_.size()) +
                                         " complete pairs of species, but species_count = " +
                                         std::to_string(C) + " needs " + std::to_string(C * C));
        const int highest = *std::max_element(labels.begin(), labels.end());
        if (highest > result_.data.species_count && highest < chemical_symbols_count)
            for (int label : labels) result_.elements.push_back(chemical_symbols[label]);
    }

    /// What potential_tag says, "elements=Ag,Pd", comes before the labels of pairs.
    void name_elements() {
        std::istringstream words(tag_);
        std::string word;
        const std::string mark = "elements=";
        while (words >> word && word.compare(0, mark.size(), mark) != 0) {
        }
        if (word.compare(0, mark.size(), mark) != 0) return;
        result_.elements.clear();
        const std::string names = word.substr(mark.size());
        for (size_t start = 0, comma = 0; comma != std::string::npos; start = comma + 1) {
            comma = names.find(',', start);
            result_.elements.push_back(names.substr(start, comma - start));
        }
        const auto& elements = result_.elements;
        const bool valid =
            std::all_of(elements.begin(), elements.end(), is_chemical_symbol) &&
            std::set<std::string>(elements.begin(), elements.end()).size() == elements.size();
        const int species = result_.data.species_count;
        if (!valid || static_cast<int64_t>(elements.size()) > species)
            fail_at("potential_tag", "potential_tag must name at most " + std::to_string(species) +
                                         " different chemical symbols, not " + shown(names));
    }

    /// The core of RBChebyshev_zbl: a radius for each pair of species, and their elements.
    void check_core() {
        PotentialData& data = result_.data;
        const int C = data.species_count;
        if (data.radial_basis_type != RadialBasis::RBChebyshev_zbl) {
            if (given("core_radii"))
                fail_at("core_radii", "core_radii needs radial_basis_type = RBChebyshev_zbl");
            return;
        }
        require_given("core_radii");
        if (data.core_radii.size() != static_cast<size_t>(C) * C)
            fail_at("core_radii", "core_radii has " + std::to_string(data.core_radii.size()) +
                                      " entries, but species_count = " + std::to_string(C) +
                                      " needs " + std::to_string(C * C));
        for (int i = 0; i < C; ++i)
            for (int j = 0; j < C; ++j) {
                const double radius = data.core_radii[i * C + j];
                if (radius < 0 || radius > data.max_dist || radius != data.core_radii[j * C + i])
                    fail_at("core_radii",
                            "core_radii must be symmetric and lie between 0 and max_dist");
            }
        if (static_cast<int>(result_.elements.size()) != C)
            fail_at("radial_basis_type",
                    "RBChebyshev_zbl needs the element of each species; name them in "
                    "potential_tag as elements=Ag,Pd");
        for (const std::string& name : result_.elements)
            data.atomic_numbers.push_back(atomic_number(name));
    }

    /// The weights, "#", the binary A and A^-T, "\n#\n", and m lines of indices. The structures
    /// that follow are not read.
    void active_set() {
        const size_t m = result_.data.radial_coeffs.size() + result_.data.species_coeffs.size() +
                         result_.data.moment_coeffs.size();
        file_.move_to(mark_ + 1);
        file_.rest_of_line();
        result_.per_structure = weights() == 0;
        const size_t start = file_.position(), bytes = sizeof(double) * m * m;
        const std::string_view text = file_.text();
        if (text.size() < start + 2 * bytes || text.substr(start + 2 * bytes, 3) != "\n#\n") {
            file_.move_to(start + 2 * bytes);
            const std::string size = std::to_string(m);
            file_.fail("the matrices of the active set are not " + size + " x " + size +
                       "; the file ends too early or its active set belongs to another potential");
        }
        std::vector<double> matrix(m * m);
        for (int which : {0, 1}) {
            std::memcpy(matrix.data(), text.data() + start + which * bytes, bytes);
            if (!std::all_of(matrix.begin(), matrix.end(),
                             [](double x) { return std::isfinite(x); }))
                file_.fail("the matrices of the active set contain values that are not finite");
        }
        result_.inverse.resize(m * m);
        constexpr size_t block = 16;  // rows whose cache lines are written together
        for (size_t first = 0; first < m; first += block)
            for (size_t j = 0; j < m; ++j)
                for (size_t i = first; i < std::min(first + block, m); ++i)
                    result_.inverse[i * m + j] = matrix[j * m + i];
        file_.move_to(start + 2 * bytes + 3);
        selected(m);
        result_.has_active_set = true;
    }

    /// The weights before the matrices; returns site_en_weight.
    double weights() {
        double site_en_weight = 0, value = 0;
        for (const std::string name : {"energy_weight", "force_weight", "stress_weight",
                                       "site_en_weight", "weight_scaling"}) {
            const bool next_line = file_.take('\n');
            const auto words = file_.rest_of_line();
            if (!next_line || words.substr(0, name.size()) != name ||
                !parse(stripped(words.substr(name.size())), value))
                file_.fail("expected '" + name + "' and its value");
            if (!std::isfinite(value)) file_.fail("a weight of the active set is not finite");
            if (name == "site_en_weight") site_en_weight = value;
        }
        if (!file_.take('\n') || !file_.take('#'))
            file_.fail("expected '#' before the matrix of the active set");
        return site_en_weight;
    }

    /// The list of m lines "cfg_index eqn_index" must be complete; -1 -1 stands for no row.
    void selected(size_t m) {
        for (size_t row = 0; row < m; ++row) {
            const auto words = file_.rest_of_line();
            const auto gap = std::find_if(words.begin(), words.end(), is_space) - words.begin();
            int64_t cfg = 0, eqn = 0;
            if (!parse(words.substr(0, gap), cfg) || !parse(stripped(words.substr(gap)), eqn) ||
                !file_.take('\n') || cfg < -1 || eqn < -1 || (cfg < 0) != (eqn < 0))
                file_.fail("expected 'cfg_index eqn_index' of row " + std::to_string(row) + " of " +
                           std::to_string(m) + " of the active set");
        }
        if (!file_.take('#')) file_.fail("expected '#' after the list of active rows");
    }
};

/// The potential in an .mtp or .almtp file.
///
/// Throws std::runtime_error with one sentence, "path:line: what is wrong", where the file does not
/// exist, is damaged or ends too early, or holds a potential that is not trained.
inline PotentialFile read_potential_file(const std::string& path) {
    return PotentialReader(path).read();
}

}  // namespace mentor
