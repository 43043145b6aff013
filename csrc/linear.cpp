#include "linear.hpp"

#include <algorithm>

#include "thread_pool.hpp"

namespace inter2former {

namespace {

// A few tiles at a time, so that they stay in the first-level cache with a panel of weights.
int64_t block_of(const ClickKernel& kernel) { return kernel.tile_rows * 8; }

Floats packed(const ClickKernel& kernel, const float* weight, int64_t outputs, int64_t inputs,
              int64_t padded) {
    Floats panels(unsigned_size(kernel.padded(outputs) * padded), 0.0f);
    pack_panels(weight, outputs, inputs, padded, panels.data(),
                2 * static_cast<int64_t>(kernel.vector_width));
    return panels;
}

Floats padded_norm(const ClickKernel& kernel, const float* values, int64_t count) {
    return values ? padded_copy(values, count, whole(count, kernel.vector_width)) : Floats();
}

const float* or_null(const Floats& values) { return values.empty() ? nullptr : values.data(); }

}  // namespace

PackedLinear::PackedLinear(const ClickKernel& kernel, int64_t outputs, int64_t inputs,
                           const float* weight, const float* bias, const float* norm_weight,
                           const float* norm_bias)
    : kernel_(kernel),
      outputs_(outputs),
      inputs_(inputs),
      weights_(packed(kernel, weight, outputs, inputs, whole(inputs, kernel.vector_width))),
      bias_(padded_copy(bias, outputs, kernel.padded(outputs))),
      norm_weight_(padded_norm(kernel, norm_weight, inputs)),
      norm_bias_(padded_norm(kernel, norm_bias, inputs)) {}

void PackedLinear::run_rows(LinearRows rows) const {
    rows.inputs = inputs_, rows.outputs = outputs_;
    rows.norm_weight = or_null(norm_weight_), rows.norm_bias = or_null(norm_bias_);
    rows.weights = weights_.data(), rows.bias = bias_.data();
    kernel_.linear(rows, scratch(kernel_.linear_scratch(rows.count, inputs_)));
}

void PackedLinear::run(const float* x, const int64_t* numbers, int64_t count,
                       const float* residual, float* out, int threads) const {
    const int64_t block = block_of(kernel_);
    parallel_for(threads, divided_up(count, block), [=](int64_t task) {
        const int64_t first = task * block, skipped = numbers ? 0 : first;
        LinearRows rows{};
        rows.x = x + skipped * inputs_;
        rows.from = rows.to = numbers ? numbers + first : nullptr;
        rows.count = std::min(block, count - first);
        rows.residual = residual ? residual + skipped * outputs_ : nullptr;
        rows.out = out + skipped * outputs_;
        run_rows(rows);
    });
}

PackedPerceptron::PackedPerceptron(const ClickKernel& kernel, int64_t inputs, int64_t hidden,
                                   int64_t outputs, const float* weight, const float* bias,
                                   const float* out_weight, const float* out_bias,
                                   const float* norm_weight, const float* norm_bias)
    : kernel_(kernel),
      inputs_(inputs),
      hidden_(hidden),
      outputs_(outputs),
      weights_(packed(kernel, weight, hidden, inputs, whole(inputs, kernel.vector_width))),
      bias_(padded_copy(bias, hidden, kernel.padded(hidden))),
      out_weights_(packed(kernel, out_weight, outputs, hidden, kernel.padded(hidden))),
      out_bias_(padded_copy(out_bias, outputs, kernel.padded(outputs))),
      norm_weight_(padded_norm(kernel, norm_weight, inputs)),
      norm_bias_(padded_norm(kernel, norm_bias, inputs)) {}

void PackedPerceptron::run_rows(PerceptronRows rows) const {
    rows.inputs = inputs_, rows.hidden = hidden_, rows.outputs = outputs_;
    rows.norm_weight = or_null(norm_weight_), rows.norm_bias = or_null(norm_bias_);
    rows.weights = weights_.data(), rows.bias = bias_.data();
    rows.out_weights = out_weights_.data(), rows.out_bias = out_bias_.data();
    kernel_.perceptron(rows, scratch(kernel_.perceptron_scratch(rows.count, inputs_, hidden_)));
}

void PackedPerceptron::run(const float* x, int64_t count, float* out, int threads) const {
    const int64_t block = block_of(kernel_);
    parallel_for(threads, divided_up(count, block), [=](int64_t task) {
        const int64_t first = task * block;
        PerceptronRows rows{};
        rows.x = x + first * inputs_;
        rows.count = std::min(block, count - first);
        rows.out = out + first * outputs_;
        run_rows(rows);
    });
}

}  // namespace inter2former
