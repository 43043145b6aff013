// A click's path through the decoder: hybrid attention, prompt embedding where the reference mask
// varies, and steps of upsampling. Plain twins are in napari_inter2former.model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "click_kernel.hpp"

namespace inter2former {

using Floats = std::vector<float>;

// DHA (Inter2Former, Eq. 5): full attention for edge tokens, BSQA for the others.
class HybridAttention {
public:
    // project: (heads, dim, bits); base: (2, heads, bits, dim).
    HybridAttention(const ClickKernel& kernel, int64_t heads, int64_t dim, int64_t bits,
                    const float* project, const float* base);

    // qkv: (tokens, 3, heads, dim); edge: (tokens); cos, sin: (tokens, dim / 2);
    // out: (tokens, heads, dim); log_sums: (tokens, heads) or null, the log2 of the sums of
    // softmax weights of edge tokens.
    void run(const float* qkv, const uint8_t* edge, const float* cos, const float* sin,
             int64_t tokens, float* out, float* log_sums, int threads) const;

    int64_t heads() const { return heads_; }
    int64_t dim() const { return dim_; }
    static bool possible(const ClickKernel& kernel, int64_t dim, int64_t bits);

private:
    const ClickKernel& kernel_;
    int64_t heads_, dim_, bits_;
    Floats project_, difference_;  // a panel per head
};

// A 3 x 3 convolution, packed.
struct PackedConvolution {
    // weight: (outputs, channels, 3, 3); bias: (outputs) or null.
    PackedConvolution(const ClickKernel& kernel, int64_t outputs, int64_t channels,
                      const float* weight, const float* bias);
    int64_t outputs, channels;
    Floats weights, bias;
};

// DPE (3.3) and the prompt skips of DLU, packed. `constants[l]` are the embeddings of a plane of each
// label, (5, channels); `term_constants[l]` what the skip convolutions make of them.
struct PackedPrompt {
    const ClickKernel& kernel;
    int64_t first_outputs;
    Floats table;  // (9 taps, 5 labels, first_outputs)
    Floats first_bias;
    std::vector<PackedConvolution> convolutions;  // strides 4, 8, 16
    std::vector<PackedConvolution> skips;         // at strides 8, 4, 2
    std::vector<Floats> constants;                // strides 2, 4, 8, 16
    std::vector<Floats> term_constants;           // strides 8, 4, 2
};

// The prompt embedding of one reference mask. A token whose surroundings have one label takes that
// label's constant; only the others are computed.
class PromptField {
public:
    // reference: (16 rows, 16 columns) labels of `rows` x `columns` tokens.
    PromptField(const PackedPrompt& packed, const uint8_t* reference, int64_t rows, int64_t columns,
                int threads);

    // out = x + embedding, (tokens, dim).
    void add_to(const float* x, float* out, int threads) const;
    // Compute the skips' terms for a box of tokens.
    void make_terms(int64_t top, int64_t left, int64_t bottom, int64_t right, int threads);

    const PackedPrompt& packed() const { return packed_; }
    const uint8_t* edge() const { return edge_.data(); }
    int64_t rows() const { return rows_; }
    int64_t columns() const { return columns_; }
    int64_t computed() const { return static_cast<int64_t>(varied_.size()); }
    const float* terms(std::size_t level) const { return terms_[level].data(); }
    const std::vector<int32_t>& term_slots() const { return term_slots_; }

private:
    void look(const uint8_t* reference, int threads);
    void embed_first(const uint8_t* reference, int threads);
    struct Pixels;  // a convolution's inputs and outputs
    void convolve(const Pixels& pixels, const std::vector<int64_t>& tokens, int threads) const;

    const PackedPrompt& packed_;
    int64_t rows_, columns_;
    std::vector<uint8_t> edge_;
    std::vector<int32_t> slots_, term_slots_;  // 0 to 4: a label's constant; then varied tokens
    std::vector<int64_t> varied_;
    std::vector<Floats> levels_, terms_;         // (slot, side, side, channels)
    std::vector<std::vector<uint8_t>> labels_;   // (slot, side, side): the label whose constant
                                                 // a position has, or `mixed`
};

// A linear layer, packed, perhaps with the LayerNorm before it.
class PackedLinear {
public:
    // weight: (outputs, inputs); bias: (outputs); norms: (inputs), or null.
    PackedLinear(const ClickKernel& kernel, int64_t outputs, int64_t inputs, const float* weight,
                 const float* bias, const float* norm_weight, const float* norm_bias);

    // x: (count, inputs); residual: (count, outputs) or null, may be `out`.
    void run(const float* x, int64_t count, const float* residual, float* out, int threads) const;

    int64_t outputs() const { return outputs_; }
    int64_t inputs() const { return inputs_; }

private:
    const ClickKernel& kernel_;
    int64_t outputs_, inputs_;
    Floats weights_, bias_, norm_weight_, norm_bias_;
};

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

// Move a reference mask (height, width) on after a prediction: where the logits of a box, rows
// `stride` floats apart, are above 0 there is foreground.
void update_reference(uint8_t* reference, int64_t height, int64_t width, const float* logits,
                      int64_t stride, int64_t top, int64_t left, int64_t bottom, int64_t right,
                      int threads);

}  // namespace inter2former
