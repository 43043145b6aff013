// Linear layers, written once over a vector type.
// Included by one file per instruction set; see tile_multiply.hpp.
#pragma once

#include <cstdint>

#include "click_kernel.hpp"
#include "tile_multiply.hpp"

namespace {

inline int64_t row_number(const int64_t* numbers, int64_t i) { return numbers ? numbers[i] : i; }

template <class V>
int64_t linear_scratch(int64_t count, int64_t features) {
    return rounded_up(count, V::rows) * rounded_up(features, V::width);
}

// Rows as tiles, normalised where there is a norm.
template <class V>
void load_tiles(const float* x, const int64_t* numbers, int64_t count, int64_t features,
                const float* norm_weight, const float* norm_bias, float* tiles) {
    constexpr int width = V::width, rows = V::rows;
    const int64_t size = rows * rounded_up(features, width);
    for (int64_t start = 0; start < count; start += rows, tiles += size) {
        const int64_t left = count - start, some = left < rows ? left : rows;
        for (int64_t i = 0; i < rows; ++i) {
            // What is not there is computed with, and must be numbers.
            const int64_t number = row_number(numbers, start + (i < some ? i : 0));
            load_row<V>(x + number * features, features, tiles + i * width, tile_stride<V>);
        }
        if (norm_weight != nullptr) {
            normalise_rows<V>(tiles, some, width, features, tile_stride<V>, norm_weight, norm_bias);
        }
    }
}

// Tiles times weights plus bias; `store(i, output, left, right)` takes 2 W outputs of row i.
template <class V, class Store>
inline void multiply_tiles(const float* tiles, int64_t count, int64_t features,
                           const float* weights, const float* bias, int64_t outputs, Store store) {
    constexpr int width = V::width, rows = V::rows;
    const int64_t padded = rounded_up(features, width), size = rows * padded;
    for (int64_t output = 0; output < outputs; output += 2 * width) {
        const V left = V::load(bias + output), right = V::load(bias + output + width);
        for (int64_t start = 0; start < count; start += rows) {
            Sums<V> s;
            for (int row = 0; row < rows; ++row) s[row][0] = left, s[row][1] = right;
            multiply_onto<V>(tiles + start / rows * size, weights + output * padded,
                             padded / width, s);
            const int64_t rest = count - start;
            for (int64_t i = 0; i < (rest < rows ? rest : rows); ++i) {
                store(start + i, output, s[i][0], s[i][1]);
            }
        }
    }
}

// Stores into rows of `outputs` floats, with a residual where there is one.
template <class V>
inline void store_outputs(const float* residual, float* out, int64_t count, V left, V right) {
    constexpr int width = V::width;
    if (count >= 2 * width) {
        (residual ? left + V::load(residual) : left).store(out);
        (residual ? right + V::load(residual + width) : right).store(out + width);
        return;
    }
    float part[2 * width];
    left.store(part);
    right.store(part + width);
    for (int64_t k = 0; k < count; ++k) out[k] = part[k] + (residual ? residual[k] : 0.0f);
}

template <class V>
void linear(const inter2former::LinearRows& job, float* scratch) {
    load_tiles<V>(job.x, job.from, job.count, job.inputs, job.norm_weight, job.norm_bias, scratch);
    multiply_tiles<V>(scratch, job.count, job.inputs, job.weights, job.bias, job.outputs,
                      [&](int64_t i, int64_t output, V left, V right) {
                          const int64_t at = row_number(job.to, i) * job.outputs + output;
                          store_outputs<V>(job.residual ? job.residual + at : nullptr, job.out + at,
                                           job.outputs - output, left, right);
                      });
}

template <class V>
int64_t perceptron_scratch(int64_t count, int64_t inputs, int64_t hidden) {
    return linear_scratch<V>(count, inputs) +
           linear_scratch<V>(count, rounded_up(hidden, 2 * V::width));
}

template <class V>
void perceptron(const inter2former::PerceptronRows& job, float* scratch) {
    constexpr int width = V::width, rows = V::rows;
    float* tiles = scratch + linear_scratch<V>(job.count, job.inputs);
    // Weights of padding are 0, and gelu(0) is 0.
    const int64_t padded = rounded_up(job.hidden, 2 * width);
    load_tiles<V>(job.x, job.numbers, job.count, job.inputs, job.norm_weight, job.norm_bias,
                  scratch);
    multiply_tiles<V>(scratch, job.count, job.inputs, job.weights, job.bias, job.hidden,
                      [&](int64_t i, int64_t output, V left, V right) {
                          float* to = tiles + i / rows * rows * padded + output * rows +
                                      i % rows * width;
                          gelu<V>(left).store(to);
                          gelu<V>(right).store(to + tile_stride<V>);
                      });
    for (int64_t i = job.count; i % rows != 0; ++i) {  // what is not there must be numbers
        float* to = tiles + i / rows * rows * padded + i % rows * width;
        for (int64_t k = 0; k < padded; k += width) V::broadcast(0.0f).store(to + k * rows);
    }
    multiply_tiles<V>(tiles, job.count, padded, job.out_weights, job.out_bias, job.outputs,
                      [&](int64_t i, int64_t output, V left, V right) {
                          const int64_t at = row_number(job.numbers, i) * job.outputs + output;
                          store_outputs<V>(job.residual ? job.residual + at : nullptr, job.out + at,
                                           job.outputs - output, left, right);
                      });
}

}  // namespace
