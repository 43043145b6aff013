// Linear layers, packed.
#pragma once

#include <cstdint>

#include "click_kernel.hpp"
#include "packing.hpp"

namespace inter2former {

// A linear layer, packed, perhaps with the LayerNorm before it.
class PackedLinear {
public:
    // weight: (outputs, inputs); bias: (outputs); norms: (inputs), or null.
    PackedLinear(const ClickKernel& kernel, int64_t outputs, int64_t inputs, const float* weight,
                 const float* bias, const float* norm_weight, const float* norm_bias);

    // x: (count, inputs); residual: (count, outputs) or null, may be `out`.
    void run(const float* x, int64_t count, const float* residual, float* out, int threads) const;

    int64_t outputs() const { return outputs_; }
    int64_t inputs() const { return inputs_; }

private:
    const ClickKernel& kernel_;
    int64_t outputs_, inputs_;
    Floats weights_, bias_, norm_weight_, norm_bias_;
};

}  // namespace inter2former
