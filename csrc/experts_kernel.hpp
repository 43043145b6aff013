// What one instruction set offers for the experts of HMoE (Inter2Former, section 3.6).
#pragma once

#include <cstddef>
#include <cstdint>

namespace inter2former {

// Weights of one expert, packed for a vector of W floats. Widths are padded with zeros: `inputs` and
// `hidden_padded` to a multiple of W, the output width to a multiple of 2 W.
//   gate_up: panels of W hidden features: for every input feature, W gate weights then W up weights
//   down:    panels of 2 W output features: for every hidden feature, 2 W weights
struct ExpertWeights {
    const float* gate_up;
    const float* norm_weight;
    const float* norm_bias;
    const float* down;
    int64_t width;   // input and output features
    int64_t hidden;  // hidden features
};

// LayerNorm of the layer's input: weight and bias padded with zeros to a multiple of W.
struct InputNorm {
    const float* weight;
    const float* bias;
};

// Scores of the experts, the shared one's last (Eq. 16): panels of 2 W centroids, packed like `down`.
struct Router {
    const float* centroids;
    const float* bias;  // of each routed expert, for the choice only
    int64_t routed;     // number of routed experts
};

// The tokens of one block of work and what becomes of their results: row t of y is set to
// base[t] + scale[i] * expert(x[t]) for t = tokens[i]. x, base and y have rows of `width` floats.
struct Block {
    const float* x;
    const InputNorm* norm;  // applied to x first; may be null
    const int64_t* tokens;
    int64_t count;
    const float* scale;  // null: 1
    const float* base;   // null: 0; may be y
    float* y;
};

// What is chosen for the edge tokens: expert[t] and its share[t], set where edge[t] for t in a block.
struct Routing {
    const bool* edge;
    int64_t* expert;
    float* share;
};

struct ExpertsKernel {
    const char* name;
    int vector_width;  // W above
    int tile_rows;     // tokens that one register tile holds

    // Both take scratch_floats(...) floats to work in.
    void (*run)(const ExpertWeights& weights, const Block& block, float* scratch);
    // The shared expert, with what every token of the block needs besides: the choice of a routed
    // expert (Eq. 17, 18). Results are scaled by what the routed expert's share leaves.
    void (*run_shared)(const ExpertWeights& weights, const Router& router, const Block& block,
                       const Routing& routing, float* scratch);

    int64_t padded(int64_t n) const { return (n + vector_width - 1) / vector_width * vector_width; }
    int64_t padded_output(int64_t n) const {
        const int64_t panel = 2 * static_cast<int64_t>(vector_width);
        return (n + panel - 1) / panel * panel;
    }
    // `centroids` is 0 for `run`.
    int64_t scratch_floats(int64_t width, int64_t hidden, int64_t centroids, int64_t count) const {
        const int64_t rows = (count + tile_rows - 1) / tile_rows * tile_rows;
        return rows * (padded(width) + padded(hidden)) + tile_rows * padded_output(centroids) + rows;
    }
};

// One file per instruction set; null where this build has none of it.
const ExpertsKernel* portable_experts_kernel();
const ExpertsKernel* avx2_experts_kernel();
const ExpertsKernel* avx512_experts_kernel();

}  // namespace inter2former
