// Steps of Dynamic Local Upsampling (Inter2Former, 3.7). The plain twin is in model/upsampling.py.
#pragma once

#include <cstdint>

#include "click_kernel.hpp"
#include "packing.hpp"

namespace inter2former {

// A step of upsampling, packed: LayerNorm, x 2, 3 x 3 convolution.
class PackedStep {
public:
    // weight: (outputs, channels, 3, 3); norms: (channels).
    PackedStep(const ClickKernel& kernel, int64_t outputs, int64_t channels, const float* weight,
               const float* norm_weight, const float* norm_bias);

    // `rows` has the inputs and outputs; the packed weights and the kernel's own are filled in.
    void run(StepRows rows, int threads) const;

    int64_t outputs() const { return outputs_; }
    int64_t channels() const { return channels_; }

private:
    const ClickKernel& kernel_;
    int64_t outputs_, channels_;
    Floats weights_, norm_weight_, norm_bias_;
};

}  // namespace inter2former
