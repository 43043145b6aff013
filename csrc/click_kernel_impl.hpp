// Attention and upsampling of a click, written once over a vector type. Included by one file per
// instruction set; nothing from the standard library is instantiated (see tile_multiply.hpp).
#pragma once

#include <math.h>

#include <cstdint>

#include "click_kernel.hpp"
#include "tile_multiply.hpp"

namespace {

using inter2former::key_block;

inline int64_t rounded_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Copies features into a row of a tile; what lies behind the last stays.
template <class V>
inline void load_row(const float* from, int64_t features, float* to) {
    int64_t k = 0;
    for (; k + V::width <= features; k += V::width, to += tile_stride<V>) {
        V::load(from + k).store(to);
    }
    for (int64_t lane = 0; k + lane < features; ++lane) to[lane] = from[k + lane];
}

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
                        tile + i * width);
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
                        scratch + i * width);
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

// ---- convolutions at chosen places ----

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
                load_row<V>(taps[tap], job.channels, scratch + tap * rows * padded + i * width);
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

// ---- a step of upsampling ----

// LayerNorm over the channels of one pixel; zeros behind the last channel.
template <class V>
inline void normalise_pixel(const float* x, int64_t channels, const float* weight,
                            const float* bias, float* to, int64_t padded) {
    constexpr int width = V::width;
    V total = V::broadcast(0.0f);
    int64_t k = 0;
    for (; k + width <= channels; k += width) total = total + V::load(x + k);
    float sum = sum_of_lanes(total);
    for (int64_t l = k; l < channels; ++l) sum += x[l];
    const float mean = sum / static_cast<float>(channels);
    const V centre = V::broadcast(mean);
    total = V::broadcast(0.0f);
    for (k = 0; k + width <= channels; k += width) {
        const V deviation = V::load(x + k) - centre;
        total = V::multiply_add(deviation, deviation, total);
    }
    sum = sum_of_lanes(total);
    for (int64_t l = k; l < channels; ++l) sum += (x[l] - mean) * (x[l] - mean);
    const float scale = 1.0f / sqrtf(sum / static_cast<float>(channels) + 1e-5f);
    const V factor = V::broadcast(scale);
    for (k = 0; k + width <= channels; k += width) {
        V::multiply_add((V::load(x + k) - centre) * factor, V::load(weight + k), V::load(bias + k))
            .store(to + k);
    }
    for (; k < channels; ++k) to[k] = (x[k] - mean) * scale * weight[k] + bias[k];
    for (; k < padded; ++k) to[k] = 0.0f;
}

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
            normalise_pixel<V>(from + j * step.channels, step.channels, step.norm_weight,
                               step.norm_bias, to + (j + 1) * padded, padded);
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

// ---- linear layers ----

template <class V>
int64_t linear_scratch(int64_t count, int64_t inputs) {
    const int64_t tiles = (count + V::rows - 1) / V::rows;
    return (tiles * V::rows + 1) * rounded_up(inputs, V::width);
}

template <class V>
void linear(const inter2former::LinearRows& job, float* scratch) {
    constexpr int width = V::width, rows = V::rows;
    const int64_t padded = rounded_up(job.inputs, width), size = rows * padded;
    const int64_t tiles = (job.count + rows - 1) / rows;
    float* normal = scratch + tiles * size;
    for (int64_t i = 0; i < tiles * size; ++i) scratch[i] = 0.0f;
    for (int64_t i = 0; i < job.count; ++i) {
        const float* from = job.x + i * job.inputs;
        if (job.norm_weight) {
            normalise_pixel<V>(from, job.inputs, job.norm_weight, job.norm_bias, normal, padded);
            from = normal;
        }
        load_row<V>(from, job.inputs, scratch + i / rows * size + i % rows * width);
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

template <class V>
const inter2former::ClickKernel* click_kernel() {
    static constexpr inter2former::ClickKernel kernel{
        V::width,         V::rows,       attend<V>,   attend_scratch<V>,   attend_codes<V>,
        codes_scratch<V>, find_codes<V>, upsample<V>, upsample_scratch<V>, convolve<V>,
        convolve_scratch<V>, linear<V>, linear_scratch<V>};
    return &kernel;
}

}  // namespace
