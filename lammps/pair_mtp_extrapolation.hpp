// pair_style mtp/extrapolation: the same with extrapolation grades.
#pragma once

#include "pair_mtp.hpp"

namespace mentor::lammps {

class PairMTPExtrapolation : public PairMTP {
  public:
    explicit PairMTPExtrapolation(LAMMPS_NS::LAMMPS* lmp);
    ~PairMTPExtrapolation() override;

    void init_style() override;
    void compute(int eflag, int vflag) override;
    void* extract(const char* name, int& dimension) override;
    void* extract_peratom(const char* name, int& columns) override;
    double memory_usage() override;

  protected:
    void reset_settings() override;
    int setting(int count, char** words) override;
    bool needs_grades() const override { return true; }

  private:
    double select_ = 0.0, break_ = 0.0;  // grades; 0: never
    int every_ = 10;                     // steps between two looks at the grades
    std::string frames_;                 // file for frames above select_
    int wanted_ = 0;                     // fix pair sets it on the steps it wants grades
    std::vector<double> grades_;         // [atom]
    double max_grade_ = 0.0;             // of all processes, when last computed
    double written_grade_ = 0.0;
    LAMMPS_NS::bigint written_step_ = -1;

    double threshold(const char* name, const char* value) const;
    void check_frames_file() const;
    void compute_grades();
    void act();
    void write_frame();
};

}  // namespace mentor::lammps
