// Grouped experts of HMoE (Inter2Former, section 3.6): all experts' tokens in one call.
#pragma once

#include <cstdint>

#include "experts_kernel.hpp"
#include "packing.hpp"

namespace inter2former {

// The weights of all experts of one layer, packed once for one instruction set. Immutable, so any
// number of threads may use it at the same time.
class PackedExperts {
public:
    // Row-major float32: gate_up (experts, 2 hidden, width), first the gate rows; norm_weight and
    // norm_bias (experts, hidden); down (experts, width, hidden). All sizes are at least 1.
    PackedExperts(const ExpertsKernel& kernel, int64_t experts, int64_t width, int64_t hidden,
                  const float* gate_up, const float* norm_weight, const float* norm_bias,
                  const float* down);

    // y[t] = expert index[t] of x[t] for `tokens` tokens; x and y are (tokens, width), row-major.
    // Throws std::invalid_argument when an index lies outside [0, experts).
    void run(const float* x, const int64_t* index, int64_t tokens, float* y, int threads) const;

    // y[tokens[i]] += scale[i] * expert index[i] of x[tokens[i]] for `count` tokens out of `rows`; the
    // LayerNorm `norm`, if any, is applied to x first. Throws std::invalid_argument when an index is
    // out of range or the tokens do not ascend.
    void add(const float* x, const InputNorm* norm, int64_t rows, const int64_t* tokens,
             const int64_t* index, const float* scale, int64_t count, float* y, int threads) const;

    const ExpertsKernel& kernel() const { return kernel_; }
    int64_t experts() const { return experts_; }
    int64_t width() const { return width_; }
    int64_t hidden() const { return hidden_; }
    int64_t bytes() const { return experts_ * expert_floats_ * static_cast<int64_t>(sizeof(float)); }

    ExpertWeights expert(int64_t number) const;

private:
    void run_sorted(Block all, const int64_t* index, int threads) const;

    const ExpertsKernel& kernel_;
    int64_t experts_, width_, hidden_;
    int64_t gate_up_floats_, norm_floats_, down_floats_, expert_floats_;
    Floats weights_;
};

// Rows of work for a thread at a time: tall blocks read the weights less often, but there must be
// enough of them to occupy every thread. (Results do not depend on it.)
int64_t block_rows(const ExpertsKernel& kernel, int64_t tokens, int threads);

}  // namespace inter2former
