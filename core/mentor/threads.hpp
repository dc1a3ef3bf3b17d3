// How many threads there are to be.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace mentor {

/// `asked` if that is positive, else OMP_NUM_THREADS, else the processors this process may use.
inline int thread_count(int asked) {
    if (asked > 0) return asked;
    const char* variable = std::getenv("OMP_NUM_THREADS");
    if (variable && std::atoi(variable) > 0) return std::atoi(variable);
#ifdef __linux__
    cpu_set_t processors;
    if (sched_getaffinity(0, sizeof processors, &processors) == 0) return CPU_COUNT(&processors);
#endif
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace mentor
