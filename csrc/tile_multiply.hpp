// Register tiles, written once over a vector type: rows of features times panels of packed weights.
//
// A tile holds V::rows rows; W features of every row lie one after another, so element (row, k) is
// at (k / W) * stride + row * W + k % W and one pointer serves all rows. A panel holds 2 W columns:
// element (k, column) is at k * 2 W + column. Everything lies in an unnamed namespace, so that no
// function compiled for one instruction set can be picked by the linker for another.
#pragma once

#include <cstdint>

namespace {

template <class V>
constexpr int64_t tile_stride = static_cast<int64_t>(V::rows) * V::width;

template <class V>
using Sums = V[V::rows][2];

template <class V>
inline void clear(Sums<V>& sums) {
    for (int row = 0; row < V::rows; ++row) sums[row][0] = sums[row][1] = V::broadcast(0.0f);
}

// sums += tile * panel, over `vectors` * W features.
template <class V>
inline void multiply_onto(const float* tile, const float* panel, int64_t vectors, Sums<V>& sums) {
    constexpr int width = V::width;
    for (int64_t v = 0; v < vectors; ++v) {
        for (int k = 0; k < width; ++k) {
            const V left = V::load(panel);
            const V right = V::load(panel + width);
            for (int row = 0; row < V::rows; ++row) {
                const V x = V::broadcast(tile[row * width + k]);
                sums[row][0] = V::multiply_add(x, left, sums[row][0]);
                sums[row][1] = V::multiply_add(x, right, sums[row][1]);
            }
            panel += 2 * width;
        }
        tile += tile_stride<V>;
    }
}

// 2^x for x <= 0, to about 2 units in the last place; 2^-126 and less become about that.
template <class V>
inline V power_of_two(V x) {
    const V shift = V::broadcast(12582912.0f + 127.0f);  // 1.5 * 2^23: adding it rounds to integers
    x = V::maximum(V::broadcast(-126.0f), x);
    const V shifted = x + shift;
    const V r = x - (shifted - shift);
    V p = V::broadcast(1.535336188319500e-4f);
    p = V::multiply_add(p, r, V::broadcast(1.339887440266574e-3f));
    p = V::multiply_add(p, r, V::broadcast(9.618437357674640e-3f));
    p = V::multiply_add(p, r, V::broadcast(5.550332471162809e-2f));
    p = V::multiply_add(p, r, V::broadcast(2.402264791363012e-1f));
    p = V::multiply_add(p, r, V::broadcast(6.931472028550421e-1f));
    p = V::multiply_add(p, r, V::broadcast(1.0f));
    return p * V::bits_to_exponent(shifted);
}

// x * sigmoid(x). exp(-|x|) keeps the power in range on both sides.
template <class V>
inline V silu(V x) {
    const V zero = V::broadcast(0.0f);
    const V positive = V::maximum(x, zero), negative = V::minimum(x, zero);
    const V e = power_of_two<V>((negative - positive) * V::broadcast(1.44269504088896341f));
    // x >= 0: x / (1 + e); x < 0: x e / (1 + e).
    return (positive + negative * e) / (V::broadcast(1.0f) + e);
}

template <class V>
inline float sum_of_lanes(V v) {
    float lanes[V::width];
    v.store(lanes);
    for (int half = V::width / 2; half > 0; half /= 2) {
        for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
    }
    return lanes[0];
}

template <class V>
inline float largest_lane(V v) {
    float lanes[V::width];
    v.store(lanes);
    float largest = lanes[0];
    for (float lane : lanes) largest = lane > largest ? lane : largest;
    return largest;
}

}  // namespace
