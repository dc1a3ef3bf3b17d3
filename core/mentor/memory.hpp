// Arrays that are not cleared when they are made.
#pragma once

#include <cstdlib>
#include <new>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace mentor {

/// An allocator that leaves numbers as they are found in memory. Large arrays get large pages where
/// Linux has them, which are filled several times faster for the first time.
template <class T>
struct Uncleared {
    using value_type = T;

    Uncleared() = default;
    template <class Other>
    Uncleared(const Uncleared<Other>&) {}

    T* allocate(size_t size) {
        constexpr size_t line = 64, large_page = size_t{1} << 21;
        const size_t bytes = size * sizeof(T);
        const size_t unit = bytes >= 2 * large_page ? large_page : line;
        const size_t whole = (bytes + unit - 1) / unit * unit;
        void* memory = std::aligned_alloc(unit, whole);
        if (!memory) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
        if (unit == large_page) madvise(memory, whole, MADV_HUGEPAGE);
#endif
        return static_cast<T*>(memory);
    }
    void deallocate(T* memory, size_t) { std::free(memory); }

    template <class Other>
    void construct(Other* place) {
        ::new (static_cast<void*>(place)) Other;
    }
    template <class Other>
    bool operator==(const Uncleared<Other>&) const {
        return true;
    }
    template <class Other>
    bool operator!=(const Uncleared<Other>&) const {
        return false;
    }
};

/// A vector of plain values that resize() leaves unset.
template <class T>
using Values = std::vector<T, Uncleared<T>>;

}  // namespace mentor
