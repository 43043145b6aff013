// The expert computation, written once over a vector type; see tile_multiply.hpp.
//
// A row's arithmetic is the same whatever rows share its tile: results depend neither on the
// neighbours of a token nor on how the tokens were divided over threads.
#pragma once

#include <math.h>

#include <cstdint>

#include "experts_kernel.hpp"
#include "tile_multiply.hpp"

namespace {

using inter2former::Block;
using inter2former::ExpertWeights;
using inter2former::Router;
using inter2former::Routing;

template <class V>
inline V sigmoid(V x) {
    const V zero = V::broadcast(0.0f), exponent = V::broadcast(1.44269504088896341f);
    const V positive = V::maximum(zero, x), negative = V::minimum(zero, x);
    return power_of_two<V>(negative * exponent) /
           (V::broadcast(1.0f) + power_of_two<V>((negative - positive) * exponent));
}

// What is computed from one tile and one panel of weights, for a number of rows known when compiling.

// A panel of hidden features: its gate and up products, then SwiGLU.
template <class V>
struct HiddenPanel {
    const float* tile;
    const float* panel;
    int64_t vectors;
    float* to;

    template <int rows>
    void run() const {
        V sums[rows][2];
        clear<V, rows>(sums);
        multiply_onto<V, rows>(tile, panel, vectors, sums);
        for (int row = 0; row < rows; ++row) {
            (silu<V>(sums[row][0]) * sums[row][1]).store(to + row * V::width);  // SwiGLU
        }
    }
};

// A panel of experts' scores (Eq. 16), a row of `stride` floats for each token.
template <class V>
struct ScorePanel {
    const float* tile;
    const float* panel;
    int64_t vectors;
    float* to;
    int64_t stride;

    template <int rows>
    void run() const {
        V sums[rows][2];
        clear<V, rows>(sums);
        multiply_onto<V, rows>(tile, panel, vectors, sums);
        for (int row = 0; row < rows; ++row) {
            sigmoid(sums[row][0]).store(to + row * stride);
            sigmoid(sums[row][1]).store(to + row * stride + V::width);
        }
    }
};

// A panel of output features, scaled, added to the base and stored in the tokens' own rows of y.
template <class V>
struct OutputPanel {
    const float* tile;
    const float* panel;
    int64_t vectors;
    const int64_t* tokens;
    const float* scale;
    const float* base;
    float* y;
    int64_t stride;   // of base and y
    int64_t columns;  // that are left

    template <int rows>
    void run() const {
        constexpr int width = V::width;
        V sums[rows][2];
        clear<V, rows>(sums);
        multiply_onto<V, rows>(tile, panel, vectors, sums);
        for (int row = 0; row < rows; ++row) {
            const V factor = V::broadcast(scale == nullptr ? 1.0f : scale[row]);
            const int64_t at = tokens[row] * stride;
            if (columns >= 2 * width) {
                store(sums[row], factor, base == nullptr ? nullptr : base + at, y + at);
                continue;
            }
            float part[2 * width] = {};
            if (base != nullptr) {
                for (int64_t i = 0; i < columns; ++i) part[i] = base[at + i];
            }
            store(sums[row], factor, base == nullptr ? nullptr : part, part);
            for (int64_t i = 0; i < columns; ++i) y[at + i] = part[i];
        }
    }

    static void store(const V (&sums)[2], V factor, const float* from, float* to) {
        for (int i = 0; i < 2; ++i, to += V::width) {
            if (from == nullptr) {
                (sums[i] * factor).store(to);
            } else {
                V::multiply_add(sums[i], factor, V::load(from + i * V::width)).store(to);
            }
        }
    }
};

// Runs a panel for a number of rows known at run time, 1 to V::rows.
template <class V, class Panel, int rows = V::rows>
inline void run_panel(const Panel& panel, int64_t wanted) {
    if constexpr (rows > 1) {
        if (wanted < rows) return run_panel<V, Panel, rows - 1>(panel, wanted);
    }
    panel.template run<rows>();
}

// How the tokens of a block are divided into tiles, and where those lie in the scratch memory.
template <class V>
struct Tiles {
    int64_t count;  // of tiles
    int64_t tokens;
    int64_t input_vectors, hidden_vectors;
    float* inputs;
    float* hiddens;
    float* rest;  // what is left of the scratch memory

    Tiles(const ExpertWeights& weights, int64_t tokens_, float* scratch)
        : count((tokens_ + V::rows - 1) / V::rows),
          tokens(tokens_),
          input_vectors((weights.width + V::width - 1) / V::width),
          hidden_vectors((weights.hidden + V::width - 1) / V::width),
          inputs(scratch),
          hiddens(inputs + count * input_vectors * tile_stride<V>),
          rest(hiddens + count * hidden_vectors * tile_stride<V>) {}

