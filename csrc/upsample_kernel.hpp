// A step of upsampling, written once over a vector type.
// Included by one file per instruction set; see tile_multiply.hpp.
#pragma once

#include <math.h>

#include <cstdint>

#include "click_kernel.hpp"
#include "tile_multiply.hpp"

namespace {

template <class V>
int64_t upsample_scratch(int64_t rows, int64_t width, int64_t channels) {
    const int64_t padded = rounded_up(channels, V::width);
    const int64_t several = (rows + 2) * (width + 2 + V::rows) * padded + 9 * V::rows * padded +
                            5 * V::rows * 2 * V::width;
    const int64_t single = 3 * channels * rounded_up(width + 2 + V::width, V::width);
    return several > single ? several : single;
}

inline const float* term_at(const inter2former::StepRows& step, int64_t row, int64_t column) {
    const int64_t r = row + step.term_row, c = column + step.term_column;
    const int64_t shift = step.tile_shift, rest = (int64_t(1) << shift) - 1;
    const int64_t slot = step.slots[(r >> shift) * step.slots_stride + (c >> shift)];
    return step.terms + ((((slot << shift) + (r & rest)) << shift) + (c & rest)) * step.outputs;
}

// What is added to the convolution, the activation, and the store of 2 W outputs of one pixel.
template <class V>
inline void finish(const inter2former::StepRows& step, int64_t row, int64_t column, int64_t output,
                   V left, V right) {
    constexpr int width = V::width;
    const int64_t count = step.outputs - output;
    const float* edge = step.edge + row * step.edge_stride + column * step.outputs + output;
    const float* term = step.terms ? term_at(step, row, column) + output : nullptr;
    float* to = step.out + (row * 2 * step.width + column) * step.outputs + output;
    if (count >= 2 * width) {
        left = left + V::load(edge);
        right = right + V::load(edge + width);
        if (term) {
            left = left + V::load(term);
            right = right + V::load(term + width);
        }
        if (step.activate) left = silu<V>(left), right = silu<V>(right);
        left.store(to);
        right.store(to + width);
        return;
    }
    float part[2 * width];
    left.store(part);
    right.store(part + width);
    for (int64_t k = 0; k < count; ++k) part[k] += edge[k] + (term ? term[k] : 0.0f);
    if (step.activate) {
        silu<V>(V::load(part)).store(part);
        silu<V>(V::load(part + width)).store(part + width);
    }
    for (int64_t k = 0; k < count; ++k) to[k] = part[k];
}

// Row `row` of the input, or zeros outside, as (channels, line): a lane per pixel, the first one
// outside on the left. Normalised over channels.
template <class V>
void load_line(const inter2former::StepRows& step, int64_t row, float* to, int64_t line) {
    constexpr int width = V::width;
    const int64_t channels = step.channels;
    for (int64_t k = 0; k < channels * line; ++k) to[k] = 0.0f;
    if (row < 0 || row >= step.height) return;
    const float* from = step.x + row * step.x_stride;
    for (int64_t j = 0; j < step.width; ++j) {
        for (int64_t k = 0; k < channels; ++k) to[k * line + j + 1] = from[j * channels + k];
    }
    const V share = V::broadcast(1.0f / static_cast<float>(channels));
    for (int64_t j = 0; j + width <= line; j += width) {
        V mean = V::broadcast(0.0f), variance = V::broadcast(0.0f);
        for (int64_t k = 0; k < channels; ++k) mean = mean + V::load(to + k * line + j);
        mean = mean * share;
        for (int64_t k = 0; k < channels; ++k) {
            const V deviation = V::load(to + k * line + j) - mean;
            variance = V::multiply_add(deviation, deviation, variance);
        }
        float scales[width];
        (variance * share).store(scales);
        for (int lane = 0; lane < width; ++lane) scales[lane] = 1.0f / sqrtf(scales[lane] + 1e-5f);
        const V scale = V::load(scales);
        for (int64_t k = 0; k < channels; ++k) {
            float* at = to + k * line + j;
            V::multiply_add((V::load(at) - mean) * scale, V::broadcast(step.norm_weight[k]),
                            V::broadcast(step.norm_bias[k]))
                .store(at);
        }
    }
    for (int64_t k = 0; k < channels; ++k) {
        to[k * line] = 0.0f;
        for (int64_t j = step.width + 1; j < line; ++j) to[k * line + j] = 0.0f;
    }
}

// A step with a single output: lanes are pixels. Weights are (channels, 4 pixels, 2 x 2 taps), the
// taps of a pixel being the inputs that it sees.
template <class V>
void upsample_single(const inter2former::StepRows& step, float* scratch) {
    constexpr int width = V::width;
    const int64_t line = rounded_up(step.width + 2 + width, width), size = step.channels * line;
    for (int64_t row = step.first - 1; row <= step.first; ++row) {
        load_line<V>(step, row, scratch + (row + 3) % 3 * size, line);
    }
    for (int64_t row = step.first; row < step.last; ++row) {
        load_line<V>(step, row + 1, scratch + (row + 4) % 3 * size, line);
        const float* const lines[3] = {scratch + (row + 2) % 3 * size, scratch + row % 3 * size,
                                       scratch + (row + 1) % 3 * size};
        for (int64_t column = 0; column < step.width; column += width) {
            V sums[2][2];
            for (auto& pair : sums) pair[0] = pair[1] = V::broadcast(0.0f);
            const float* weights = step.weights;
            for (int64_t k = 0; k < step.channels; ++k, weights += 16) {
                V x[3][3];
                for (int r = 0; r < 3; ++r) {
                    for (int c = 0; c < 3; ++c) x[r][c] = V::load(lines[r] + k * line + column + c);
                }
                for (int pixel = 0; pixel < 4; ++pixel) {
                    const int a = pixel / 2, b = pixel % 2;
                    for (int tap = 0; tap < 4; ++tap) {
                        sums[a][b] = V::multiply_add(x[a + tap / 2][b + tap % 2],
                                                     V::broadcast(weights[pixel * 4 + tap]),
                                                     sums[a][b]);
                    }
                }
            }
            const int64_t left_over = step.width - column;
            const int64_t pixels = left_over < width ? left_over : width;
            for (int a = 0; a < 2; ++a) {
                float parts[2][width];
                sums[a][0].store(parts[0]);
                sums[a][1].store(parts[1]);
                const int64_t r = 2 * row + a;
                const float* edge = step.edge + r * step.edge_stride + 2 * column;
                float* to = step.out + r * 2 * step.width + 2 * column;
                for (int64_t j = 0; j < 2 * pixels; ++j) {
                    float y = parts[j % 2][j / 2] + edge[j];
                    if (step.terms) y += *term_at(step, r, 2 * column + j);
                    to[j] = step.activate ? y / (1.0f + expf(-y)) : y;
                }
            }
        }
    }
}

template <class V>
void upsample(const inter2former::StepRows& step, float* scratch) {
    if (step.outputs == 1) return upsample_single<V>(step, scratch);
    constexpr int width = V::width, rows = V::rows;
    const int64_t padded = rounded_up(step.channels, width);
    const int64_t line = (step.width + 2 + rows) * padded;  // a zero pixel on both sides, and more
    const int64_t count = step.last - step.first;
    float* normal = scratch;
    float* tiles = normal + (count + 2) * line;  // nine of them
    float* parts = tiles + 9 * rows * padded;    // five shared products, (row, 2 W) each
    for (int64_t i = 0; i < count + 2; ++i) {
        const int64_t row = step.first - 1 + i;
        float* to = normal + i * line;
        if (row < 0 || row >= step.height) {
            for (int64_t k = 0; k < line; ++k) to[k] = 0.0f;
            continue;
        }
        for (int64_t k = 0; k < padded; ++k) to[k] = 0.0f;
        for (int64_t k = (step.width + 1) * padded; k < line; ++k) to[k] = 0.0f;
        const float* from = step.x + row * step.x_stride;
        for (int64_t j = 0; j < step.width; ++j) {
            float* pixel = to + (j + 1) * padded;
            load_row<V>(from + j * step.channels, step.channels, pixel, width);
            normalise_row<V>(pixel, step.channels, width, step.norm_weight, step.norm_bias);
        }
    }
    for (int64_t i = 0; i < count; ++i) {
        const int64_t row = step.first + i;
        const float* const lines[3] = {normal + i * line, normal + (i + 1) * line,
                                       normal + (i + 2) * line};
        for (int64_t column = 0; column < step.width; column += rows) {
            // The pixel itself and its differences to the eight around it: with s, a, c the sum,
            // first and last of three taps, the two outputs of a pixel x along an axis are
            // s x + a (before - x) and s x + c (after - x); three products, not four.
            const int64_t size = rows * padded;
            for (int j = 0; j < rows; ++j) {
                const float* up = lines[0] + (column + j + 1) * padded;
                const float* here = lines[1] + (column + j + 1) * padded;
                const float* down = lines[2] + (column + j + 1) * padded;
                float* to = tiles + j * width;
                for (int64_t k = 0; k < padded; k += width, to += tile_stride<V>) {
                    const V x = V::load(here + k);
                    const V left = V::load(here + k - padded) - x;
                    const V right = V::load(here + k + padded) - x;
                    const V u = V::load(up + k), d = V::load(down + k);
                    x.store(to);
                    left.store(to + size);
                    right.store(to + 2 * size);
                    (u - x).store(to + 3 * size);
                    (d - x).store(to + 4 * size);
                    (V::load(up + k - padded) - u - left).store(to + 5 * size);
                    (V::load(up + k + padded) - u - right).store(to + 6 * size);
                    (V::load(down + k - padded) - d - left).store(to + 7 * size);
                    (V::load(down + k + padded) - d - right).store(to + 8 * size);
                }
            }
            const int64_t left_over = step.width - column;
            const int64_t pixels = left_over < rows ? left_over : rows;
            const int64_t panel = padded * 2 * width;
            const float* weights = step.weights;
            for (int64_t output = 0; output < step.outputs; output += 2 * width) {
                Sums<V> s;
                for (int product = 0; product < 5; ++product, weights += panel) {
                    clear<V>(s);
                    multiply_onto<V>(tiles + product * size, weights, padded / width, s);
                    float* to = parts + product * rows * 2 * width;
                    for (int j = 0; j < rows; ++j) {
                        s[j][0].store(to + j * 2 * width);
                        s[j][1].store(to + j * 2 * width + width);
                    }
                }
                for (int corner = 0; corner < 4; ++corner, weights += panel) {
                    const int side = corner % 2, level = corner / 2;
                    const float* across = parts + (1 + side) * rows * 2 * width;
                    const float* along = parts + (3 + level) * rows * 2 * width;
                    for (int j = 0; j < rows; ++j) {
                        for (int v = 0; v < 2; ++v) {
                            const int64_t at = (2 * j + v) * width;
                            s[j][v] = V::load(parts + at) + V::load(across + at) +
                                      V::load(along + at);
                        }
                    }
                    multiply_onto<V>(tiles + (5 + corner) * size, weights, padded / width, s);
                    for (int64_t j = 0; j < pixels; ++j) {
                        finish<V>(step, 2 * row + level, 2 * (column + j) + side, output, s[j][0],
                                  s[j][1]);
                    }
                }
            }
        }
    }
}

}  // namespace
