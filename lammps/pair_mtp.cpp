#include "pair_mtp.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

using namespace LAMMPS_NS;

namespace mentor::lammps {

namespace {

constexpr int voigt[6] = {0, 1, 2, 5, 4, 3};  // LAMMPS has xx yy zz xy xz yz
// LAMMPS' order of the nine components xx yy zz xy xz yz yx zx zy, counted row by row
constexpr int centroid[9] = {0, 4, 8, 1, 2, 5, 3, 6, 7};

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
    return text;
}

/// Says that compute_atomic_energy exists, where LAMMPS asks.
template <class Style>
auto offer_atomic_energy(Style& style, int) -> decltype(style.atomic_energy_enable) {
    return style.atomic_energy_enable = 1;
}
template <class Style>
int offer_atomic_energy(Style&, long) {
    return 0;
}

}  // namespace

PairMTP::PairMTP(LAMMPS* lmp) : Pair(lmp) {
    single_enable = 0;
    restartinfo = 0;
    one_coeff = 1;
    manybody_flag = 1;
    no_virial_fdotr_compute = 1;  // the kernel's virial needs no sum over ghosts
    centroidstressflag = CENTROID_AVAIL;
    offer_atomic_energy<Pair>(*this, 0);
}

PairMTP::~PairMTP() {
    if (copymode || !allocated) return;
    memory->destroy(setflag);
    memory->destroy(cutsq);
}

void PairMTP::fail(const std::string& sentence) const {
    error->all(FLERR, "pair_style " + name_ + ": " + sentence);
}

void PairMTP::fail_if_any(const std::string& sentence) const {
    int mine = sentence.empty() ? comm->nprocs : comm->me, first = 0;
    MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, world);
    if (first == comm->nprocs) return;
    std::string text = sentence;
    int size = static_cast<int>(text.size());
    MPI_Bcast(&size, 1, MPI_INT, first, world);
    text.resize(size);
    MPI_Bcast(text.data(), size, MPI_CHAR, first, world);
    fail(text);
}

void PairMTP::reset_settings() {
    mixed_ = false;
}

void PairMTP::settings(int count, char** words) {
    reset_settings();
    for (int i = 0; i < count;) {
        const int used = setting(count - i, words + i);
        if (used == 0) fail("'" + std::string(words[i]) + "' is not one of its settings");
        if (used > count - i) fail("the setting '" + std::string(words[i]) + "' lacks its value");
        i += used;
    }
}

int PairMTP::setting(int count, char** words) {
    if (std::strcmp(words[0], "precision") != 0) return 0;
    if (count < 2) return 2;
    const std::string value = words[1];
    if (value != "double" && value != "mixed")
        fail("precision '" + value + "' is not double or mixed");
    mixed_ = value == "mixed";
    return 2;
}

void PairMTP::coeff(int count, char** words) {
    const int types = atom->ntypes;
    if (count < 3 || std::strcmp(words[0], "*") != 0 || std::strcmp(words[1], "*") != 0)
        fail("use 'pair_coeff * * FILE ELEMENT ...' with one element, or NULL, for each atom type");
    if (count != 3 + types)
        fail("pair_coeff names " + std::to_string(count - 3) + " elements for " +
             std::to_string(types) + " atom types; give one, or NULL, for each type");
    const std::string found = utils::get_potential_file_path(words[2]);
    const std::string path = found.empty() ? words[2] : found;
    elements_.assign(words + 3, words + count);
    std::string problem;
    try {
        potential_ = std::make_unique<const LoadedPotential>(path.c_str(), needs_grades());
        if (needs_grades() && !potential_->has_grades())
            problem = path + ": has no active set, so there are no grades; use the .almtp file, " +
                      "or pair_style mtp";
    } catch (const std::bad_alloc&) {
        problem = path + ": is too large for the memory of this machine";
    } catch (const std::exception& failure) {
        problem = failure.what();
    }
    fail_if_any(problem);
    map_types(path);
    if (comm->me == 0)
        utils::logmesg(lmp, name_ + ": " + path + " with " + std::to_string(potential_->scalars()) +
                                " basis functions for " + joined(elements_) + "\n");
}

void PairMTP::map_types(const std::string& path) {
    std::vector<std::string> names;
    const bool named = potential_->element(0) != nullptr;
    if (named)
        for (int t = 0; t < potential_->species(); ++t) names.push_back(potential_->element(t));
    else
        for (const auto& element : elements_)
            if (element != "NULL" && std::find(names.begin(), names.end(), element) == names.end())
                names.push_back(element);
    if (static_cast<int>(names.size()) > potential_->species())
        fail(path + " has " + std::to_string(potential_->species()) +
             " species, but pair_coeff names " + std::to_string(names.size()) + " elements");
    if (!named && comm->me == 0)
        error->warning(FLERR, "pair_style " + name_ + ": " + path +
                                  " does not name its elements; its types are taken to be " +
                                  joined(names) + ", in this order");
    const int types = atom->ntypes;
    type_of_.assign(types + 1, -1);
    for (int t = 1; t <= types; ++t) {
        const std::string& element = elements_[t - 1];
        if (element == "NULL" && force->pair == this)
            fail("NULL for atom type " + std::to_string(t) +
                 " needs pair_style hybrid or hybrid/overlay");
        if (element == "NULL") continue;
        const auto found = std::find(names.begin(), names.end(), element);
        if (found == names.end())
            fail(path + " is for " + joined(names) + ", not for " + element +
                 "; name one of its elements, or NULL, for atom type " + std::to_string(t));
        type_of_[t] = static_cast<int32_t>(found - names.begin());
    }
    if (!allocated) allocate();
    for (int i = 1; i <= types; ++i)
        for (int j = i; j <= types; ++j) setflag[i][j] = type_of_[i] >= 0 && type_of_[j] >= 0;
}

