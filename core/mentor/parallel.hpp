// Work shared by OpenMP threads.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

#include <exception>

#include "arch.hpp"

namespace mentor::MENTOR_ARCH {

/// Calls work(thread, threads) on each of `threads` threads and passes on an exception.
template <class Work>
inline void in_parallel(int threads, Work work) {
    if (threads <= 1) {
        work(0, 1);
        return;
    }
#ifdef _OPENMP
    std::exception_ptr failure;
#pragma omp parallel num_threads(threads)
    {
        try {
            work(omp_get_thread_num(), omp_get_num_threads());
        } catch (...) {
#pragma omp critical
            failure = std::current_exception();
        }
    }
    if (failure) std::rethrow_exception(failure);
#else
    work(0, 1);
#endif
}

}  // namespace mentor::MENTOR_ARCH
