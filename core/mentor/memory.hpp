// Arrays that are not cleared when they are made.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace mentor {

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};
template <class T>
using Storage = std::unique_ptr<T[], Free>;

/// Memory for `size` values. Large arrays get large pages where Linux has them: such memory is
/// filled several times faster for the first time.
template <class T>
Storage<T> allocate(size_t size) {
    const size_t bytes = size * sizeof(T) + 1;
    void* memory = nullptr;
#ifdef MADV_HUGEPAGE
    constexpr size_t page = size_t{1} << 21;
    if (bytes >= 2 * page) {
        const size_t whole = (bytes + page - 1) / page * page;
        memory = std::aligned_alloc(page, whole);
        if (memory) madvise(memory, whole, MADV_HUGEPAGE);
    }
#endif
    if (!memory) memory = std::malloc(bytes);
    if (!memory) throw std::bad_alloc();
    return Storage<T>(static_cast<T*>(memory));
}

/// Memory that grows and keeps what it holds.
template <class T>
class Growing {
  public:
    /// Room for `more` values after the first `size`.
    T* room(size_t size, size_t more) {
        if (size + more > capacity_) {
            const size_t capacity = size + more + capacity_;
            Storage<T> larger = allocate<T>(capacity);
            if (size) std::memcpy(larger.get(), data_.get(), size * sizeof(T));
            data_ = std::move(larger);
            capacity_ = capacity;
        }
        return data_.get() + size;
    }
    const T* data() const { return data_.get(); }

  private:
    Storage<T> data_;
    size_t capacity_ = 0;
};

}  // namespace mentor
