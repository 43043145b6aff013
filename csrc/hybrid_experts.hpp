// A whole layer of HMoE (Inter2Former, section 3.6): LayerNorm, shared expert, choice of the routed
// experts, and those.
#pragma once

#include <cstdint>

#include "experts.hpp"

namespace inter2former {

// The weights of a layer, packed once. Immutable, so any number of threads may use it.
class PackedHybridExperts {
public:
    // Of `experts`, the last one is the shared expert; there is at least one other. Row-major float32:
    // norm_weight and norm_bias (width,) of the input's LayerNorm; centroids (experts, width); bias
    // (experts - 1,) of the choice.
    PackedHybridExperts(PackedExperts experts, const float* norm_weight, const float* norm_bias,
                        const float* centroids, const float* bias);

    // y[t] = update of x[t], with x[t] added if `residual`; for `tokens` tokens of (tokens, width).
    void run(const float* x, const bool* edge, int64_t tokens, bool residual, float* y,
             int threads) const;

    const PackedExperts& experts() const { return experts_; }

private:
    PackedExperts experts_;
    Floats norm_weight_, norm_bias_, centroids_, bias_;
};

}  // namespace inter2former