    // Tiles of nearly equal height: 13 tokens become 5 + 4 + 4, not 6 + 6 + 1.
    int64_t first(int64_t tile) const { return tile * tokens / count; }
    int64_t rows(int64_t tile) const { return first(tile + 1) - first(tile); }
    float* input(int64_t tile) const { return inputs + tile * input_vectors * tile_stride<V>; }
    float* hidden(int64_t tile) const { return hiddens + tile * hidden_vectors * tile_stride<V>; }
};

template <class V>
void gather(const Tiles<V>& tiles, const Block& block, int64_t features) {
    for (int64_t tile = 0; tile < tiles.count; ++tile) {
        for (int64_t row = 0; row < tiles.rows(tile); ++row) {
            const int64_t token = block.tokens[tiles.first(tile) + row];
            load_row<V>(block.x + token * features, features, tiles.input(tile) + row * V::width,
                        tile_stride<V>);
        }
        if (block.norm != nullptr) {
            normalise_rows<V>(tiles.input(tile), tiles.rows(tile), V::width, features,
                              tile_stride<V>, block.norm->weight, block.norm->bias);
        }
    }
}

// The expert on gathered tokens.
template <class V>
void apply(const Tiles<V>& tiles, const ExpertWeights& weights, const Block& block) {
    constexpr int width = V::width;
    // The tokens' rows of y lie anywhere; they are fetched a part at a time while there is much to do.
    const int64_t part = (weights.width + tiles.hidden_vectors - 1) / tiles.hidden_vectors;
    // Panels outside, tiles inside: a panel stays in the first-level cache for all tiles.
    for (int64_t panel = 0; panel < tiles.hidden_vectors; ++panel) {
        const float* packed = weights.gate_up + panel * tiles.input_vectors * width * 2 * width;
        for (int64_t tile = 0; tile < tiles.count; ++tile) {
            for (int64_t i = tiles.first(tile); i < tiles.first(tile + 1); ++i) {
                prefetch(block.y + block.tokens[i] * weights.width + panel * part, part);
            }
            const HiddenPanel<V> work{tiles.input(tile), packed, tiles.input_vectors,
                                      tiles.hidden(tile) + panel * tile_stride<V>};
            run_panel<V>(work, tiles.rows(tile));
        }
    }
    for (int64_t tile = 0; tile < tiles.count; ++tile) {
        normalise_rows<V>(tiles.hidden(tile), tiles.rows(tile), width, weights.hidden,
                          tile_stride<V>, weights.norm_weight, weights.norm_bias);
    }
    for (int64_t column = 0; column < weights.width; column += 2 * width) {
        const float* packed = weights.down + column * tiles.hidden_vectors * width;
        for (int64_t tile = 0; tile < tiles.count; ++tile) {
            const int64_t first = tiles.first(tile);
            const OutputPanel<V> work{tiles.hidden(tile),
                                      packed,
                                      tiles.hidden_vectors,
                                      block.tokens + first,
                                      block.scale == nullptr ? nullptr : block.scale + first,
                                      block.base == nullptr ? nullptr : block.base + column,
                                      block.y + column,
                                      weights.width,
                                      weights.width - column};
            run_panel<V>(work, tiles.rows(tile));
        }
    }
}

// Chooses the routed expert of each edge token of one tile (Eq. 16 to 18); sets every token's `scale`
// to the shared expert's share.
template <class V>
void route(const Tiles<V>& tiles, int64_t tile, const Router& router, const Block& block,
           const Routing& routing, float* scores, float* scale) {
    constexpr int width = V::width;
    const int64_t* tokens = block.tokens + tiles.first(tile);
    const int64_t stride = (router.routed + 1 + 2 * width - 1) / (2 * width) * 2 * width;
    bool any = false;
    for (int64_t row = 0; row < tiles.rows(tile); ++row) {
        scale[row] = 1.0f;
        any = any || routing.edge[tokens[row]];
    }
    if (!any) return;
    for (int64_t column = 0; column <= router.routed; column += 2 * width) {
        const ScorePanel<V> work{tiles.input(tile),
                                 router.centroids + column * tiles.input_vectors * width,
                                 tiles.input_vectors, scores + column, stride};
        run_panel<V>(work, tiles.rows(tile));
    }
    for (int64_t row = 0; row < tiles.rows(tile); ++row, scores += stride) {
        const int64_t token = tokens[row];
        if (!routing.edge[token]) continue;
        int64_t best = 0;
        for (int64_t e = 1; e < router.routed; ++e) {
            if (scores[e] + router.bias[e] > scores[best] + router.bias[best]) best = e;
        }
        routing.expert[token] = best;
        // Softmax over two scores is the sigmoid of their difference.
        const float share = 1.0f / (1.0f + expf(scores[router.routed] - scores[best]));
        routing.share[token] = share;
        scale[row] = 1.0f - share;
    }
}

template <class V>
void run_expert(const ExpertWeights& weights, const Block& block, float* scratch) {
    const Tiles<V> tiles(weights, block.count, scratch);
    gather<V>(tiles, block, weights.width);
    apply<V>(tiles, weights, block);
}

template <class V>
void run_shared_expert(const ExpertWeights& weights, const Router& router, const Block& block,
                       const Routing& routing, float* scratch) {
    const Tiles<V> tiles(weights, block.count, scratch);
    float* scale = tiles.rest;
    float* scores = scale + tiles.count * V::rows;
    gather<V>(tiles, block, weights.width);
    for (int64_t tile = 0; tile < tiles.count; ++tile) {
        route<V>(tiles, tile, router, block, routing, scores, scale + tiles.first(tile));
    }
    Block scaled = block;
    scaled.scale = scale;
    apply<V>(tiles, weights, scaled);
}

template <class V>
const inter2former::ExpertsKernel* experts_kernel() {
    static constexpr inter2former::ExpertsKernel kernel{V::name, V::width, V::rows, run_expert<V>,
                                                        run_shared_expert<V>};
    return &kernel;
}

}  // namespace
