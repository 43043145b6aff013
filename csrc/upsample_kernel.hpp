// A step of upsampling (DLU), written once over a vector type.
// Included by one file per instruction set; see tile_multiply.hpp.
#pragma once

#include <cstdint>

#include "click_kernel.hpp"
#include "tile_multiply.hpp"

namespace {

constexpr int64_t step_tiles = 4;   // tiles that meet each panel of weights
constexpr int64_t step_shared = 9;  // products that outputs of a block share

template <class V>
int64_t upsample_scratch(int64_t blocks_high, int64_t blocks_wide, int64_t channels) {
    const int64_t padded = rounded_up(channels, V::width);
    return (2 * blocks_high + 1) * (2 * blocks_wide + 1) * padded +
           step_tiles * step_shared * V::rows * (padded + 2 * V::width);
}

// Rows of the input, normalised over channels; zeros outside.
template <class V>
void load_normal(const inter2former::StepBlocks& step, float* to, int64_t line, int64_t padded) {
    const auto& region = step.input;
    const int64_t row = 2 * step.first_row, column = 2 * step.first_column;
    const int64_t left = region.left > column ? region.left : column;
    const int64_t end = column + line / padded;
    const int64_t right = region.right < end ? region.right : end;
    for (int64_t r = row; r < row + 2 * (step.last_row - step.first_row) + 1; ++r, to += line) {
        if (r < region.top || r >= region.bottom) {
            for (int64_t k = 0; k < line; ++k) to[k] = 0.0f;
            continue;
        }
        float* first = to + (left - column) * padded;
        float* behind = to + (right - column) * padded;
        for (float* k = to; k < first; ++k) *k = 0.0f;
        const float* from = step.x + ((r - region.top) * (region.right - region.left) + left -
                                      region.left) * step.channels;
        for (float* pixel = first; pixel < behind; pixel += padded, from += step.channels) {
            load_row<V>(from, step.channels, pixel, V::width);
        }
        normalise_rows<V>(first, right - left, padded, step.channels, V::width, step.norm_weight,
                          step.norm_bias);
        for (float* k = behind; k < to + line; ++k) *k = 0.0f;
    }
}

// The middle pixel of a block and its differences to the eight around it, as rows of nine tiles.
template <class V>
void load_block(const float* middle, int64_t line, int64_t padded, float* to, int64_t size) {
    const float *above = middle - line, *below = middle + line;
    for (int64_t k = 0; k < padded; k += V::width, to += tile_stride<V>) {
        const V x = V::load(middle + k);
        const V left = V::load(middle + k - padded) - x, right = V::load(middle + k + padded) - x;
        const V up = V::load(above + k), down = V::load(below + k);
        x.store(to);
        left.store(to + size);
        right.store(to + 2 * size);
        (up - x).store(to + 3 * size);
        (down - x).store(to + 4 * size);
        (V::load(above + k - padded) - up - left).store(to + 5 * size);
        (V::load(above + k + padded) - up - right).store(to + 6 * size);
        (V::load(below + k - padded) - down - left).store(to + 7 * size);
        (V::load(below + k + padded) - down - right).store(to + 8 * size);
    }
}

inline const float* term_at(const inter2former::StepBlocks& step, int64_t row, int64_t column) {
    const int64_t shift = step.tile_shift, rest = (int64_t(1) << shift) - 1;
    const int64_t slot = step.slots[(row >> shift) * step.slots_stride + (column >> shift)];
    return step.terms +
           ((((slot << shift) + (row & rest)) << shift) + (column & rest)) * step.outputs;
}

// Where the first outputs of a block are.
struct BlockPlace {
    int64_t row, column;
    const float* edge;
    float* to;
    bool whole;  // all of its outputs are wanted
};

inline BlockPlace place_of(const inter2former::StepBlocks& step, int64_t block, int64_t wide) {
    const auto& region = step.output;
    BlockPlace place{};
    place.row = 4 * (step.first_row + block / wide) + 1;
    place.column = 4 * (step.first_column + block % wide) + 1;
    place.whole = region.has(place.row, place.column) && region.has(place.row + 3, place.column + 3);
    place.edge = step.edge + place.row * step.edge_stride + place.column * step.outputs;
    place.to = step.out + ((place.row - region.top) * (region.right - region.left) +
                           place.column - region.left) * step.outputs;
    if (place.whole) {  // will be needed soon, from memory
        for (int64_t r = 0; r < 4; ++r) {
            prefetch(place.edge + r * step.edge_stride, 4 * step.outputs);
        }
    }
    return place;
}

// Nearest-neighbour upsampling and a convolution with taps a, b, c give, under pixels x1, x2, x3 of
// an axis, between the middles of x1 and x3,
//     s x2 + (a + b) d,  s x2 + a d,  s x2 + c e,  s x2 + (b + c) e
// with s = a + b + c, d = x1 - x2, e = x3 - x2: five products for four outputs. In two dimensions a
// block of 3 x 3 pixels gives 4 x 4 outputs by 25 products, where two pixels of an axis take 36 one
// by one and 64 without sharing anything. An output is a sum of four: of the middle alone, of its
// row's and its column's difference, and of the corner's. Blocks lie on a fixed grid, so that results
// do not depend on the box.
template <class V>
void upsample(const inter2former::StepBlocks& step, float* scratch) {
    constexpr int width = V::width, rows = V::rows;
    const int64_t padded = rounded_up(step.channels, width), size = rows * padded;
    const int64_t wide = step.last_column - step.first_column;
    const int64_t blocks = (step.last_row - step.first_row) * wide;
    const int64_t line = (2 * wide + 1) * padded, panel = padded * 2 * width;
    float* tiles = scratch + (2 * (step.last_row - step.first_row) + 1) * line;
    float* parts = tiles + step_tiles * step_shared * size;
    constexpr int64_t part = rows * 2 * width;
    const int64_t out_line = (step.output.right - step.output.left) * step.outputs;
    load_normal<V>(step, scratch, line, padded);
    for (int64_t start = 0; start < blocks; start += step_tiles * rows) {
        const int64_t left = blocks - start;
        const int64_t count = left < step_tiles * rows ? left : step_tiles * rows;
        const int64_t used = (count + rows - 1) / rows;
        BlockPlace places[step_tiles * rows];
        for (int64_t i = 0; i < used * rows; ++i) {
            const int64_t block = start + (i < count ? i : count - 1);
            places[i] = place_of(step, block, wide);
            load_block<V>(scratch + (2 * (block / wide) + 1) * line +
                              (2 * (block % wide) + 1) * padded,
                          line, padded, tiles + i / rows * step_shared * size + i % rows * width,
                          size);
        }
        const float* weights = step.weights;
        for (int64_t output = 0; output < step.outputs; output += 2 * width) {
            static constexpr int kinds[step_shared] = {0, 1, 1, 2, 2, 3, 3, 4, 4};
            for (int64_t shared = 0; shared < step_shared; ++shared, weights += panel) {
                for (int64_t t = 0; t < used; ++t) {
                    Sums<V> s;
                    clear<V>(s);
                    multiply_onto<V>(tiles + (t * step_shared + kinds[shared]) * size, weights,
                                     padded / width, s);
                    float* to = parts + (t * step_shared + shared) * part;
                    for (int i = 0; i < rows; ++i) {
                        s[i][0].store(to + 2 * i * width);
                        s[i][1].store(to + 2 * i * width + width);
                    }
                }
            }
            for (int64_t pixel = 0; pixel < 16; ++pixel, weights += panel) {
                const int64_t down = pixel / 4, across = pixel % 4;
                const int64_t kind = 5 + down / 2 * 2 + across / 2;
                const int64_t edge_offset =
                    down * step.edge_stride + across * step.outputs + output;
                const int64_t out_offset = down * out_line + across * step.outputs + output;
                for (int64_t t = 0; t < used; ++t) {
                    const float* middle = parts + t * step_shared * part;
                    const float *in_row = middle + (1 + across) * part;
                    const float *in_column = middle + (5 + down) * part;
                    Sums<V> s;
                    for (int i = 0; i < rows; ++i) {
                        for (int v = 0; v < 2; ++v) {
                            const int64_t at = (2 * i + v) * width;
                            s[i][v] = V::load(middle + at) + V::load(in_row + at) +
                                      V::load(in_column + at);
                        }
                    }
                    multiply_onto<V>(tiles + (t * step_shared + kind) * size, weights,
                                     padded / width, s);
                    const int64_t rest = count - t * rows;
                    for (int64_t i = 0; i < (rest < rows ? rest : rows); ++i) {
                        const BlockPlace& place = places[t * rows + i];
                        const int64_t row = place.row + down, column = place.column + across;
                        if (!place.whole && !step.output.has(row, column)) continue;
                        const float* term =
                            step.terms ? term_at(step, row, column) + output : nullptr;
                        finish<V>(s[i][0], s[i][1], place.edge + edge_offset, term,
                                  step.outputs - output, step.activate, place.to + out_offset);
                    }
                }
            }
        }
    }
}

}  // namespace
