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

    // Of the rows `numbers`, or if it is null of the first ones; x: (rows, inputs); residual: (rows,
    // outputs) or null, may be `out`.
    void run(const float* x, const int64_t* numbers, int64_t count, const float* residual, float* out,
             int threads) const;

    // Some rows, on this thread; the packed weights are filled in.
    void run_rows(LinearRows rows) const;

    int64_t outputs() const { return outputs_; }
    int64_t inputs() const { return inputs_; }

private:
    const ClickKernel& kernel_;
    int64_t outputs_, inputs_;
    Floats weights_, bias_, norm_weight_, norm_bias_;
};

// LayerNorm, where there is one; linear layer, GELU, linear layer.
class PackedPerceptron {
public:
    // weight: (hidden, inputs); out_weight: (outputs, hidden); norms: (inputs), or null.
    PackedPerceptron(const ClickKernel& kernel, int64_t inputs, int64_t hidden, int64_t outputs,
                     const float* weight, const float* bias, const float* out_weight,
                     const float* out_bias, const float* norm_weight, const float* norm_bias);

    // x: (count, inputs); out: (count, outputs).
    void run(const float* x, int64_t count, float* out, int threads) const;
    // Some rows, on this thread; the packed weights are filled in.
    void run_rows(PerceptronRows rows) const;

    int64_t outputs() const { return outputs_; }
    int64_t inputs() const { return inputs_; }

private:
    const ClickKernel& kernel_;
    int64_t inputs_, hidden_, outputs_;
    Floats weights_, bias_, out_weights_, out_bias_, norm_weight_, norm_bias_;
};

}  // namespace inter2former
