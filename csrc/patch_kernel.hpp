// Convolutions of whole regions, as products of patches, written once over a vector type.
// Included by one file per instruction set; see tile_multiply.hpp.
#pragma once

#include <cstdint>

#include "click_kernel.hpp"
#include "tile_multiply.hpp"

namespace {

constexpr int64_t patch_tiles = 4;  // tiles that meet each panel of weights

// Floats between two pixels of a loaded line: channels that are normalised fill whole vectors.
template <class V>
int64_t pixel_step(bool norm, int64_t channels) {
    return norm ? rounded_up(channels, V::width) : channels;
}

template <class V>
int64_t patch_scratch(const inter2former::PatchRows& job) {
    const int64_t step = pixel_step<V>(job.norm_weight != nullptr, job.channels);
    const int64_t across = job.side * rounded_up(job.side * step, V::width);
    const int64_t high = (job.last - job.first - 1) * job.step + job.side;
    const int64_t wide = (job.right - job.left - 1) * job.step + job.side;
    return high * rounded_up(wide * step + V::width, V::width) + patch_tiles * V::rows * across;
}

// A line of the input: normalised and activated where asked for; zeros outside.
template <class V>
void load_line(const inter2former::PatchRows& job, int64_t row, int64_t column, int64_t wide,
               float* to, int64_t line) {
    const auto& region = job.input;
    const int64_t step = pixel_step<V>(job.norm_weight != nullptr, job.channels);
    int64_t left = region.left > column ? region.left : column;
    int64_t right = region.right < column + wide ? region.right : column + wide;
    if (row < region.top || row >= region.bottom || left >= right) left = right = column;
    float* first = to + (left - column) * step;
    float* behind = to + (right - column) * step;
    for (float* k = to; k < first; ++k) *k = 0.0f;
    for (float* k = behind; k < to + line; ++k) *k = 0.0f;
    if (left == right) return;
    const float* from = job.x + ((row - region.top) * (region.right - region.left) + left -
                                 region.left) * job.channels;
    if (step == job.channels) {
        const int64_t count = (right - left) * step;
        int64_t k = 0;
        for (; k + V::width <= count; k += V::width) V::load(from + k).store(first + k);
        for (; k < count; ++k) first[k] = from[k];
    } else {
        for (float* pixel = first; pixel < behind; pixel += step, from += job.channels) {
            load_row<V>(from, job.channels, pixel, V::width);
        }
    }
    if (job.norm_weight != nullptr) {
        normalise_rows<V>(first, right - left, step, job.channels, V::width, job.norm_weight,
                          job.norm_bias);
    }
    if (job.activate_input) {  // silu(0) = 0, so what lies behind may be touched
        for (float* k = first; k < behind; k += V::width) silu<V>(V::load(k)).store(k);
    }
}

// Stores 2 W outputs of a patch that gives one pixel of them.
template <class V>
inline void store_pixel(const inter2former::PatchRows& job, int64_t row, int64_t column,
                        int64_t output, V left, V right) {
    const auto& region = job.output;
    float* to = job.out + (row - region.top) * job.out_stride +
                (column - region.left) * job.outputs + output;
    const float* add = job.add ? job.add + (row - job.add_top) * job.add_stride +
                                     column * job.outputs + output
                               : nullptr;
    finish<V>(left, right, add, nullptr, job.outputs - output, job.activate, to);
}

// Stores 2 W outputs of a patch that gives a block of pixels, one output each.
template <class V>
inline void store_block(const inter2former::PatchRows& job, int64_t row, int64_t column,
                        int64_t output, V left, V right) {
    constexpr int width = V::width;
    const auto& region = job.output;
    float part[2 * width];
    left.store(part);
    right.store(part + width);
    const int64_t first = column * job.block + job.shift;
    const int64_t from = first < region.left ? region.left - first : 0;
    const int64_t end = first + job.block > region.right ? region.right - first : job.block;
    for (int pass = 0; pass < 2; ++pass) {  // add; then store
        for (int64_t k = 0; k < 2 * width && output + k < job.outputs; k += job.block) {
            const int64_t r = row * job.block + (output + k) / job.block + job.shift;
            if (r < region.top || r >= region.bottom) continue;
            if (pass == 0 && job.add) {
                const float* add = job.add + (r - job.add_top) * job.add_stride + first;
                for (int64_t i = from; i < end; ++i) part[k + i] += add[i];
            } else if (pass == 1) {
                float* to = job.out + (r - region.top) * job.out_stride + first - region.left;
                for (int64_t i = from; i < end; ++i) to[i] = part[k + i];
            }
        }
        if (pass == 0 && job.activate) {
            silu<V>(V::load(part)).store(part);
            silu<V>(V::load(part + width)).store(part + width);
        }
    }
}

template <class V>
void patches(const inter2former::PatchRows& job, float* scratch) {
    constexpr int width = V::width, rows = V::rows;
    const int64_t step = pixel_step<V>(job.norm_weight != nullptr, job.channels);
    const int64_t across = rounded_up(job.side * step, width), features = job.side * across;
    const int64_t columns = job.right - job.left, count = (job.last - job.first) * columns;
    const int64_t high = (job.last - job.first - 1) * job.step + job.side;
    const int64_t wide = (columns - 1) * job.step + job.side;
    const int64_t line = rounded_up(wide * step + width, width), size = rows * features;
    float* tiles = scratch + high * line;
    for (int64_t r = 0; r < high; ++r) {
        load_line<V>(job, job.first * job.step + job.offset + r, job.left * job.step + job.offset,
                     wide, scratch + r * line, line);
    }
    for (int64_t start = 0; start < count; start += patch_tiles * rows) {
        const int64_t left = count - start;
        const int64_t some = left < patch_tiles * rows ? left : patch_tiles * rows;
        const int64_t used = (some + rows - 1) / rows;
        int64_t places[patch_tiles * rows][2];
        for (int64_t i = 0; i < used * rows; ++i) {
            const int64_t patch = start + (i < some ? i : some - 1);
            const int64_t row = patch / columns, column = patch % columns;
            places[i][0] = job.first + row, places[i][1] = job.left + column;
            const float* from = scratch + row * job.step * line + column * job.step * step;
            float* to = tiles + i / rows * size + i % rows * width;
            for (int64_t r = 0; r < job.side; ++r) {
                load_row<V>(from + r * line, job.side * step, to + r * rows * across,
                            tile_stride<V>);
            }
        }
        for (int64_t output = 0; output < job.outputs; output += 2 * width) {
            const V bias_left = V::load(job.bias + output);
            const V bias_right = V::load(job.bias + output + width);
            for (int64_t t = 0; t < used; ++t) {
                Sums<V> s;
                for (int i = 0; i < rows; ++i) s[i][0] = bias_left, s[i][1] = bias_right;
                multiply_onto<V>(tiles + t * size, job.weights + output * features,
                                 features / width, s);
                const int64_t rest = some - t * rows;
                for (int64_t i = 0; i < (rest < rows ? rest : rows); ++i) {
                    const int64_t row = places[t * rows + i][0], column = places[t * rows + i][1];
                    if (job.block == 1) {
                        store_pixel<V>(job, row, column, output, s[i][0], s[i][1]);
                    } else {
                        store_block<V>(job, row, column, output, s[i][0], s[i][1]);
                    }
                }
            }
        }
    }
}

}  // namespace
