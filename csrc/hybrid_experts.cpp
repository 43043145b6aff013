#include "hybrid_experts.hpp"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "thread_pool.hpp"

namespace inter2former {

PackedHybridExperts::PackedHybridExperts(PackedExperts experts, const float* norm_weight,
                                         const float* norm_bias, const float* centroids,
                                         const float* bias)
    : experts_(std::move(experts)) {
    const ExpertsKernel& kernel = experts_.kernel();
    const int64_t width = experts_.width(), number = experts_.experts();
    const int64_t padded = kernel.padded(width);
    norm_weight_ = padded_copy(norm_weight, width, padded);
    norm_bias_ = padded_copy(norm_bias, width, padded);
    bias_.assign(bias, bias + number - 1);
    centroids_.resize(unsigned_size(kernel.padded_output(number) * padded));
    pack_panels(centroids, number, width, padded, centroids_.data(),
                2 * static_cast<int64_t>(kernel.vector_width));
}

void PackedHybridExperts::run(const float* x, const bool* edge, int64_t tokens, bool residual,
                              float* y, int threads) const {
    thread_local std::vector<int64_t> all, chosen, index;
    thread_local std::vector<float> share;
    const auto size = static_cast<size_t>(tokens);
    if (all.size() < size) {
        all.resize(size);
        std::iota(all.begin(), all.end(), 0);
        chosen.resize(size);
        index.resize(size);
        share.resize(size);
    }

    const ExpertsKernel& kernel = experts_.kernel();
    const int64_t routed = experts_.experts() - 1;
    const ExpertWeights shared = experts_.expert(routed);
    const InputNorm norm{norm_weight_.data(), norm_bias_.data()};
    const Router router{centroids_.data(), bias_.data(), routed};
    const Routing routing{edge, index.data(), share.data()};
    const Block whole{x, &norm, all.data(), tokens, nullptr, residual ? x : nullptr, y};
    const int64_t rows = block_rows(kernel, tokens, threads);
    const auto work = [&](int64_t number) {
        Block block = whole;
        block.tokens += number * rows;
        block.count = std::min(rows, tokens - number * rows);
        kernel.run_shared(shared, router, block, routing,
                          scratch(kernel.scratch_floats(shared.width, shared.hidden, routed + 1,
                                                        block.count)));
    };
    parallel_for(threads, (tokens + rows - 1) / rows, work);

    int64_t count = 0;
    for (int64_t t = 0; t < tokens; ++t) {
        if (!edge[t]) continue;
        const auto from = static_cast<size_t>(t), to = static_cast<size_t>(count++);
        chosen[to] = t;
        index[to] = index[from];
        share[to] = share[from];
    }
    experts_.add(x, &norm, tokens, chosen.data(), index.data(), share.data(), count, y, threads);
}

}  // namespace inter2former
