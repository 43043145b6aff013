// Dynamic Hybrid Attention (Inter2Former, 3.4 and 3.5). The plain twin is in model/attention.py.
#pragma once

#include <cstdint>

#include "click_kernel.hpp"
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

}  // namespace inter2former
