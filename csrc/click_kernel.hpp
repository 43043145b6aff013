// What one instruction set offers for encoder and decoder, besides the experts.
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

// A half-open box of pixels.
struct Region {
    int64_t top, left, bottom, right;
    bool has(int64_t row, int64_t column) const {
        return row >= top && row < bottom && column >= left && column < right;
    }
};

// Some blocks of a step of upsampling; see PackedStep in upsampling.hpp. Positions are those of the
// whole image on the input's or the output's level. Block b along an axis has the inputs 2 b to
// 2 b + 2 and the outputs 4 b + 1 to 4 b + 4.
struct StepBlocks {
    const float* x;  // the pixels of `input`, (rows, columns, channels); zeros outside
    Region input;
    int64_t channels;
    const float* norm_weight;  // padded to W
    const float* norm_bias;
    const float* weights;  // panels of 2 W outputs, each of 25 products; channels padded to W
    int64_t outputs;
    const float* edge;  // what is added, of the whole image, rows `edge_stride` floats apart
    int64_t edge_stride;
    // Terms in tiles of side 1 << `tile_shift`, (side, side, outputs), slot by token; or null.
    const float* terms;
    const int32_t* slots;
    int64_t slots_stride, tile_shift;
    float* out;  // the pixels of `output`, (rows, columns, outputs)
    Region output;
    int64_t first_row, last_row, first_column, last_column;  // blocks
    bool activate;
};

// A convolution as products of patches: patch (i, j) has side x side inputs from position
// (i, j) * step + offset on, and gives block x block pixels of outputs from (i, j) * block + shift
// on: more than one pixel only of a single output. What lies outside `input` is 0, after norm and activation.
struct PatchRows {
    const float* x;  // the pixels of `input`, (rows, columns, channels)
    Region input;
    int64_t channels;
    const float* norm_weight;  // padded to W; or null
    const float* norm_bias;
    bool activate_input;
    int64_t side, step, offset, block, shift;
    const float* weights;  // panels of 2 W outputs; a patch's rows are padded to W
    const float* bias;     // padded to 2 W
    int64_t outputs;       // of a patch, (block, block, channels of the output)
    const float* add;      // whole rows of outputs from `add_top` on, `add_stride` floats apart; or null
    int64_t add_stride, add_top;
    float* out;  // the pixels of `output`, rows `out_stride` floats apart
    int64_t out_stride;
    Region output;
    int64_t first, last, left, right;  // patches
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
    const float* x;       // rows of `inputs`
    const int64_t* from;  // which rows; null: 0, 1, 2, ...
    int64_t count, inputs;
    const float* norm_weight;  // padded to W; or null
    const float* norm_bias;
    const float* weights;  // panels of 2 W outputs; inputs padded to W
    const float* bias;     // padded to 2 W
    int64_t outputs;
    const float* residual;  // rows like those of `out`, or null; may be `out`
    float* out;             // rows of `outputs`
    const int64_t* to;      // which rows; null: 0, 1, 2, ...
};

// The same with GELU and a second linear layer after the first.
struct PerceptronRows {
    const float* x;
    const int64_t* numbers;  // which rows of x, residual and out; null: 0, 1, 2, ...
    int64_t count, inputs;
    const float* norm_weight;
    const float* norm_bias;
    const float* weights;
    const float* bias;
    int64_t hidden;
    const float* out_weights;  // hidden features padded to 2 W
    const float* out_bias;
    int64_t outputs;
    const float* residual;
    float* out;
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
    void (*upsample)(const StepBlocks& step, float* scratch);
    int64_t (*upsample_scratch)(int64_t blocks_high, int64_t blocks_wide, int64_t channels);
    void (*patches)(const PatchRows& rows, float* scratch);
    int64_t (*patch_scratch)(const PatchRows& rows);
    void (*convolve)(const ConvolutionRows& rows, float* scratch);
    int64_t (*convolve_scratch)(int64_t channels);
    void (*linear)(const LinearRows& rows, float* scratch);
    int64_t (*linear_scratch)(int64_t count, int64_t inputs);
    void (*perceptron)(const PerceptronRows& rows, float* scratch);
    int64_t (*perceptron_scratch)(int64_t count, int64_t inputs, int64_t hidden);

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
