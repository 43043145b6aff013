// Convolutions of whole regions, packed, with norm and activation before them.
#pragma once

#include <cstdint>

#include "click_kernel.hpp"
#include "packing.hpp"

namespace inter2former {

// LayerNorm over channels and SiLU, where asked for, then a 3 x 3 convolution.
class PackedPatches {
public:
    // A convolution with zeros around the image. weight: (outputs, channels, 3, 3); bias: (outputs),
    // or null; norms: (channels), or null; stride: 1 or 2.
    static PackedPatches convolution(const ClickKernel& kernel, int64_t outputs, int64_t channels,
                                     const float* weight, const float* bias,
                                     const float* norm_weight, const float* norm_bias,
                                     int64_t stride, bool activate_input);
    // One of a single output on an image upsampled by 2 (nearest neighbour). weight: (channels, 3, 3).
    static PackedPatches upsampling(const ClickKernel& kernel, int64_t channels,
                                    const float* weight, const float* norm_weight,
                                    const float* norm_bias);

    // `rows` has the inputs, the outputs and what is added; the rest is filled in.
    void run(PatchRows rows, int threads) const;

    int64_t channels() const { return channels_; }
    int64_t outputs() const { return outputs_; }  // channels
    int64_t stride() const { return stride_; }

private:
    PackedPatches(const ClickKernel& kernel, int64_t outputs, int64_t channels,
                  const float* norm_weight, const float* norm_bias);
    // Packs a weight for every (output, input) of a patch: value(pixel row, pixel column, channel,
    // row, column, input channel).
    template <class Value>
    void pack(const float* bias, Value value);

    const ClickKernel& kernel_;
    int64_t outputs_, channels_, stride_ = 1;
    int64_t side_ = 3, step_ = 1, offset_ = -1, block_ = 1, shift_ = 0;
    bool activate_input_ = false;
    Floats weights_, bias_, norm_weight_, norm_bias_;
};

}  // namespace inter2former
