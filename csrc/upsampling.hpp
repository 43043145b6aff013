// Dynamic Local Upsampling (Inter2Former, 3.7). The plain twin is in model/upsampling.py.
#pragma once

#include <cstdint>
#include <vector>

#include "click_kernel.hpp"
#include "packing.hpp"
#include "patches.hpp"
#include "prompt_field.hpp"

namespace inter2former {

// A step of upsampling with several outputs, packed: LayerNorm, x 2, 3 x 3 convolution.
class PackedStep {
public:
    // weight: (outputs, channels, 3, 3); norms: (channels).
    PackedStep(const ClickKernel& kernel, int64_t outputs, int64_t channels, const float* weight,
               const float* norm_weight, const float* norm_bias);

    // `blocks` has inputs and outputs; the packed weights and which blocks are filled in.
    void run(StepBlocks blocks, int threads) const;

    int64_t outputs() const { return outputs_; }
    int64_t channels() const { return channels_; }

private:
    const ClickKernel& kernel_;
    int64_t outputs_, channels_;
    Floats weights_, norm_weight_, norm_bias_;
};

// All four steps, the last one with a single output.
class PackedUpsampling {
public:
    PackedUpsampling(std::vector<PackedStep> steps, PackedPatches last);

    // x: tokens (height, width, channels); box: of tokens; edges: terms at strides 8, 4, 2, 1 for the
    // whole image; field: has the prompts' terms for the box and a token around it, or is null;
    // out: logits of the box's pixels.
    void run(const float* x, int64_t height, int64_t width, const float* const* edges,
             const PromptField* field, const Region& box, float* out, int threads) const;

    const std::vector<PackedStep>& steps() const { return steps_; }
    const PackedPatches& last() const { return last_; }

private:
    std::vector<PackedStep> steps_;
    PackedPatches last_;
};

}  // namespace inter2former
