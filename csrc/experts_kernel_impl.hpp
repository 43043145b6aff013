// The expert computation, written once over a vector type. Included by one file per instruction set.
//
// Everything lies in an unnamed namespace and nothing from the standard library is instantiated, so
// that no function compiled for AVX-512 can be picked by the linker for the other instruction sets.
//
// A row's arithmetic is the same whatever rows share its tile: results depend neither on the
// neighbours of a token nor on how the tokens were divided over threads.
#pragma once

#include <math.h>  // sqrtf: std::sqrt would be an inline function, see above

#include <cstdint>
#include <cstring>

#include "experts_kernel.hpp"

namespace {

using inter2former::ExpertWeights;

// exp(x) to about 2 units in the last place: 2^n times a polynomial in the remainder (Cephes' expf).
// Clamped to the range of normal floats, so the quotient of `silu_times` stays finite.
template <class V>
inline V exponential(V x) {
    const V shift = V::broadcast(12582912.0f + 127.0f);  // 1.5 * 2^23: adding it rounds to integers
    x = V::maximum(V::broadcast(-87.0f), V::minimum(V::broadcast(87.0f), x));
    const V shifted = V::multiply_add(x, V::broadcast(1.44269504088896341f), shift);
    const V n = shifted - shift;
    V r = V::multiply_add(n, V::broadcast(-0.693359375f), x);
    r = V::multiply_add(n, V::broadcast(2.12194440e-4f), r);
    V p = V::broadcast(1.9875691500e-4f);
    p = V::multiply_add(p, r, V::broadcast(1.3981999507e-3f));
    p = V::multiply_add(p, r, V::broadcast(8.3334519073e-3f));
    p = V::multiply_add(p, r, V::broadcast(4.1665795894e-2f));
    p = V::multiply_add(p, r, V::broadcast(1.6666665459e-1f));
    p = V::multiply_add(p, r, V::broadcast(5.0000001201e-1f));
    p = V::multiply_add(p, r * r, r) + V::broadcast(1.0f);
    return p * V::bits_to_exponent(shifted);
}

// SwiGLU: silu(gate) * up.
template <class V>
inline V silu_times(V gate, V up) {
    const V one = V::broadcast(1.0f);
    return gate * up / (one + exponential(V::broadcast(0.0f) - gate));
}

// Features of the tokens of one tile, W features of every row after another: element (row, k) is at
// (k / W) * tile stride + row * W + k % W. The multiply loop then needs one pointer for all rows.
template <class V>
struct Tile {
    static constexpr int64_t stride = V::rows * V::width;
    static int64_t floats(int64_t features) {
        return (features + V::width - 1) / V::width * stride;
    }
};

// sums[row][0..1] = rows of a tile times one panel of packed weights.
template <class V, int rows>
inline void multiply(const float* tile, const float* panel, int64_t vectors, V (&sums)[rows][2]) {
    constexpr int width = V::width;
    for (int row = 0; row < rows; ++row) sums[row][0] = sums[row][1] = V::broadcast(0.0f);
    for (int64_t v = 0; v < vectors; ++v) {
        for (int k = 0; k < width; ++k) {
            const V left = V::load(panel);
            const V right = V::load(panel + width);
            for (int row = 0; row < rows; ++row) {
                const V x = V::broadcast(tile[row * width + k]);
                sums[row][0] = V::multiply_add(x, left, sums[row][0]);
                sums[row][1] = V::multiply_add(x, right, sums[row][1]);
            }
            panel += 2 * width;
        }
        tile += Tile<V>::stride;
    }
}

// One panel of hidden features for one tile: its gate and up products, then SwiGLU.
template <class V, int rows>
void hidden_tile(const float* tile, const float* panel, int64_t vectors, float* hidden) {
    V sums[rows][2];
    multiply<V, rows>(tile, panel, vectors, sums);
    for (int row = 0; row < rows; ++row) {
        silu_times(sums[row][0], sums[row][1]).store(hidden + row * V::width);
    }
}

// One panel of output features for one tile, stored in the tokens' own rows of y.
template <class V, int rows>
void output_tile(const float* tile, const float* panel, int64_t vectors, const int64_t* tokens,
                 float* y, int64_t y_stride, int64_t columns) {
    V sums[rows][2];
    multiply<V, rows>(tile, panel, vectors, sums);
    for (int row = 0; row < rows; ++row) {
        float* to = y + tokens[row] * y_stride;
        if (columns >= 2 * V::width) {
            sums[row][0].store(to);
            sums[row][1].store(to + V::width);
        } else {
            float part[2 * V::width];
            sums[row][0].store(part);
            sums[row][1].store(part + V::width);
            std::memcpy(to, part, static_cast<size_t>(columns) * sizeof(float));
        }
    }
}

// The two functions above for a number of rows known at run time, 1 to V::rows.
template <class V, int rows = V::rows>
struct TileFunctions {
    static void hidden(int64_t wanted, const float* tile, const float* panel, int64_t vectors,
                       float* to) {
        if (wanted == rows) return hidden_tile<V, rows>(tile, panel, vectors, to);
        TileFunctions<V, rows - 1>::hidden(wanted, tile, panel, vectors, to);
    }
    static void output(int64_t wanted, const float* tile, const float* panel, int64_t vectors,
                       const int64_t* tokens, float* y, int64_t y_stride, int64_t columns) {
        if (wanted == rows) {
            return output_tile<V, rows>(tile, panel, vectors, tokens, y, y_stride, columns);
        }
        TileFunctions<V, rows - 1>::output(wanted, tile, panel, vectors, tokens, y, y_stride,
                                           columns);
    }
};
template <class V>
struct TileFunctions<V, 0> {
    static void hidden(int64_t, const float*, const float*, int64_t, float*) {}
    static void output(int64_t, const float*, const float*, int64_t, const int64_t*, float*,
                       int64_t, int64_t) {}
};

template <class V>
inline float sum_lanes(V v) {
    float lanes[V::width];
    v.store(lanes);
    float sum = 0.0f;
    for (float lane : lanes) sum += lane;
    return sum;
}

// LayerNorm (eps 1e-5) over the hidden features of one row of a tile, in place.
template <class V>
void normalise_row(float* row, int64_t hidden, const float* weight, const float* bias) {
    constexpr int width = V::width;
    const int64_t vectors = (hidden + width - 1) / width;
    V total = V::broadcast(0.0f);
    for (int64_t v = 0; v < vectors; ++v) total = total + V::load(row + v * Tile<V>::stride);
    const V mean = V::broadcast(sum_lanes(total) / static_cast<float>(hidden));

    // Padding lanes must not count as deviations from the mean.
    float last[width];
    for (int lane = 0; lane < width; ++lane) {
        last[lane] = (vectors - 1) * width + lane < hidden ? 1.0f : 0.0f;
    }
    total = V::broadcast(0.0f);
    for (int64_t v = 0; v < vectors; ++v) {
        V deviation = V::load(row + v * Tile<V>::stride) - mean;
        if (v == vectors - 1) deviation = deviation * V::load(last);
        total = V::multiply_add(deviation, deviation, total);
    }
    const float variance = sum_lanes(total) / static_cast<float>(hidden);
    const V scale = V::broadcast(1.0f / sqrtf(variance + 1e-5f));
    for (int64_t v = 0; v < vectors; ++v) {
        float* at = row + v * Tile<V>::stride;
        const V normal = (V::load(at) - mean) * scale;
        V::multiply_add(normal, V::load(weight + v * width), V::load(bias + v * width)).store(at);
    }
}

// Copies one token's features into row `row` of a tile, zeros behind the last.
template <class V>
void gather_row(const float* from, int64_t features, float* tile, int64_t row) {
    constexpr int width = V::width;
    float* to = tile + row * width;
    int64_t k = 0;
    for (; k + width <= features; k += width, to += Tile<V>::stride) V::load(from + k).store(to);
    if (k == features) return;
    for (int lane = 0; lane < width; ++lane) to[lane] = k + lane < features ? from[k + lane] : 0.0f;
}

template <class V>
void run_expert(const ExpertWeights& weights, const float* x, const int64_t* tokens, int64_t count,
                float* y, float* scratch) {
    constexpr int width = V::width;
    const int64_t features = weights.width;
    const int64_t tiles = (count + V::rows - 1) / V::rows;
    const int64_t input_vectors = (features + width - 1) / width;
    const int64_t hidden_vectors = (weights.hidden + width - 1) / width;
    const int64_t input_floats = Tile<V>::floats(features);
    const int64_t hidden_floats = Tile<V>::floats(weights.hidden);
    float* inputs = scratch;
    float* hiddens = scratch + tiles * input_floats;
    // Tiles of nearly equal height: 13 tokens become 5 + 4 + 4, not 6 + 6 + 1.
    const auto first = [=](int64_t tile) { return tile * count / tiles; };

    for (int64_t tile = 0; tile < tiles; ++tile) {
        for (int64_t i = first(tile); i < first(tile + 1); ++i) {
            gather_row<V>(x + tokens[i] * features, features, inputs + tile * input_floats,
                          i - first(tile));
        }
    }
    // Panels outside, tiles inside: a panel stays in the first-level cache for all tiles.
    for (int64_t panel = 0; panel < hidden_vectors; ++panel) {
        const float* packed = weights.gate_up + panel * input_vectors * width * 2 * width;
        for (int64_t tile = 0; tile < tiles; ++tile) {
            TileFunctions<V>::hidden(first(tile + 1) - first(tile), inputs + tile * input_floats,
                                     packed, input_vectors,
                                     hiddens + tile * hidden_floats + panel * Tile<V>::stride);
        }
    }
    for (int64_t tile = 0; tile < tiles; ++tile) {
        for (int64_t row = 0; row < first(tile + 1) - first(tile); ++row) {
            normalise_row<V>(hiddens + tile * hidden_floats + row * width, weights.hidden,
                             weights.norm_weight, weights.norm_bias);
        }
    }
    for (int64_t column = 0; column < features; column += 2 * width) {
        const float* packed = weights.down + column * hidden_vectors * width;
        for (int64_t tile = 0; tile < tiles; ++tile) {
            TileFunctions<V>::output(first(tile + 1) - first(tile), hiddens + tile * hidden_floats,
                                     packed, hidden_vectors, tokens + first(tile), y + column,
                                     features, features - column);
        }
    }
}

template <class V>
const inter2former::ExpertsKernel* experts_kernel() {
    static constexpr inter2former::ExpertsKernel kernel{V::name, V::width, V::rows, run_expert<V>};
    return &kernel;
}

}  // namespace
