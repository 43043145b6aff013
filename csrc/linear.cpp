#include "linear.hpp"

#include <algorithm>

#include "thread_pool.hpp"

namespace inter2former {

PackedLinear::PackedLinear(const ClickKernel& kernel, int64_t outputs, int64_t inputs,
                           const float* weight, const float* bias, const float* norm_weight,
                           const float* norm_bias)
    : kernel_(kernel), outputs_(outputs), inputs_(inputs) {
    const int64_t width = kernel.vector_width, lanes = 2 * width;
    const int64_t padded = whole(inputs, width);
    weights_.assign(unsigned_size(kernel.padded(outputs) * padded), 0.0f);
    pack_panels(weight, outputs, inputs, padded, weights_.data(), lanes);
    bias_ = padded_copy(bias, outputs, kernel.padded(outputs));
    if (norm_weight) {
        norm_weight_ = padded_copy(norm_weight, inputs, padded);
        norm_bias_ = padded_copy(norm_bias, inputs, padded);
    }
}

void PackedLinear::run(const float* x, int64_t count, const float* residual, float* out,
                       int threads) const {
    // A few tiles at a time, so that they stay in the first-level cache with a panel of weights.
    const int64_t block = kernel_.tile_rows * 8;
    parallel_for(threads, divided_up(count, block), [=](int64_t task) {
        const int64_t first = task * block, some = std::min(block, count - first);
        kernel_.linear({x + first * inputs_, some, inputs_,
                        norm_weight_.empty() ? nullptr : norm_weight_.data(), norm_bias_.data(),
                        weights_.data(), bias_.data(), outputs_,
                        residual ? residual + first * outputs_ : nullptr, out + first * outputs_},
                       scratch(kernel_.linear_scratch(some, inputs_)));
    });
}

}  // namespace inter2former
