// Dynamic Hybrid Attention (Inter2Former, 3.4 and 3.5). The plain twin is in model/attention.py.
#pragma once

#include <cstdint>

#include "click_kernel.hpp"
#include "linear.hpp"
#include "packing.hpp"

namespace inter2former {

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

// What is known of the queries, keys and values of a layer before a click: for some labels those of
// all tokens that have this label's embedding.
struct KnownTokens {
    const int32_t* slots = nullptr;  // each token's label; other numbers for those not known
    const float* qkv[5] = {};        // (tokens, 3, heads, dim) by label, or null
};

// LayerNorm, queries, keys and values, hybrid attention, and the projection of its result.
class AttentionLayer {
public:
    AttentionLayer(HybridAttention attention, PackedLinear to_qkv, PackedLinear project);

    // Adds the attention to x, (tokens, features).
    void run(float* x, int64_t tokens, const uint8_t* edge, const float* cos, const float* sin,
             const KnownTokens& known, int threads) const;

    const HybridAttention& attention() const { return attention_; }
    const PackedLinear& to_qkv() const { return to_qkv_; }
    const PackedLinear& project() const { return project_; }

private:
    HybridAttention attention_;
    PackedLinear to_qkv_, project_;
};

}  // namespace inter2former
