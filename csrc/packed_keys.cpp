#include "packed_keys.hpp"

#include <algorithm>

namespace inter2former {

void pack_key(const ClickKernel& kernel, int64_t i, const float* key, const float* value,
              const float* cos, const float* sin, int64_t dim, int64_t padded_dim, int64_t padded,
              float* rotated, float* keys, float* values) {
    const int64_t lanes = 2 * static_cast<int64_t>(kernel.vector_width), half = dim / 2;
    if (key == nullptr) {
        std::fill_n(rotated, dim, 0.0f);
    } else {
        for (int64_t k = 0; k < half; ++k) {
            rotated[k] = key[k] * cos[k] - key[k + half] * sin[k];
            rotated[k + half] = key[k + half] * cos[k] + key[k] * sin[k];
        }
    }
    std::fill(rotated + dim, rotated + padded_dim, 0.0f);
    float* to = keys + i / lanes * lanes * padded_dim + i % lanes;
    for (int64_t k = 0; k < padded_dim; ++k) to[k * lanes] = rotated[k];
    for (int64_t panel = 0; panel < padded_dim; panel += lanes) {
        float* v = values + panel * padded + i * lanes;
        const int64_t filled =
            key == nullptr ? 0 : std::max<int64_t>(std::min(lanes, dim - panel), 0);
        std::copy_n(value + panel, filled, v);
        std::fill(v + filled, v + lanes, 0.0f);
    }
}

}  // namespace inter2former
