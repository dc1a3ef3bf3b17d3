// A potential of a file, ready for evaluation, for programs that are compiled long after the
// kernel.
//
// It takes the compilers of users no time, and passes nothing but plain types, since the program
// may have been made with another C++ library.
#pragma once

#include <memory>

#include "mentor/neighbourhoods.hpp"
#include "mentor/results.hpp"

namespace mentor {

class LoadedPotential {
  public:
    /// Reads .mtp or .almtp. Throws std::exception with one sentence, "path:line: what, what to
    /// do".
    LoadedPotential(const char* path, bool with_grades);
    ~LoadedPotential();

    double cutoff() const;  // Å
    int species() const;
    int scalars() const;
    int parameters() const;
    /// Chemical symbol of a type, null where the file names none.
    const char* element(int type) const;
    /// Whether there are grades, and whether they are of structures instead of atoms.
    bool has_grades() const;
    bool per_structure() const;

    /// On this processor's best instruction set, in one thread; the active set needs not be given.
    void evaluate(const Neighbourhoods&, Outputs, bool mixed) const;
    /// Grade of one row dE/dtheta.
    double grade(const double* row) const;

  private:
    struct Content;
    std::unique_ptr<const Content> content_;
};

}  // namespace mentor
