// Keys and values of one head as the kernels take them; see PackedKeys in click_kernel.hpp.
#pragma once

#include <cstdint>

#include "click_kernel.hpp"

namespace inter2former {

// Packs a key, rotated by cosines and sines (dim / 2 each), and a value as number `i`; zeros where
// `key` is null. `padded_dim` and `padded` are multiples of 2 W and of `key_block`; `rotated` is room
// for `padded_dim` floats.
void pack_key(const ClickKernel& kernel, int64_t i, const float* key, const float* value,
              const float* cos, const float* sin, int64_t dim, int64_t padded_dim, int64_t padded,
              float* rotated, float* keys, float* values);

}  // namespace inter2former
