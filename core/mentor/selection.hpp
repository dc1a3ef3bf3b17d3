// Which lanes of a register of floats fulfil a condition, as a list.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "arch.hpp"

namespace mentor::MENTOR_ARCH {

#ifdef __AVX2__
constexpr int float_lanes = 8;
#else
constexpr int float_lanes = 4;
#endif

/// One register of single precision, and what comparing two of them gives.
typedef float floats __attribute__((vector_size(float_lanes * 4)));
typedef int32_t flags __attribute__((vector_size(float_lanes * 4)));

inline floats load(const float* from) {
    floats values;
    std::memcpy(&values, from, sizeof values);
    return values;
}

/// Bit l is set where lane l is.
inline unsigned bits(const flags& set) {
#if defined(__AVX2__)
    return static_cast<unsigned>(_mm256_movemask_ps((__m256)set));
#elif defined(__SSE2__)
    return static_cast<unsigned>(_mm_movemask_ps((__m128)set));
#else
    unsigned found = 0;
    for (int l = 0; l < float_lanes; ++l) found |= (set[l] & 1u) << l;
    return found;
#endif
}

/// Writes first + l for every set bit l to `out`, which must have room for all lanes; returns how
/// many there are.
inline int write_selected(unsigned bits, int32_t first, int32_t* out) {
    struct Table {
        int32_t lanes[1 << float_lanes][float_lanes] = {};
        uint8_t count[1 << float_lanes] = {};
        constexpr Table() {
            for (int set = 0; set < 1 << float_lanes; ++set)
                for (int l = 0; l < float_lanes; ++l)
                    if (set >> l & 1) lanes[set][count[set]++] = l;
        }
    };
    static constexpr Table table;
    flags lanes;
    std::memcpy(&lanes, table.lanes[bits], sizeof lanes);
    const flags chosen = lanes + first;
    std::memcpy(out, &chosen, sizeof chosen);
    return table.count[bits];
}

}  // namespace mentor::MENTOR_ARCH
