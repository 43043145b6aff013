// A block of the encoder (Inter2Former, 3.2): attention inside windows, then an MLP, both with a
// LayerNorm before and a residual around. The plain twin is `Block` in model/encoder.py.
#pragma once

#include <cstdint>

#include "click_kernel.hpp"
#include "linear.hpp"
#include "packing.hpp"

namespace inter2former {

// Tokens (height, width, features) and how they are cut into windows: `rows` x `columns` tokens each,
// the first one beginning `top` and `left` tokens before the grid.
struct WindowGrid {
    float* tokens;  // changed in place
    int64_t height, width;
    int64_t rows, columns, top, left;
    const float* cos;  // of a window's positions, (rows * columns, dim / 2)
    const float* sin;

    int64_t down() const { return divided_up(height + top, rows); }
    int64_t across() const { return divided_up(width + left, columns); }
};

class EncoderBlock {
public:
    // padding: queries, keys and values (3, heads, dim) of the padding token.
    EncoderBlock(const ClickKernel& kernel, int64_t heads, const float* padding,
                 PackedLinear to_qkv, PackedLinear project, PackedPerceptron perceptron);

    // A window is worked on by one thread from beginning to end, so that it stays in its cache.
    void run(const WindowGrid* grids, int64_t count, int threads) const;

    int64_t features() const { return to_qkv_.inputs(); }
    int64_t dim() const { return dim_; }

private:
    void run_window(const WindowGrid& grid, int64_t row, int64_t column) const;
    void attend(const WindowGrid& grid, const float* qkv, const int64_t* positions, int64_t count,
                float* out) const;

    const ClickKernel& kernel_;
    int64_t heads_, dim_;
    Floats padding_;
    PackedLinear to_qkv_, project_;
    PackedPerceptron perceptron_;
};

}  // namespace inter2former
