#include "encoder_block.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "packed_keys.hpp"
#include "thread_pool.hpp"

namespace inter2former {

EncoderBlock::EncoderBlock(const ClickKernel& kernel, int64_t heads, const float* padding,
                           PackedLinear to_qkv, PackedLinear project, PackedPerceptron perceptron)
    : kernel_(kernel),
      heads_(heads),
      dim_(to_qkv.inputs() / heads),
      padding_(padding, padding + to_qkv.outputs()),
      to_qkv_(std::move(to_qkv)),
      project_(std::move(project)),
      perceptron_(std::move(perceptron)) {}

void EncoderBlock::run(const WindowGrid* grids, int64_t count, int threads) const {
    std::vector<int64_t> first(unsigned_size(count + 1), 0);
    for (int64_t i = 0; i < count; ++i) {
        first[unsigned_size(i + 1)] = first[unsigned_size(i)] + grids[i].down() * grids[i].across();
    }
    parallel_for(threads, first.back(), [&, this](int64_t task) {
        const auto after = std::upper_bound(first.begin(), first.end(), task);
        const WindowGrid& grid = grids[after - first.begin() - 1];
        const int64_t window = task - *(after - 1);
        run_window(grid, window / grid.across(), window % grid.across());
    });
}

void EncoderBlock::run_window(const WindowGrid& grid, int64_t row, int64_t column) const {
    thread_local Floats qkv, attended;
    thread_local std::vector<int64_t> tokens, positions;  // of the grid, and of the window
    tokens.clear(), positions.clear();
    for (int64_t r = 0; r < grid.rows; ++r) {
        for (int64_t c = 0; c < grid.columns; ++c) {
            const int64_t y = row * grid.rows + r - grid.top;
            const int64_t x = column * grid.columns + c - grid.left;
            if (y < 0 || x < 0 || y >= grid.height || x >= grid.width) continue;
            tokens.push_back(y * grid.width + x);
            positions.push_back(r * grid.columns + c);
        }
    }
    const auto count = static_cast<int64_t>(tokens.size());
    const int64_t all = grid.rows * grid.columns, inner = heads_ * dim_;
    if (qkv.size() < unsigned_size(all * 3 * inner)) qkv.resize(unsigned_size(all * 3 * inner));
    if (attended.size() < unsigned_size(all * inner)) attended.resize(unsigned_size(all * inner));
    const int64_t some = kernel_.tile_rows * 8;
    LinearRows rows{};
    rows.x = grid.tokens, rows.out = qkv.data();
    for (int64_t first = 0; first < count; first += some) {
        rows.count = std::min(some, count - first);
        rows.from = tokens.data() + first, rows.to = positions.data() + first;
        to_qkv_.run_rows(rows);
    }
    attend(grid, qkv.data(), positions.data(), count, attended.data());
    rows.x = attended.data(), rows.residual = rows.out = grid.tokens;
    PerceptronRows more{};
    more.x = more.residual = more.out = grid.tokens;
    for (int64_t first = 0; first < count; first += some) {
        rows.count = more.count = std::min(some, count - first);
        rows.from = positions.data() + first, rows.to = tokens.data() + first;
        project_.run_rows(rows);
        more.numbers = rows.to;
        perceptron_.run_rows(more);
    }
}

void EncoderBlock::attend(const WindowGrid& grid, const float* qkv, const int64_t* positions,
                          int64_t count, float* out) const {
    thread_local Floats keys, values, rotated;
    thread_local std::vector<const float*> sources;
    const int64_t lanes = 2 * static_cast<int64_t>(kernel_.vector_width);
    const int64_t all = grid.rows * grid.columns, padded = whole(all, key_block);
    const int64_t dim = kernel_.padded(dim_), inner = heads_ * dim_, half = dim_ / 2;
    keys.resize(unsigned_size(padded * dim));
    values.resize(unsigned_size(padded * dim));
    rotated.resize(unsigned_size(dim));
    sources.assign(unsigned_size(all), padding_.data());
    for (int64_t i = 0; i < count; ++i) {
        sources[unsigned_size(positions[i])] = qkv + positions[i] * 3 * inner;
    }
    const float scale = 1.44269504088896341f / std::sqrt(static_cast<float>(dim_));
    for (int64_t h = 0; h < heads_; ++h) {
        for (int64_t i = 0; i < whole(all, lanes); ++i) {
            const float* key = i < all ? sources[unsigned_size(i)] + inner + h * dim_ : nullptr;
            const float* value = i < all ? key + inner : nullptr;
            pack_key(kernel_, i, key, value, grid.cos + i * half, grid.sin + i * half, dim_, dim,
                     padded, rotated.data(), keys.data(), values.data());
        }
        const int64_t some = kernel_.tile_rows * 4;
        for (int64_t first = 0; first < count; first += some) {
            const int64_t part = std::min(some, count - first);
            kernel_.attend({keys.data(), values.data(), all, padded, dim},
                           {qkv + h * dim_, positions + first, part, 3 * inner, dim_}, grid.cos,
                           grid.sin, scale, out + h * dim_, inner, nullptr, heads_,
                           scratch(kernel_.attend_scratch(part, dim)));
        }
    }
}

}  // namespace inter2former
