#include "packing.hpp"

#include <algorithm>

namespace inter2former {

float* scratch(int64_t floats) {
    thread_local Floats memory;
    if (memory.size() < unsigned_size(floats)) memory.resize(unsigned_size(floats));
    return memory.data();
}

Floats padded_copy(const float* values, int64_t count, int64_t padded) {
    Floats copy(unsigned_size(padded), 0.0f);
    std::copy_n(values, count, copy.begin());
    return copy;
}

void pack_rows(const float* rows, int64_t count, int64_t length, float* panel, int64_t lanes) {
    for (int64_t row = 0; row < count; ++row) {
        for (int64_t k = 0; k < length; ++k) panel[k * lanes + row] = rows[row * length + k];
    }
}

void pack_panels(const float* rows, int64_t count, int64_t length, int64_t padded_length,
                 float* panels, int64_t lanes) {
    for (int64_t row = 0; row < count; row += lanes) {
        pack_rows(rows + row * length, std::min(lanes, count - row), length,
                  panels + row * padded_length, lanes);
    }
}

}  // namespace inter2former
