// The instruction set this translation unit is compiled for.
//
// The kernel headers are compiled once per instruction set, each time inside its own namespace, so
// that no function of one variant can be linked into another; dispatch.hpp chooses at run time.
#pragma once

#ifndef MENTOR_ARCH
#define MENTOR_ARCH native
#endif

namespace mentor::MENTOR_ARCH {

#if defined(__AVX512F__)
constexpr int lanes = 8;
#elif defined(__AVX__)
constexpr int lanes = 4;
#else
constexpr int lanes = 2;
#endif

/// One SIMD register of doubles. Arithmetic with scalars broadcasts them.
typedef double vec __attribute__((vector_size(lanes * sizeof(double))));

inline vec broadcast(double x) {
    return x - vec{};
}

inline double sum(const vec& x) {
    double total = 0;
    for (int l = 0; l < lanes; ++l) total += x[l];
    return total;
}

}  // namespace mentor::MENTOR_ARCH
