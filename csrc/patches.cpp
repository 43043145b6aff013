#include "patches.hpp"

#include <algorithm>

#include "thread_pool.hpp"

namespace inter2former {

PackedPatches::PackedPatches(const ClickKernel& kernel, int64_t outputs, int64_t channels,
                             const float* norm_weight, const float* norm_bias)
    : kernel_(kernel), outputs_(outputs), channels_(channels) {
    if (norm_weight != nullptr) {
        const int64_t padded = whole(channels, kernel.vector_width);
        norm_weight_ = padded_copy(norm_weight, channels, padded);
        norm_bias_ = padded_copy(norm_bias, channels, padded);
    }
}

template <class Value>
void PackedPatches::pack(const float* bias, Value value) {
    const int64_t width = kernel_.vector_width, lanes = 2 * width;
    const int64_t step = norm_weight_.empty() ? channels_ : whole(channels_, width);
    const int64_t across = whole(side_ * step, width), features = side_ * across;
    const int64_t all = outputs_ * block_ * block_;
    weights_.assign(unsigned_size(kernel_.padded(all) * features), 0.0f);
    bias_.assign(unsigned_size(kernel_.padded(all)), 0.0f);
    for (int64_t output = 0; output < all; ++output) {
        const int64_t pixel = output / outputs_, channel = output % outputs_;
        if (bias != nullptr) bias_[unsigned_size(output)] = bias[channel];
        float* panel = weights_.data() + output / lanes * lanes * features + output % lanes;
        for (int64_t row = 0; row < side_; ++row) {
            for (int64_t column = 0; column < side_; ++column) {
                for (int64_t input = 0; input < channels_; ++input) {
                    panel[(row * across + column * step + input) * lanes] =
                        value(pixel / block_, pixel % block_, channel, row, column, input);
                }
            }
        }
    }
}

PackedPatches PackedPatches::convolution(const ClickKernel& kernel, int64_t outputs,
                                         int64_t channels, const float* weight, const float* bias,
                                         const float* norm_weight, const float* norm_bias,
                                         int64_t stride, bool activate_input) {
    PackedPatches packed(kernel, outputs, channels, norm_weight, norm_bias);
    packed.stride_ = packed.step_ = stride;
    packed.activate_input_ = activate_input;
    if (outputs == 1 && stride == 1) {  // fill the lanes with pixels
        packed.block_ = packed.step_ = 4;
        packed.side_ = 6;
    }
    packed.pack(bias, [=](int64_t down, int64_t across, int64_t output, int64_t row,
                          int64_t column, int64_t input) {
        const int64_t y = row - down, x = column - across;
        const bool inside = y >= 0 && y < 3 && x >= 0 && x < 3;
        return inside ? weight[((output * channels + input) * 3 + y) * 3 + x] : 0.0f;
    });
    return packed;
}

PackedPatches PackedPatches::upsampling(const ClickKernel& kernel, int64_t channels,
                                        const float* weight, const float* norm_weight,
                                        const float* norm_bias) {
    PackedPatches packed(kernel, 1, channels, norm_weight, norm_bias);
    packed.step_ = 2, packed.offset_ = 0, packed.block_ = 4, packed.shift_ = 1;
    packed.pack(nullptr, [=](int64_t down, int64_t across, int64_t, int64_t row, int64_t column,
                             int64_t input) {
        // Which taps fall on this input: tap t of the output at position p is on (p + t) / 2.
        float sum = 0.0f;
        for (int64_t y = 0; y < 3; ++y) {
            for (int64_t x = 0; x < 3; ++x) {
                if ((down + y) / 2 == row && (across + x) / 2 == column) {
                    sum += weight[(input * 3 + y) * 3 + x];
                }
            }
        }
        return sum;
    });
    return packed;
}

void PackedPatches::run(PatchRows rows, int threads) const {
    rows.channels = channels_;
    rows.norm_weight = norm_weight_.empty() ? nullptr : norm_weight_.data();
    rows.norm_bias = norm_bias_.data();
    rows.activate_input = activate_input_;
    rows.side = side_, rows.step = step_, rows.offset = offset_;
    rows.block = block_, rows.shift = shift_;
    rows.weights = weights_.data(), rows.bias = bias_.data();
    rows.outputs = outputs_ * block_ * block_;
    // From the patch before the first output on: positions are not negative.
    const auto patch = [this](int64_t output) { return (output - shift_ + block_) / block_ - 1; };
    rows.left = patch(rows.output.left), rows.right = patch(rows.output.right - 1) + 1;
    const int64_t first = patch(rows.output.top), last = patch(rows.output.bottom - 1) + 1;
    const int64_t some = std::max<int64_t>(
        1, std::min<int64_t>(8, (last - first) / (4 * static_cast<int64_t>(threads))));
    parallel_for(threads, divided_up(last - first, some), [&, this](int64_t task) {
        PatchRows part = rows;
        part.first = first + task * some;
        part.last = std::min(part.first + some, last);
        kernel_.patches(part, scratch(kernel_.patch_scratch(part)));
    });
}

}  // namespace inter2former
