// Attention of a click: full, and to quantised keys, written once over a vector type.
// Included by one file per instruction set; see tile_multiply.hpp.
#pragma once

#include <math.h>

#include <cstdint>

#include "click_kernel.hpp"
#include "tile_multiply.hpp"

namespace {

using inter2former::key_block;

// ---- attention of some queries to all keys, block by block with a running maximum ----

template <class V>
int64_t attend_scratch(int64_t count, int64_t dim) {
    const int64_t tiles = (count + V::rows - 1) / V::rows;
    return tile_stride<V> * key_block / V::width + tiles * V::rows * (2 * dim + 2);
}

template <class V>
void attend(const inter2former::PackedKeys& keys, const inter2former::Rows& queries,
            const float* cos, const float* sin, float scale, float* out, int64_t out_stride,
            float* log_sums, int64_t log_stride, float* scratch) {
    constexpr int width = V::width, rows = V::rows;
    const int64_t tiles = (queries.count + rows - 1) / rows;
    const int64_t dim = keys.dim, tile_floats = rows * dim;
    float* logits = scratch;
    float* tile = logits + tile_stride<V> * key_block / width;  // queries
    float* sums = tile + tiles * tile_floats;                   // (tile, panel, row, 2 W)
    float* largest = sums + tiles * tile_floats;
    float* totals = largest + tiles * rows;

    for (int64_t i = 0; i < tiles * tile_floats; ++i) tile[i] = sums[i] = 0.0f;
    for (int64_t i = 0; i < tiles * rows; ++i) largest[i] = -1e30f, totals[i] = 0.0f;
    const int64_t half = queries.dim / 2;
    for (int64_t i = 0; i < queries.count; ++i) {
        const float* q = queries.from + queries.tokens[i] * queries.stride;
        const float* c = cos + queries.tokens[i] * half;
        const float* s = sin + queries.tokens[i] * half;
        float* to = tile + i / rows * tile_floats + i % rows * width;
        for (int64_t k = 0; k < half; ++k) {
            const int64_t l = k + half;
            to[k / width * tile_stride<V> + k % width] = scale * (q[k] * c[k] - q[l] * s[k]);
            to[l / width * tile_stride<V> + l % width] = scale * (q[l] * c[k] + q[k] * s[k]);
        }
    }

    for (int64_t first = 0; first < keys.count; first += key_block) {
        const int64_t left = rounded_up(keys.count - first, 2 * width);
        const int64_t block = left < key_block ? left : key_block;
        for (int64_t t = 0; t < tiles; ++t) {
            V top[rows];
            for (int row = 0; row < rows; ++row) top[row] = V::broadcast(-1e30f);
            for (int64_t key = 0; key < block; key += 2 * width) {
                Sums<V> s;
                clear<V>(s);
                multiply_onto<V>(tile + t * tile_floats, keys.keys + (first + key) * dim,
                                 dim / width, s);
                float* to = logits + key / width * tile_stride<V>;
                for (int row = 0; row < rows; ++row) {
                    s[row][0].store(to + row * width);
                    s[row][1].store(to + tile_stride<V> + row * width);
                }
                const int64_t valid = keys.count - first - key;
                if (valid < 2 * width) {  // keys that are padding
                    for (int row = 0; row < rows; ++row) {
                        for (int64_t lane = valid; lane < 2 * width; ++lane) {
                            to[lane / width * tile_stride<V> + row * width + lane % width] = -1e30f;
                        }
                        s[row][0] = V::load(to + row * width);
                        s[row][1] = V::load(to + tile_stride<V> + row * width);
                    }
                }
                for (int row = 0; row < rows; ++row) {
                    top[row] = V::maximum(top[row], V::maximum(s[row][0], s[row][1]));
                }
            }
            float corrections[rows];
            for (int row = 0; row < rows; ++row) {
                float& old = largest[t * rows + row];
                const float found = largest_lane(top[row]);
                const float now = found > old ? found : old;
                corrections[row] = exp2f(old - now);
                old = now;
                const V shift = V::broadcast(now);
                V total = V::broadcast(0.0f);
                float* at = logits + row * width;
                for (int64_t v = 0; v < block / width; ++v, at += tile_stride<V>) {
                    const V weight = power_of_two<V>(V::load(at) - shift);
                    total = total + weight;
                    weight.store(at);
                }
                float& sum = totals[t * rows + row];
                sum = sum * corrections[row] + sum_of_lanes(total);
            }
            for (int64_t panel = 0; panel < dim; panel += 2 * width) {
                float* to = sums + t * tile_floats + panel * rows;
                Sums<V> s;
                for (int row = 0; row < rows; ++row) {
                    const V correction = V::broadcast(corrections[row]);
                    s[row][0] = V::load(to + row * 2 * width) * correction;
                    s[row][1] = V::load(to + row * 2 * width + width) * correction;
                }
                multiply_onto<V>(logits, keys.values + panel * keys.padded + first * 2 * width,
                                 block / width, s);
                for (int row = 0; row < rows; ++row) {
                    s[row][0].store(to + row * 2 * width);
                    s[row][1].store(to + row * 2 * width + width);
                }
            }
        }
    }
    for (int64_t i = 0; i < queries.count; ++i) {
        const float share = 1.0f / totals[i];
        if (log_sums) log_sums[queries.tokens[i] * log_stride] = largest[i] + log2f(totals[i]);
        const float* from = sums + i / rows * tile_floats + i % rows * 2 * width;
        float* to = out + queries.tokens[i] * out_stride;
        for (int64_t k = 0; k < queries.dim; ++k) {
            to[k] = share * from[k / (2 * width) * rows * 2 * width + k % (2 * width)];
        }
    }
}

// ---- attention to quantised keys ----

template <class V>
int64_t codes_scratch(int64_t bits, int64_t dim) {
    return V::rows * ((int64_t(1) << bits) + dim);
}

// One query by the plain formula, where no code with keys has a weight that fits a float.
template <class V>
void attend_far_codes(const inter2former::PackedCodes& codes, const float* differences, float* out,
                      int64_t dim) {
    const int64_t size = int64_t(1) << codes.bits;
    float largest = -INFINITY;
    const auto logit = [&](int64_t code) {
        float sum = 0.0f;
        for (int64_t bit = 0; bit < codes.bits; ++bit) {
            if (code >> bit & 1) sum += differences[bit];
        }
        return sum;
    };
    for (int64_t code = 0; code < size; ++code) {
        if (codes.counts[code] > 0 && logit(code) > largest) largest = logit(code);
    }
    for (int64_t k = 0; k < dim; ++k) out[k] = 0.0f;
    float total = 0.0f;
    for (int64_t code = 0; code < size; ++code) {
        if (codes.counts[code] == 0) continue;
        const float weight = exp2f(logit(code) - largest);
        total += weight * codes.counts[code];
        for (int64_t k = 0; k < dim; ++k) {
            const int64_t panel = 2 * V::width;
            out[k] += weight * codes.sums[(k / panel * size + code) * panel + k % panel];
        }
    }
    for (int64_t k = 0; k < dim; ++k) out[k] /= total;
}

template <class V>
void attend_codes(const inter2former::PackedCodes& codes, const inter2former::Rows& queries,
                  float* out, int64_t out_stride, float* scratch) {
    constexpr int width = V::width, rows = V::rows;
    const int64_t size = int64_t(1) << codes.bits, dim = codes.dim;
    float* weights = scratch;  // a tile of `size` features
    float* tile = weights + rows * size;
    for (int64_t i = 0; i < rows * dim; ++i) tile[i] = 0.0f;
    for (int64_t start = 0; start < queries.count; start += rows) {
        const int64_t left = queries.count - start;
        const int64_t count = left < rows ? left : rows;
        for (int64_t i = 0; i < count; ++i) {
            load_row<V>(queries.from + queries.tokens[start + i] * queries.stride, queries.dim,
                        tile + i * width, tile_stride<V>);
        }
        Sums<V> s;
        clear<V>(s);
        multiply_onto<V>(tile, codes.difference, dim / width, s);
        float shares[rows];
        float differences[rows][2 * width];
        for (int row = 0; row < rows; ++row) {
            // Weights of a bit that is not set and of one that is; the larger of them is 1.
            float unset[2 * width], set[2 * width];
            const V zero = V::broadcast(0.0f);
            for (int side = 0; side < 2; ++side) {
                const V positive = V::maximum(s[row][side], zero);
                s[row][side].store(differences[row] + side * width);
                power_of_two<V>(zero - positive).store(unset + side * width);
                power_of_two<V>(s[row][side] - positive).store(set + side * width);
            }
            float first[width];
            first[0] = 1.0f;
            int64_t bit = 0;
            for (int64_t n = 1; n < width; n *= 2, ++bit) {
                for (int64_t j = 0; j < n; ++j) {
                    first[n + j] = first[j] * set[bit];
                    first[j] *= unset[bit];
                }
            }
            float* at = weights + row * width;
            V::load(first).store(at);
            for (int64_t n = 1; bit < codes.bits; n *= 2, ++bit) {
                const V one = V::broadcast(set[bit]), other = V::broadcast(unset[bit]);
                for (int64_t j = 0; j < n; ++j) {
                    const V weight = V::load(at + j * tile_stride<V>);
                    (weight * one).store(at + (n + j) * tile_stride<V>);
                    (weight * other).store(at + j * tile_stride<V>);
                }
            }
            V total = zero;
            for (int64_t v = 0; v < size / width; ++v) {
                total = V::multiply_add(V::load(at + v * tile_stride<V>),
                                        V::load(codes.counts + v * width), total);
            }
            shares[row] = sum_of_lanes(total);
        }
        for (int64_t panel = 0; panel < dim; panel += 2 * width) {
            clear<V>(s);
            multiply_onto<V>(weights, codes.sums + panel * size, size / width, s);
            for (int64_t i = 0; i < count; ++i) {
                float part[2 * width];
                const V share = V::broadcast(1.0f / shares[i]);
                (s[i][0] * share).store(part);
                (s[i][1] * share).store(part + width);
                float* to = out + queries.tokens[start + i] * out_stride + panel;
                const int64_t rest = queries.dim - panel;
                for (int64_t k = 0; k < (rest < 2 * width ? rest : 2 * width); ++k) to[k] = part[k];
            }
        }
        for (int64_t i = 0; i < count; ++i) {
            if (shares[i] < 1e-30f) {
                attend_far_codes<V>(codes, differences[i],
                                    out + queries.tokens[start + i] * out_stride, queries.dim);
            }
        }
    }
}

template <class V>
void find_codes(const inter2former::Rows& keys, const float* panel, int64_t bits, uint16_t* codes,
                float* scratch) {
    constexpr int width = V::width, rows = V::rows;
    const int64_t dim = rounded_up(keys.dim, width);
    for (int64_t i = 0; i < rows * dim; ++i) scratch[i] = 0.0f;
    for (int64_t start = 0; start < keys.count; start += rows) {
        const int64_t left = keys.count - start;
        const int64_t count = left < rows ? left : rows;
        for (int64_t i = 0; i < count; ++i) {
            load_row<V>(keys.from + keys.tokens[start + i] * keys.stride, keys.dim,
                        scratch + i * width, tile_stride<V>);
        }
        Sums<V> s;
        clear<V>(s);
        multiply_onto<V>(scratch, panel, dim / width, s);
        for (int64_t i = 0; i < count; ++i) {
            float products[2 * width];
            s[i][0].store(products);
            s[i][1].store(products + width);
            unsigned code = 0;
            for (int64_t bit = 0; bit < bits; ++bit) code |= (products[bit] > 0) << bit;
            codes[start + i] = static_cast<uint16_t>(code);
        }
    }
}

}  // namespace
