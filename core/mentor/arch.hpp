// The instruction set this translation unit is compiled for.
//
// The kernel headers are compiled once per instruction set, each time inside its own namespace, so
// that no function of one variant can be linked into another; dispatch.hpp chooses at run time.
#pragma once

#ifndef MENTOR_ARCH
#define MENTOR_ARCH native
#endif
#ifndef MENTOR_REAL
#define MENTOR_REAL double
#endif

namespace mentor::MENTOR_ARCH {

/// The type of a lane: double, or float for mixed precision (energies are still summed in double).
using real = MENTOR_REAL;

#if defined(__AVX512F__)
constexpr int register_bytes = 64;
#elif defined(__AVX__)
constexpr int register_bytes = 32;
#else
constexpr int register_bytes = 16;
#endif
constexpr int lanes = register_bytes / static_cast<int>(sizeof(real));

/// One SIMD register. Arithmetic with a scalar of type real broadcasts it.
typedef real vec __attribute__((vector_size(register_bytes)));
/// As many doubles as there are lanes.
typedef double wide __attribute__((vector_size(lanes * sizeof(double))));

inline vec broadcast(real x) {
    return x - vec{};
}
inline wide widen(const vec& x) {
    return __builtin_convertvector(x, wide);
}

}  // namespace mentor::MENTOR_ARCH
