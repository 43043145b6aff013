// What one instruction set offers for the grouped experts of HMoE (Inter2Former, section 3.6).
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

struct ExpertsKernel {
    const char* name;
    int vector_width;  // W above
    int tile_rows;     // tokens that one register tile holds

    // Sets y[t] = expert(x[t]) for the `count` token numbers t in `tokens`; x and y have rows of
    // `width` floats. `scratch` holds scratch_floats(width, hidden, count) floats.
    void (*run)(const ExpertWeights& weights, const float* x, const int64_t* tokens, int64_t count,
                float* y, float* scratch);

    int64_t padded(int64_t n) const { return (n + vector_width - 1) / vector_width * vector_width; }
    int64_t padded_output(int64_t n) const {
        const int64_t panel = 2 * static_cast<int64_t>(vector_width);
        return (n + panel - 1) / panel * panel;
    }
    int64_t scratch_floats(int64_t width, int64_t hidden, int64_t count) const {
        const int64_t tiles = (count + tile_rows - 1) / tile_rows;
        return tiles * tile_rows * (padded(width) + padded(hidden));
    }
};

// One file per instruction set; null where this build has none of it.
const ExpertsKernel* portable_experts_kernel();
const ExpertsKernel* avx2_experts_kernel();
const ExpertsKernel* avx512_experts_kernel();

}  // namespace inter2former