void PairMTP::allocate() {
    const int n = atom->ntypes + 1;
    memory->create(setflag, n, n, "pair:setflag");
    memory->create(cutsq, n, n, "pair:cutsq");
    for (int i = 0; i < n; ++i) std::fill_n(setflag[i], n, 0);
    allocated = 1;
}

void PairMTP::init_style() {
    if (!force->newton_pair) fail("newton must be on for pairs; remove 'newton off'");
    if (std::strcmp(update->unit_style, "metal") != 0)
        fail("units are Å and eV; use 'units metal' instead of 'units " +
             std::string(update->unit_style) + "'");
    if (atom->nbonds > 0 && comm->me == 0)
        for (int n = 1; n <= 3; ++n)
            if (force->special_lj[n] == 0 && force->special_coul[n] == 0) {
                error->warning(FLERR, "pair_style " + name_ +
                                          ": bonded atoms are left out of the neighbours; " +
                                          "use 'special_bonds lj 1 1 1' if they are of its types");
                break;
            }
    neighbor->add_request(this, NeighConst::REQ_FULL);
}

double PairMTP::init_one(int, int) {
    return potential_->cutoff();
}

void PairMTP::compute(int eflag, int vflag) {
    ev_init(eflag, vflag);
    evaluate(nullptr, nullptr);
}

void PairMTP::evaluate(double* grades, double* row_sums) {
    if (list->inum == 0) return;
    const int all = atom->nlocal + atom->nghost;
    types_.resize(all);
    for (int i = 0; i < all; ++i) types_[i] = type_of_[atom->type[i]];
    double sums[6] = {0, 0, 0, 0, 0, 0};
    Results results;
    results.forces = atom->f[0];
    results.grades = grades;
    results.row_sums = row_sums;
    if (eflag_global) results.energy = &eng_vdwl;
    if (eflag_atom) results.site_energies = eatom;
    if (vflag_global) results.virial = sums;
    if (vflag_atom || cvflag_atom) {
        site_virials_.assign(9 * static_cast<size_t>(all), 0.0);
        results.site_virials = site_virials_.data();
    }
    const Atoms atoms{list->inum,    list->ilist, list->numneigh, list->firstneigh, atom->x[0],
                      types_.data(), all};
    try {
        sweep_(*potential_, mixed_, atoms, results, comm->nthreads);
    } catch (const std::bad_alloc&) {
        error->one(FLERR, std::string("pair_style mtp: out of memory; use more processes"));
    }
    if (vflag_global)
        for (int v = 0; v < 6; ++v) virial[v] += sums[voigt[v]];
    if (results.site_virials) add_site_virials();
}

void PairMTP::add_site_virials() {
    const int all = atom->nlocal + atom->nghost;
    for (int i = 0; i < all; ++i) {
        const double* W = site_virials_.data() + 9 * static_cast<size_t>(i);
        if (cvflag_atom)
            for (int v = 0; v < 9; ++v) cvatom[i][v] += W[centroid[v]];
        if (vflag_atom) {
            for (int v = 0; v < 3; ++v) vatom[i][v] += W[4 * v];
            vatom[i][3] += 0.5 * (W[1] + W[3]);
            vatom[i][4] += 0.5 * (W[2] + W[6]);
            vatom[i][5] += 0.5 * (W[5] + W[7]);
        }
    }
}

double PairMTP::compute_atomic_energy(int i, NeighList* neighbours) {
    const int count = neighbours->numneigh[i];
    std::vector<int32_t> types(count + 1);
    std::vector<double> positions(3 * (count + 1));
    std::vector<int> list(count);
    for (int n = 0; n <= count; ++n) {
        const int j = n == 0 ? i : neighbours->firstneigh[i][n - 1] & NEIGHMASK;
        types[n] = type_of_[atom->type[j]];
        std::copy_n(atom->x[j], 3, &positions[3 * n]);
        if (n > 0) list[n - 1] = n;
    }
    const int center = 0;
    int* const lists[1] = {list.data()};
    double energy = 0.0;
    Results results;
    results.energy = &energy;
    sweep_(*potential_, mixed_,
           {1, &center, &count, lists, positions.data(), types.data(), count + 1}, results, 1);
    return energy;
}

double PairMTP::memory_usage() {
    return Pair::memory_usage() + sweep_.bytes() + sizeof(double) * site_virials_.capacity() +
           sizeof(int32_t) * types_.capacity();
}

}  // namespace mentor::lammps
