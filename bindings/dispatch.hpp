// Which compiled kernel this processor runs.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "mentor/outputs.hpp"

namespace mentor {

extern const Variant variant_baseline;
#ifdef MENTOR_X86
extern const Variant variant_avx2;
extern const Variant variant_avx512;
#endif

/// The variants this processor can run, fastest first.
inline std::vector<const Variant*> variants() {
    std::vector<const Variant*> found;
#ifdef MENTOR_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("fma"))
        found.push_back(&variant_avx512);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        found.push_back(&variant_avx2);
#endif
    found.push_back(&variant_baseline);
    return found;
}

inline const Variant& variant_named(const std::string& name) {
    for (const Variant* each : variants())
        if (name.empty() || name == each->name) return *each;
    throw std::invalid_argument("this processor cannot run the kernel variant '" + name + "'");
}

}  // namespace mentor
