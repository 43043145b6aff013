// Linear layers, written once over a vector type.
// Included by one file per instruction set; see tile_multiply.hpp.
#pragma once

#include <cstdint>

#include "click_kernel.hpp"
#include "tile_multiply.hpp"

namespace {

template <class V>
int64_t linear_scratch(int64_t count, int64_t inputs) {
    const int64_t tiles = (count + V::rows - 1) / V::rows;
    return tiles * V::rows * rounded_up(inputs, V::width);
}

template <class V>
void linear(const inter2former::LinearRows& job, float* scratch) {
    constexpr int width = V::width, rows = V::rows;
    const int64_t padded = rounded_up(job.inputs, width), size = rows * padded;
    const int64_t tiles = (job.count + rows - 1) / rows;
    for (int64_t i = 0; i < tiles * size; ++i) scratch[i] = 0.0f;
    for (int64_t i = 0; i < job.count; ++i) {
        float* to = scratch + i / rows * size + i % rows * width;
        load_row<V>(job.x + i * job.inputs, job.inputs, to, tile_stride<V>);
        if (job.norm_weight) {
            normalise_row<V>(to, job.inputs, tile_stride<V>, job.norm_weight, job.norm_bias);
        }
    }
    for (int64_t output = 0; output < job.outputs; output += 2 * width) {
        const int64_t rest = job.outputs - output;
        const V left = V::load(job.bias + output), right = V::load(job.bias + output + width);
        for (int64_t tile = 0; tile < tiles; ++tile) {
            Sums<V> s;
            for (int row = 0; row < rows; ++row) s[row][0] = left, s[row][1] = right;
            multiply_onto<V>(scratch + tile * size, job.weights + output * padded, padded / width,
                             s);
            const int64_t left_over = job.count - tile * rows;
            for (int64_t i = 0; i < (left_over < rows ? left_over : rows); ++i) {
                const int64_t at = (tile * rows + i) * job.outputs + output;
                float* to = job.out + at;
                const float* add = job.residual ? job.residual + at : nullptr;
                if (rest >= 2 * width) {
                    (add ? s[i][0] + V::load(add) : s[i][0]).store(to);
                    (add ? s[i][1] + V::load(add + width) : s[i][1]).store(to + width);
                    continue;
                }
                float part[2 * width];
                s[i][0].store(part);
                s[i][1].store(part + width);
                for (int64_t k = 0; k < rest; ++k) to[k] = part[k] + (add ? add[k] : 0.0f);
            }
        }
    }
}

}  // namespace
