// Memory for packed weights and for intermediate results.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

namespace inter2former {

// Memory from the beginning of a cache line: vectors that straddle two lines are read more slowly.
// (Aligned `new` is missing on older versions of macOS.)
template <class T>
struct LineAllocator {
    using value_type = T;
    static constexpr std::size_t line = 64;

    LineAllocator() = default;
    template <class U>
    LineAllocator(const LineAllocator<U>&) {}

    T* allocate(std::size_t count) {
        void* whole = std::malloc(count * sizeof(T) + line + sizeof(void*));
        if (whole == nullptr) throw std::bad_alloc();
        const auto after = reinterpret_cast<std::uintptr_t>(whole) + sizeof(void*) + line - 1;
        auto* first = reinterpret_cast<void**>(after / line * line);
        first[-1] = whole;
        return reinterpret_cast<T*>(first);
    }
    void deallocate(T* first, std::size_t) { std::free(reinterpret_cast<void**>(first)[-1]); }

    template <class U>
    bool operator==(const LineAllocator<U>&) const {
        return true;
    }
    template <class U>
    bool operator!=(const LineAllocator<U>&) const {
        return false;
    }
};

using Floats = std::vector<float, LineAllocator<float>>;

// Working memory of the calling thread, kept from call to call.
float* scratch(int64_t floats);

inline int64_t divided_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }
inline int64_t whole(int64_t n, int64_t unit) { return divided_up(n, unit) * unit; }
inline std::size_t unsigned_size(int64_t n) { return static_cast<std::size_t>(n); }

// A copy of `count` floats with zeros behind them.
Floats padded_copy(const float* values, int64_t count, int64_t padded);

// Packs `count` rows of `length` floats as lanes 0 to count - 1 of a panel with `lanes` lanes: the
// element k of row r goes to panel[k * lanes + r].
void pack_rows(const float* rows, int64_t count, int64_t length, float* panel, int64_t lanes);

// Packs any number of rows into panels of `lanes` rows, `padded_length` elements each.
void pack_panels(const float* rows, int64_t count, int64_t length, int64_t padded_length,
                 float* panels, int64_t lanes);

}  // namespace inter2former
