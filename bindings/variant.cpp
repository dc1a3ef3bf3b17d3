// One instruction set's kernel; CMake compiles this file once for each, with MENTOR_ARCH its name.
#include "mentor/variant.hpp"

#define MENTOR_TEXT_(x) #x
#define MENTOR_TEXT(x) MENTOR_TEXT_(x)
#define MENTOR_JOIN_(a, b) a##b
#define MENTOR_JOIN(a, b) MENTOR_JOIN_(a, b)

namespace mentor {

extern const Variant MENTOR_JOIN(variant_, MENTOR_ARCH);
const Variant MENTOR_JOIN(variant_, MENTOR_ARCH) = {MENTOR_TEXT(MENTOR_ARCH), MENTOR_ARCH::lanes,
                                                    MENTOR_ARCH::evaluate, MENTOR_ARCH::jacobian};

}  // namespace mentor
