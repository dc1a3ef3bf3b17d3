// The same in mixed precision: MENTOR_REAL is float and MENTOR_ARCH ends in _mixed.
#include "mentor/all_atoms.hpp"
#include "names.hpp"

namespace mentor {

void MENTOR_JOIN(evaluate_, MENTOR_ARCH, )(const Model& model, const Neighbourhoods& nb,
                                           const Outputs& out, int threads) {
    MENTOR_ARCH::evaluate(model, nb, out, threads);
}

}  // namespace mentor
