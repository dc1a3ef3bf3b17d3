// pair_style mtp: a Moment Tensor Potential.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pair.h"
#include "sweep.hpp"

namespace mentor::lammps {

class PairMTP : public LAMMPS_NS::Pair {
  public:
    explicit PairMTP(LAMMPS_NS::LAMMPS* lmp);
    ~PairMTP() override;

    void settings(int count, char** words) override;
    void coeff(int count, char** words) override;
    void init_style() override;
    double init_one(int, int) override;
    void compute(int eflag, int vflag) override;
    double memory_usage() override;
    /// Energy of one atom; overrides where LAMMPS is new enough to ask for it.
    virtual double compute_atomic_energy(int i, LAMMPS_NS::NeighList* neighbours);

  protected:
    std::string name_ = "mtp";
    std::unique_ptr<const LoadedPotential> potential_;
    std::vector<std::string> elements_;  // of LAMMPS' types 1, 2, ...; "NULL" where not ours

    virtual void reset_settings();
    /// Number of words of the setting at words[0]; 0: no such setting.
    virtual int setting(int count, char** words);
    virtual bool needs_grades() const { return false; }
    /// Adds energies, forces and virials and, where not null, sets grades and adds row_sums.
    void evaluate(double* grades, double* row_sums);
    /// Ends LAMMPS with one sentence; all processes must call it.
    [[noreturn]] void fail(const std::string& sentence) const;
    /// Ends LAMMPS on all processes where one of them has something to complain about.
    void fail_if_any(const std::string& sentence) const;

  private:
    bool mixed_ = false;
    std::vector<int32_t> type_of_;  // [LAMMPS type], of the potential; -1: not ours
    std::vector<int32_t> types_;    // [atom]
    std::vector<double> site_virials_;
    Sweep sweep_;

    void allocate();
    void map_types(const std::string& path);
    void add_site_virials();
};

}  // namespace mentor::lammps
