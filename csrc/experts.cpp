#include "experts.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "thread_pool.hpp"

namespace inter2former {

namespace {

constexpr int64_t line = 16;  // floats in a cache line

int64_t whole_lines(int64_t floats) { return whole(floats, line); }

// A block of work: `count` tokens of the sorted order, from `first` on, and their expert.
struct Share {
    int64_t expert, first, count;
};

}  // namespace

int64_t block_rows(const ExpertsKernel& kernel, int64_t tokens, int threads) {
    const int64_t share = tokens / (4 * static_cast<int64_t>(threads));
    return kernel.tile_rows *
           std::min<int64_t>(8, std::max<int64_t>(1, share / kernel.tile_rows));
}

PackedExperts::PackedExperts(const ExpertsKernel& kernel, int64_t experts, int64_t width,
                             int64_t hidden, const float* gate_up, const float* norm_weight,
                             const float* norm_bias, const float* down)
    : kernel_(kernel),
      experts_(experts),
      width_(width),
      hidden_(hidden),
      gate_up_floats_(whole_lines(2 * kernel.padded(hidden) * kernel.padded(width))),
      norm_floats_(whole_lines(kernel.padded(hidden))),
      down_floats_(whole_lines(kernel.padded_output(width) * kernel.padded(hidden))),
      expert_floats_(gate_up_floats_ + 2 * norm_floats_ + down_floats_),
      weights_(experts * expert_floats_) {
    const int64_t inputs = kernel.padded(width);
    const int64_t lanes = kernel.vector_width;
    for (int64_t e = 0; e < experts; ++e) {
        float* packed = weights_.data() + e * expert_floats_;
        const float* gate = gate_up + e * 2 * hidden * width;
        const float* up = gate + hidden * width;
        for (int64_t row = 0; row < hidden; row += lanes) {
            float* panel = packed + row * inputs * 2;
            const int64_t count = std::min(lanes, hidden - row);
            pack_rows(gate + row * width, count, width, panel, 2 * lanes);
            pack_rows(up + row * width, count, width, panel + lanes, 2 * lanes);
        }
        packed += gate_up_floats_;
        std::copy_n(norm_weight + e * hidden, hidden, packed);
        packed += norm_floats_;
        std::copy_n(norm_bias + e * hidden, hidden, packed);
        packed += norm_floats_;
        pack_panels(down + e * width * hidden, width, hidden, kernel.padded(hidden), packed,
                    2 * lanes);
    }
}

ExpertWeights PackedExperts::expert(int64_t number) const {
    const float* gate_up = weights_.data() + number * expert_floats_;
    const float* norm_weight = gate_up + gate_up_floats_;
    const float* norm_bias = norm_weight + norm_floats_;
    return {gate_up, norm_weight, norm_bias, norm_bias + norm_floats_, width_, hidden_};
}

void PackedExperts::run(const float* x, const int64_t* index, int64_t tokens, float* y,
                        int threads) const {
    run_sorted({x, nullptr, nullptr, tokens, nullptr, nullptr, y}, index, threads);
}

void PackedExperts::add(const float* x, const InputNorm* norm, int64_t rows, const int64_t* tokens,
                        const int64_t* index, const float* scale, int64_t count, float* y,
                        int threads) const {
    int64_t least = 0;
    for (int64_t i = 0; i < count; ++i) {
        if (tokens[i] < least || tokens[i] >= rows) {
            throw std::invalid_argument("tokens must ascend and lie in [0, " +
                                        std::to_string(rows) + "), but number " +
                                        std::to_string(i) + " is " + std::to_string(tokens[i]));
        }
        least = tokens[i] + 1;
    }
    run_sorted({x, norm, tokens, count, scale, y, y}, index, threads);
}

// Token numbers default to 0, 1, 2, ...
void PackedExperts::run_sorted(Block all, const int64_t* index, int threads) const {
    // Counting sort by expert (Eq. 19): `order` is the permutation that groups the tokens.
    thread_local std::vector<int64_t> start, order;
    thread_local std::vector<float> scale;
    thread_local std::vector<Share> shares;
    start.assign(static_cast<size_t>(experts_), 0);
    for (int64_t i = 0; i < all.count; ++i) {
        if (index[i] < 0 || index[i] >= experts_) {
            throw std::invalid_argument("expert index " + std::to_string(index[i]) +
                                        " of token " + std::to_string(i) + " is outside [0, " +
                                        std::to_string(experts_) + ")");
        }
        ++start[static_cast<size_t>(index[i])];
    }
    int64_t sum = 0;
    for (int64_t& s : start) sum += std::exchange(s, sum);
    order.resize(static_cast<size_t>(all.count));
    if (all.scale != nullptr) scale.resize(static_cast<size_t>(all.count));
    for (int64_t i = 0; i < all.count; ++i) {
        const auto place = static_cast<size_t>(start[static_cast<size_t>(index[i])]++);
        order[place] = all.tokens == nullptr ? i : all.tokens[i];
        if (all.scale != nullptr) scale[place] = all.scale[i];
    }
    all.tokens = order.data();
    if (all.scale != nullptr) all.scale = scale.data();

    const int64_t rows = block_rows(kernel_, all.count, threads);
    shares.clear();
    int64_t first = 0;
    for (int64_t e = 0; e < experts_; ++e) {
        const int64_t end = start[static_cast<size_t>(e)];  // the sort moved it there
        for (; first < end; first += rows) shares.push_back({e, first, std::min(rows, end - first)});
        first = end;
    }

    const Share* each = shares.data();
    const auto work = [=](int64_t number) {
        const Share& share = each[number];
        Block block = all;
        block.tokens += share.first;
        block.count = share.count;
        if (block.scale != nullptr) block.scale += share.first;
        kernel_.run(expert(share.expert), block,
                    scratch(kernel_.scratch_floats(width_, hidden_, 0, share.count)));
    };
    parallel_for(threads, static_cast<int64_t>(shares.size()), work);
}

}  // namespace inter2former
