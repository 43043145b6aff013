// Convolutions at chosen places, written once over a vector type.
// Included by one file per instruction set; see tile_multiply.hpp.
#pragma once

#include <cstdint>

#include "click_kernel.hpp"
#include "tile_multiply.hpp"

namespace {

template <class V>
int64_t convolve_scratch(int64_t channels) {
    return V::rows * 9 * rounded_up(channels, V::width);
}

template <class V>
void convolve(const inter2former::ConvolutionRows& job, float* scratch) {
    constexpr int width = V::width, rows = V::rows;
    const int64_t padded = rounded_up(job.channels, width);
    const V zero = V::broadcast(0.0f);
    for (int64_t i = 0; i < rows * 9 * padded; ++i) scratch[i] = 0.0f;
    for (int64_t start = 0; start < job.count; start += rows) {
        const int64_t left = job.count - start;
        const int64_t count = left < rows ? left : rows;
        for (int64_t i = 0; i < count; ++i) {
            const float* const* taps = job.taps + (start + i) * 9;
            for (int64_t tap = 0; tap < 9; ++tap) {
                load_row<V>(taps[tap], job.channels, scratch + tap * rows * padded + i * width,
                            tile_stride<V>);
            }
        }
        for (int64_t output = 0; output < job.outputs; output += 2 * width) {
            Sums<V> s;
            for (int row = 0; row < rows; ++row) {
                s[row][0] = V::load(job.bias + output);
                s[row][1] = V::load(job.bias + output + width);
            }
            multiply_onto<V>(scratch, job.weights + output * 9 * padded, 9 * padded / width, s);
            const int64_t rest = job.outputs - output;
            for (int64_t i = 0; i < count; ++i) {
                float part[2 * width];
                for (int v = 0; v < 2; ++v) {
                    const V y = job.rectify ? V::maximum(s[i][v], zero) : s[i][v];
                    y.store(part + v * width);
                }
                float* to = job.out[start + i] + output;
                for (int64_t k = 0; k < (rest < 2 * width ? rest : 2 * width); ++k) to[k] = part[k];
            }
        }
    }
}

}  // namespace
