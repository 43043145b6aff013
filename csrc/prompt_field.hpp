// Dynamic Prompt Embedding (Inter2Former, 3.3), where the reference mask varies. The plain twin is
// in model/prompt_embedding.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "click_kernel.hpp"
#include "packing.hpp"

namespace inter2former {

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

// The prompt embedding of a reference mask. A token whose surroundings have one label takes that
// label's constant; only the others are computed.
class PromptField {
public:
    explicit PromptField(const PackedPrompt& packed) : packed_(packed) {}

    // Embed a mask of labels (16 rows, 16 columns), of `rows` x `columns` tokens. Memory is kept for
    // the next one. Throws std::invalid_argument for what is no label.
    void embed(const uint8_t* reference, int64_t rows, int64_t columns, int threads);

    // out = x + embedding, (tokens, dim).
    void add_to(const float* x, float* out, int threads) const;
    // Compute the skips' terms for a box of tokens.
    void make_terms(int64_t top, int64_t left, int64_t bottom, int64_t right, int threads);

    const PackedPrompt& packed() const { return packed_; }
    const uint8_t* edge() const { return edge_.data(); }
    // For each token the label whose constant it has, or 5 and more.
    const int32_t* slots() const { return slots_.data(); }
    int64_t rows() const { return rows_; }
    int64_t columns() const { return columns_; }
    int64_t computed() const { return static_cast<int64_t>(varied_.size()); }
    const float* terms(std::size_t level) const { return terms_[level].data(); }
    const std::vector<int32_t>& term_slots() const { return term_slots_; }

private:
    void look(const uint8_t* reference, int threads);
    void find_varied();
    void embed_first(const uint8_t* reference, int threads);
    struct Pixels;  // a convolution's inputs and outputs
    void convolve(const Pixels& pixels, const std::vector<int64_t>& tokens, int threads) const;

    const PackedPrompt& packed_;
    int64_t rows_ = 0, columns_ = 0;
    std::vector<uint8_t> kinds_, edge_;        // of each token: its label or `mixed`
    std::vector<int32_t> slots_, term_slots_;  // 0 to 4: a label's constant; then varied tokens
    std::vector<int64_t> varied_;
    std::vector<Floats> levels_, terms_;         // (slot, side, side, channels)
    std::vector<std::vector<uint8_t>> labels_;   // (slot, side, side): the label whose constant
                                                 // a position has, or `mixed`
};

}  // namespace inter2former
