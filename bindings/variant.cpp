// One instruction set's kernel; CMake compiles this file once for each, with MENTOR_ARCH its name.
#include "mentor/all_atoms.hpp"
#include "mentor/jacobian.hpp"
#include "mentor/neighbour_list.hpp"
#include "names.hpp"

namespace mentor {

void MENTOR_JOIN(evaluate_, MENTOR_ARCH, _mixed)(const Model&, const Neighbourhoods&,
                                                 const Outputs&, int threads);

extern const Variant MENTOR_JOIN(variant_, MENTOR_ARCH, );
const Variant MENTOR_JOIN(variant_, MENTOR_ARCH, ) = {MENTOR_TEXT(MENTOR_ARCH),
                                                      MENTOR_ARCH::evaluate,
                                                      MENTOR_JOIN(evaluate_, MENTOR_ARCH, _mixed),
                                                      MENTOR_ARCH::jacobian,
                                                      MENTOR_ARCH::weighted_rows,
                                                      MENTOR_ARCH::find_pairs};

}  // namespace mentor
