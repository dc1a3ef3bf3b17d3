#include "pair_mtp_extrapolation.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "frame.hpp"
#include "update.h"

using namespace LAMMPS_NS;

namespace mentor::lammps {

namespace {

bool ends_with(const std::string& text, const std::string& end) {
    return text.size() >= end.size() &&
           text.compare(text.size() - end.size(), end.size(), end) == 0;
}

std::string shown(double x) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", x);
    return text;
}

}  // namespace

PairMTPExtrapolation::PairMTPExtrapolation(LAMMPS* lmp) : PairMTP(lmp) {
    name_ = "mtp/extrapolation";
    nextra = 1;  // compute pair adds up the values of all processes
    pvector = new double[1]{0.0};
}

PairMTPExtrapolation::~PairMTPExtrapolation() {
    delete[] pvector;
}

void PairMTPExtrapolation::reset_settings() {
    PairMTP::reset_settings();
    select_ = break_ = 0.0;
    every_ = 10;
    frames_.clear();
}

int PairMTPExtrapolation::setting(int count, char** words) {
    const std::string name = words[0];
    if (name == "select") {
        if (count < 3) return 3;
        select_ = threshold("select", words[1]);
        frames_ = words[2];
        check_frames_file();
        return 3;
    }
    if (name == "break") {
        if (count >= 2) break_ = threshold("break", words[1]);
        return 2;
    }
    if (name == "every") {
        if (count < 2) return 2;
        every_ = utils::inumeric(FLERR, std::string(words[1]), false, lmp);
        if (every_ < 1) fail("every " + std::string(words[1]) + " must be a number of steps");
        return 2;
    }
    return PairMTP::setting(count, words);
}

double PairMTPExtrapolation::threshold(const char* name, const char* value) const {
    const double grade = utils::numeric(FLERR, std::string(value), false, lmp);
    if (!(grade > 0)) fail(std::string(name) + " " + value + " must be a grade above 0");
    return grade;
}

void PairMTPExtrapolation::check_frames_file() const {
    if (!ends_with(frames_, ".xyz") && !ends_with(frames_, ".extxyz"))
        fail(frames_ + ": frames are written as extended XYZ; let the name end in .xyz");
    std::string problem;
    if (comm->me == 0) {
        const bool existed = platform::file_is_readable(frames_);
        if (std::FILE* file = std::fopen(frames_.c_str(), "a"))
            std::fclose(file);
        else
            problem = frames_ + ": cannot be written (" + std::strerror(errno) + ")";
        if (problem.empty() && !existed) std::remove(frames_.c_str());
    }
    fail_if_any(problem);
}

void PairMTPExtrapolation::init_style() {
    PairMTP::init_style();
    if (select_ > 0 && !atom->tag_enable)
        fail("writing frames needs atom IDs; remove 'atom_modify id no'");
}

void PairMTPExtrapolation::compute(int eflag, int vflag) {
    ev_init(eflag, vflag);
    const bool watched = (select_ > 0 || break_ > 0) && update->ntimestep % every_ == 0;
    if (!watched && !wanted_) {
        evaluate(nullptr, nullptr);
        return;
    }
    compute_grades();
    if (watched) act();
}

/// Grades of the atoms and the largest of all, which is infinite where something is not finite.
void PairMTPExtrapolation::compute_grades() {
    grades_.assign(std::max(1, atom->nlocal + atom->nghost), 0.0);
    if (potential_->per_structure()) {
        std::vector<double> own(potential_->parameters(), 0.0), row(own.size());
        evaluate(nullptr, own.data());
        MPI_Allreduce(own.data(), row.data(), static_cast<int>(row.size()), MPI_DOUBLE, MPI_SUM,
                      world);
        std::fill(grades_.begin(), grades_.end(), potential_->grade(row.data()));
    } else {
        evaluate(grades_.data(), nullptr);
    }
    double own = 0.0;
    for (int i = 0; i < atom->nlocal; ++i)
        own =
            std::max(own, std::isfinite(grades_[i] + atom->x[i][0] + atom->x[i][1] + atom->x[i][2])
                              ? grades_[i]
                              : std::numeric_limits<double>::infinity());
    MPI_Allreduce(&own, &max_grade_, 1, MPI_DOUBLE, MPI_MAX, world);
    pvector[0] = comm->me == 0 ? max_grade_ : 0.0;
}

void PairMTPExtrapolation::act() {
    const bool again =  // a continued run computes the last step of the one before once more
        update->ntimestep == written_step_ && std::abs(max_grade_ / written_grade_ - 1.0) < 1e-6;
    if (select_ > 0 && max_grade_ > select_ && !again) write_frame();
    if (break_ > 0 && !(max_grade_ <= break_))
        fail("the extrapolation grade " + shown(max_grade_) + " at step " +
             std::to_string(update->ntimestep) + " is above 'break " + shown(break_) +
             "'; label such structures and train the potential again");
}

void PairMTPExtrapolation::write_frame() {
    const int size = frame_columns * atom->nlocal;
    std::vector<double> own;
    own.reserve(size);
    for (int i = 0; i < atom->nlocal; ++i)
        own.insert(own.end(),
                   {static_cast<double>(atom->tag[i]), static_cast<double>(atom->type[i]),
                    atom->x[i][0], atom->x[i][1], atom->x[i][2], grades_[i]});
    std::vector<int> sizes(comm->nprocs), starts(comm->nprocs + 1, 0);
    MPI_Gather(&size, 1, MPI_INT, sizes.data(), 1, MPI_INT, 0, world);
    for (int p = 0; p < comm->nprocs; ++p) starts[p + 1] = starts[p] + sizes[p];
    Frame frame{update->ntimestep,
                max_grade_,
                {{domain->xprd, 0, 0},
                 {domain->xy, domain->yprd, 0},
                 {domain->xz, domain->yz, domain->zprd}},
                {domain->xperiodic != 0, domain->yperiodic != 0, domain->zperiodic != 0},
                elements_,
                {}};
    std::string problem;
    if (comm->me == 0) frame.atoms.resize(starts.back());
    MPI_Gatherv(own.data(), size, MPI_DOUBLE, frame.atoms.data(), sizes.data(), starts.data(),
                MPI_DOUBLE, 0, world);
    if (comm->me == 0) problem = append(frame, frames_);
    fail_if_any(problem);
    written_step_ = update->ntimestep;
    written_grade_ = max_grade_;
}

void* PairMTPExtrapolation::extract(const char* name, int& dimension) {
    dimension = 0;
    if (std::strcmp(name, "gamma_flag") == 0) return &wanted_;
    if (std::strcmp(name, "max_grade") == 0) return &max_grade_;
    return nullptr;
}

void* PairMTPExtrapolation::extract_peratom(const char* name, int& columns) {
    columns = 0;
    if (std::strcmp(name, "gamma") != 0) return nullptr;
    if (static_cast<int>(grades_.size()) < std::max(1, atom->nlocal))
        grades_.resize(std::max(1, atom->nlocal), 0.0);
    return grades_.data();
}

double PairMTPExtrapolation::memory_usage() {
    return PairMTP::memory_usage() + sizeof(double) * grades_.capacity();
}

}  // namespace mentor::lammps
