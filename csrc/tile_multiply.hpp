// Register tiles, written once over a vector type: rows of features times panels of packed weights.
//
// A tile holds V::rows rows; W features of every row lie one after another, so element (row, k) is
// at (k / W) * stride + row * W + k % W and one pointer serves all rows. A panel holds 2 W columns:
// element (k, column) is at k * 2 W + column. Everything lies in an unnamed namespace and
// nothing from the standard library is instantiated, so that no function compiled for one
// instruction set can be picked by the linker for another.
#pragma once

#include <cstdint>

namespace {

template <class V>
constexpr int64_t tile_stride = static_cast<int64_t>(V::rows) * V::width;

template <class V, int rows = V::rows>
using Sums = V[rows][2];

template <class V, int rows = V::rows>
inline void clear(Sums<V, rows>& sums) {
    for (int row = 0; row < rows; ++row) sums[row][0] = sums[row][1] = V::broadcast(0.0f);
}

// sums += tile * panel, over `vectors` * W features. (No prefetching: the processors do it by
// themselves, and its instructions cost a third of the speed.)
template <class V, int rows = V::rows>
inline void multiply_onto(const float* tile, const float* panel, int64_t vectors,
                          Sums<V, rows>& sums) {
    constexpr int width = V::width;
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

// x Phi(x), Phi by Abramowitz and Stegun, 7.1.26: to 1.5e-7.
template <class V>
inline V gelu(V x) {
    const V zero = V::broadcast(0.0f), one = V::broadcast(1.0f), half = V::broadcast(0.5f);
    const V size = V::maximum(zero - x, x) * V::broadcast(0.70710678118654752f);
    const V t = one / V::multiply_add(size, V::broadcast(0.3275911f), one);
    V p = V::broadcast(1.061405429f);
    p = V::multiply_add(p, t, V::broadcast(-1.453152027f));
    p = V::multiply_add(p, t, V::broadcast(1.421413741f));
    p = V::multiply_add(p, t, V::broadcast(-0.284496736f));
    p = V::multiply_add(p, t, V::broadcast(0.254829592f));
    const V e = power_of_two<V>(size * size * V::broadcast(-1.44269504088896341f));
    const V tail = half * p * t * e;  // 1 - Phi(|x|)
    // x >= 0: x (1 - tail); x < 0: x tail.
    return V::maximum(zero, x) * (one - tail) + V::minimum(zero, x) * tail;
}

// x * sigmoid(x). exp(-|x|) keeps the power in range on both sides; what is no number stays so, as
// `maximum` and `minimum` return their second argument then.
template <class V>
inline V silu(V x) {
    const V zero = V::broadcast(0.0f);
    const V positive = V::maximum(zero, x), negative = V::minimum(zero, x);
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

// Asks for the cache lines of floats that will be needed soon.
inline void prefetch(const float* from, int64_t count) {
#if defined(__GNUC__) || defined(__clang__)
    constexpr int64_t line = 16;  // floats
    for (int64_t i = 0; i < count; i += line) __builtin_prefetch(from + i);
#else
    static_cast<void>(from), static_cast<void>(count);
#endif
}

inline int64_t rounded_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Copies features into vectors `stride` floats apart, such as a row of a tile; zeros behind the last.
template <class V>
inline void load_row(const float* from, int64_t features, float* to, int64_t stride) {
    constexpr int width = V::width;
    int64_t k = 0;
    for (; k + width <= features; k += width, to += stride) V::load(from + k).store(to);
    if (k == features) return;
    for (int lane = 0; lane < width; ++lane) to[lane] = k + lane < features ? from[k + lane] : 0.0f;
}

// LayerNorm (eps 1e-5) of `count` rows that `load_row` wrote `step` floats apart, in place. Weight and
// bias are padded with zeros. A row's result does not depend on the others.
template <class V>
void normalise_rows(float* rows, int64_t count, int64_t step, int64_t features, int64_t stride,
                    const float* weight, const float* bias) {
    constexpr int width = V::width;
    const int64_t vectors = (features + width - 1) / width;
    const V zero = V::broadcast(0.0f), share = V::broadcast(1.0f / static_cast<float>(features));
    // Padding lanes must not count as deviations from the mean.
    float valid[width];
    for (int lane = 0; lane < width; ++lane) {
        valid[lane] = (vectors - 1) * width + lane < features ? 1.0f : 0.0f;
    }
    const V last = V::load(valid);
    for (; count > 0; count -= width, rows += width * step) {
        const int64_t some = count < width ? count : width;
        V totals[width];
        for (int i = 0; i < width; ++i) totals[i] = zero;
        for (int64_t i = 0; i < some; ++i) {
            const float* row = rows + i * step;
            for (int64_t v = 0; v < vectors; ++v) totals[i] = totals[i] + V::load(row + v * stride);
        }
        float means[width], scales[width];
        (V::sums_of_lanes(totals) * share).store(means);
        for (int64_t i = 0; i < some; ++i) {
            const float* row = rows + i * step;
            const V mean = V::broadcast(means[i]);
            V total = zero;
            for (int64_t v = 0; v + 1 < vectors; ++v) {
                const V deviation = V::load(row + v * stride) - mean;
                total = V::multiply_add(deviation, deviation, total);
            }
            const V deviation = (V::load(row + (vectors - 1) * stride) - mean) * last;
            totals[i] = V::multiply_add(deviation, deviation, total);
        }
        const V variance = V::sums_of_lanes(totals) * share + V::broadcast(1e-5f);
        (V::broadcast(1.0f) / V::square_root(variance)).store(scales);
        for (int64_t i = 0; i < some; ++i) {
            float* row = rows + i * step;
            const V mean = V::broadcast(means[i]), scale = V::broadcast(scales[i]);
            for (int64_t v = 0; v < vectors; ++v) {
                const V normal = (V::load(row + v * stride) - mean) * scale;
                V::multiply_add(normal, V::load(weight + v * width), V::load(bias + v * width))
                    .store(row + v * stride);
            }
        }
    }
}

// Adds to 2 W outputs of one pixel what belongs to it, activates and stores them. `count` outputs are
// left; `first` and `second` may be null.
template <class V>
inline void finish(V left, V right, const float* first, const float* second, int64_t count,
                   bool activate, float* to) {
    constexpr int width = V::width;
    const float* const addends[] = {first, second};
    if (count >= 2 * width) {
        for (const float* added : addends) {
            if (added == nullptr) continue;
            left = left + V::load(added);
            right = right + V::load(added + width);
        }
        if (activate) left = silu<V>(left), right = silu<V>(right);
        left.store(to);
        right.store(to + width);
        return;
    }
    float part[2 * width];
    left.store(part);
    right.store(part + width);
    for (const float* added : addends) {
        for (int64_t k = 0; added != nullptr && k < count; ++k) part[k] += added[k];
    }
    if (activate) {
        silu<V>(V::load(part)).store(part);
        silu<V>(V::load(part + width)).store(part + width);
    }
    for (int64_t k = 0; k < count; ++k) to[k] = part[k];
}

}  // namespace
