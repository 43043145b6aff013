#include "hybrid_attention.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "packed_keys.hpp"
#include "thread_pool.hpp"

namespace inter2former {

bool HybridAttention::possible(const ClickKernel& kernel, int64_t dim, int64_t bits) {
    return dim % 2 == 0 && bits <= 12 && bits <= 2 * kernel.vector_width &&
           (int64_t(1) << bits) >= kernel.vector_width;
}

HybridAttention::HybridAttention(const ClickKernel& kernel, int64_t heads, int64_t dim,
                                 int64_t bits, const float* project, const float* base)
    : kernel_(kernel), heads_(heads), dim_(dim), bits_(bits) {
    const int64_t lanes = 2 * kernel.vector_width, panel = kernel.padded(dim) * lanes;
    const float scale = 1.44269504088896341f / std::sqrt(static_cast<float>(dim));
    project_.assign(unsigned_size(heads * panel), 0.0f);
    difference_.assign(unsigned_size(heads * panel), 0.0f);
    for (int64_t h = 0; h < heads; ++h) {
        for (int64_t k = 0; k < dim; ++k) {
            for (int64_t bit = 0; bit < bits; ++bit) {
                const auto to = unsigned_size(h * panel + k * lanes + bit);
                project_[to] = project[(h * dim + k) * bits + bit];
                const float unset = base[(h * bits + bit) * dim + k];
                const float set = base[((heads + h) * bits + bit) * dim + k];
                difference_[to] = scale * (set - unset);
            }
        }
    }
}

void HybridAttention::run(const float* qkv, const uint8_t* edge, const float* cos, const float* sin,
                          int64_t tokens, float* out, float* log_sums, int threads) const {
    const int64_t lanes = 2 * kernel_.vector_width, dim = kernel_.padded(dim_), inner = heads_ * dim_;
    const int64_t row = 3 * inner, size = int64_t(1) << bits_, panel = dim * lanes;
    thread_local std::vector<int64_t> all, full, others;
    thread_local std::vector<uint16_t> codes;
    thread_local Floats keys, values, sums, counts;
    full.clear(), others.clear();
    if (static_cast<int64_t>(all.size()) < tokens) {
        all.resize(unsigned_size(tokens));
        for (int64_t i = 0; i < tokens; ++i) all[unsigned_size(i)] = i;
    }
    for (int64_t i = 0; i < tokens; ++i) (edge[i] ? full : others).push_back(i);
    const auto full_count = static_cast<int64_t>(full.size());
    const auto other_count = static_cast<int64_t>(others.size());

    // Pointers, because the workers must not name thread_local objects: they have their own.
    const int64_t padded = divided_up(tokens, key_block) * key_block;
    const int64_t key_tasks = full_count ? divided_up(tokens, key_block) : 0;
    if (full_count) {
        keys.resize(unsigned_size(heads_ * padded * dim));
        values.resize(unsigned_size(heads_ * padded * dim));
    }
    if (other_count) {
        codes.resize(unsigned_size(heads_ * tokens));
        sums.resize(unsigned_size(heads_ * size * dim));
        counts.resize(unsigned_size(heads_ * size));
    }
    const int64_t* all_tokens = all.data();
    float *key_data = keys.data(), *value_data = values.data(), *sum_data = sums.data(),
          *count_data = counts.data();
    uint16_t* code_data = codes.data();

    const int64_t code_rows = 512;
    const int64_t code_tasks = other_count ? divided_up(tokens, code_rows) : 0;
    parallel_for(threads, heads_ * (key_tasks + code_tasks), [&, this](int64_t task) {
        const int64_t h = task % heads_, number = task / heads_;
        const float* key = qkv + inner + h * dim_;
        if (number < code_tasks) {
            const int64_t first = number * code_rows, last = std::min(first + code_rows, tokens);
            kernel_.find_codes({key, all_tokens + first, last - first, row, dim_},
                               project_.data() + h * panel, bits_, code_data + h * tokens + first,
                               scratch(kernel_.tile_rows * dim));
            return;
        }
        const float* value = qkv + 2 * inner + h * dim_;
        const int64_t first = (number - code_tasks) * key_block, half = dim_ / 2;
        float* rotated = scratch(dim);
        for (int64_t i = first; i < first + key_block; ++i) {
            // The last block is filled up with zeros.
            const bool there = i < tokens;
            pack_key(kernel_, i, there ? key + i * row : nullptr, there ? value + i * row : nullptr,
                     cos + i * half, sin + i * half, dim_, dim, padded, rotated,
                     key_data + h * padded * dim, value_data + h * padded * dim);
        }
    });
    if (other_count) {
        parallel_for(threads, heads_, [&, this](int64_t h) {
            float *sum = sum_data + h * size * dim, *count = count_data + h * size;
            std::fill_n(sum, size * dim, 0.0f);
            std::fill_n(count, size, 0.0f);
            const float* value = qkv + 2 * inner + h * dim_;
            for (int64_t i = 0; i < tokens; ++i) {
                const int64_t code = code_data[h * tokens + i];
                count[code] += 1.0f;
                for (int64_t first = 0; first < dim_; first += lanes) {
                    float* to = sum + first * size + code * lanes;
                    const float* from = value + i * row + first;
                    for (int64_t k = 0; k < std::min(lanes, dim_ - first); ++k) to[k] += from[k];
                }
            }
        });
    }
    const int64_t group = kernel_.tile_rows * 4, other_group = kernel_.tile_rows * 16;
    const int64_t full_tasks = divided_up(full_count, group) * heads_;
    const int64_t other_tasks = divided_up(other_count, other_group) * heads_;
    const int64_t *full_tokens = full.data(), *other_tokens = others.data();
    const float scale = 1.44269504088896341f / std::sqrt(static_cast<float>(dim_));
    parallel_for(threads, full_tasks + other_tasks, [&, this](int64_t task) {
        if (task < full_tasks) {
            const int64_t h = task % heads_, first = task / heads_ * group;
            const int64_t count = std::min(group, full_count - first);
            kernel_.attend({key_data + h * padded * dim, value_data + h * padded * dim, tokens,
                            padded, dim},
                           {qkv + h * dim_, full_tokens + first, count, row, dim_}, cos, sin, scale,
                           out + h * dim_, inner, log_sums ? log_sums + h : nullptr, heads_,
                           scratch(kernel_.attend_scratch(count, dim)));
            return;
        }
        task -= full_tasks;
        const int64_t h = task % heads_, first = task / heads_ * other_group;
        kernel_.attend_codes({difference_.data() + h * panel, sum_data + h * size * dim,
                              count_data + h * size, bits_, dim},
                             {qkv + h * dim_, other_tokens + first,
                              std::min(other_group, other_count - first), row, dim_},
                             out + h * dim_, inner, scratch(kernel_.codes_scratch(bits_, dim)));
    });
}

AttentionLayer::AttentionLayer(HybridAttention attention, PackedLinear to_qkv,
                               PackedLinear project)
    : attention_(std::move(attention)), to_qkv_(std::move(to_qkv)), project_(std::move(project)) {}

void AttentionLayer::run(float* x, int64_t tokens, const uint8_t* edge, const float* cos,
                         const float* sin, const KnownTokens& known, int threads) const {
    thread_local Floats qkv, attended;
    thread_local std::vector<int64_t> unknown;
    const int64_t inner = attention_.heads() * attention_.dim();
    qkv.resize(unsigned_size(tokens * 3 * inner));
    attended.resize(unsigned_size(tokens * inner));
    if (known.slots == nullptr) {
        to_qkv_.run(x, nullptr, tokens, nullptr, qkv.data(), threads);
    } else {
        unknown.clear();
        const auto has = [&](int64_t i) { return known.slots[i] < 5 && known.qkv[known.slots[i]]; };
        for (int64_t i = 0; i < tokens; ++i) {
            if (!has(i)) unknown.push_back(i);
        }
        float* to = qkv.data();
        const int64_t some = 256;
        parallel_for(threads, divided_up(tokens, some), [&](int64_t task) {
            for (int64_t i = task * some; i < std::min((task + 1) * some, tokens); ++i) {
                if (!has(i)) continue;
                std::copy_n(known.qkv[known.slots[i]] + i * 3 * inner, 3 * inner,
                            to + i * 3 * inner);
            }
        });
        to_qkv_.run(x, unknown.data(), static_cast<int64_t>(unknown.size()), nullptr, to, threads);
    }
    attention_.run(qkv.data(), edge, cos, sin, tokens, attended.data(), nullptr, threads);
    project_.run(attended.data(), nullptr, tokens, x, x, threads);
}

}  // namespace inter2former
