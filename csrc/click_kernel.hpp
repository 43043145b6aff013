// What one instruction set offers for a click's path through the decoder: hybrid attention (DHA,
// BSQA; Inter2Former, 3.4, 3.5) and the steps of local upsampling (DLU, 3.7).
#pragma once

#include <cstdint>

namespace inter2former {

// Keys and values of one head, packed. Numbers are padded with zeros: dimensions to multiples of
// 2 W, keys to a multiple of `key_block`.
//   keys:   panels of 2 W keys: for every dimension, 2 W keys
//   values: panels of 2 W dimensions: for every key, 2 W dimensions
struct PackedKeys {
    const float* keys;
    const float* values;
    int64_t count;   // keys
    int64_t padded;  // keys with padding
    int64_t dim;     // dimensions with padding
};

// The codebook of one head, packed. The logit of code s is a sum over its bits, so its exponential
// is a product over them.
//   difference: for every dimension, 2 W lanes: base[1][bit] - base[0][bit], times scale * log2(e)
//   sums:       values summed per code, packed like values above
//   counts:     keys per code
struct PackedCodes {
    const float* difference;
    const float* sums;
    const float* counts;
    int64_t bits;
    int64_t dim;
};

// `rows` rows of `dim` floats at `from`, one per number in `tokens`, `stride` floats apart.
struct Rows {
    const float* from;
    const int64_t* tokens;
    int64_t count;
    int64_t stride;
    int64_t dim;
};

// One step of upsampling for some rows of its input; see PackedStep in upsampling.hpp.
struct StepRows {
    const float* x;  // input (height, width, channels), rows `x_stride` floats apart
    int64_t x_stride, height, width, channels;
    const float* norm_weight;
    const float* norm_bias;
    const float* weights;  // packed
    int64_t outputs;
    const float* edge;  // (2 height, 2 width, outputs), rows `edge_stride` floats apart
    int64_t edge_stride;
    // Terms in tiles of side 1 << `tile_shift`, (side, side, outputs), slot by token; or null.
    const float* terms;
    const int32_t* slots;
    int64_t slots_stride, tile_shift, term_row, term_column;  // position of output (0, 0)
    float* out;  // (2 height, 2 width, outputs)
    int64_t first, last;  // rows of the input to do
    bool activate;
};

// Rows of a convolution as a matrix product: nine pixels each, one pointer per tap.
struct ConvolutionRows {
    const float* const* taps;  // (count, 9), each `channels` floats
    int64_t count, channels;
    const float* weights;  // panels of 2 W outputs; rows are (tap, channel, padded to W)
    const float* bias;     // padded to 2 W
    int64_t outputs;
    float* const* out;  // (count), each `outputs` floats
    bool rectify;
};

// y = x W^T + bias, of LayerNorm(x) where there are norms, plus `residual` where there is one.
struct LinearRows {
    const float* x;  // (count, inputs)
    int64_t count, inputs;
    const float* norm_weight;  // or null
    const float* norm_bias;
    const float* weights;  // panels of 2 W outputs; inputs padded to W
    const float* bias;     // padded to 2 W
    int64_t outputs;
    const float* residual;  // (count, outputs), or null; may be `out`
    float* out;             // (count, outputs)
};

struct ClickKernel {
    int vector_width;  // W
    int tile_rows;

    // Softmax attention of rotated, scaled queries (their logits are exponents of 2). Where
    // `log_sums` is not null it gets, `log_stride` floats apart, the log2 of the sums of weights.
    void (*attend)(const PackedKeys& keys, const Rows& queries, const float* cos, const float* sin,
                   float scale, float* out, int64_t out_stride, float* log_sums, int64_t log_stride,
                   float* scratch);
    int64_t (*attend_scratch)(int64_t count, int64_t dim);
    // Attention to quantised keys (Eq. 8, 9, 11 to 13).
    void (*attend_codes)(const PackedCodes& codes, const Rows& queries, float* out,
                         int64_t out_stride, float* scratch);
    int64_t (*codes_scratch)(int64_t bits, int64_t dim);
    // The code of each row: the signs of its products with the first `bits` lanes of a panel.
    void (*find_codes)(const Rows& keys, const float* panel, int64_t bits, uint16_t* codes,
                       float* scratch);
    void (*upsample)(const StepRows& step, float* scratch);
    int64_t (*upsample_scratch)(int64_t rows, int64_t width, int64_t channels);
    void (*convolve)(const ConvolutionRows& rows, float* scratch);
    int64_t (*convolve_scratch)(int64_t channels);
    void (*linear)(const LinearRows& rows, float* scratch);
    int64_t (*linear_scratch)(int64_t count, int64_t inputs);

    int64_t padded(int64_t n) const {
        const int64_t panel = 2 * static_cast<int64_t>(vector_width);
        return (n + panel - 1) / panel * panel;
    }
};

constexpr int64_t key_block = 256;  // keys whose logits are held at a time

const ClickKernel* portable_click_kernel();
const ClickKernel* avx2_click_kernel();
const ClickKernel* avx512_click_kernel();

}  // namespace inter2former
