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

int64_t whole_lines(int64_t floats) { return (floats + line - 1) / line * line; }

float* first_line(float* pointer) {
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    const uintptr_t bytes = line * sizeof(float);
    return reinterpret_cast<float*>((address + bytes - 1) / bytes * bytes);
}

// Packs `count` rows of `length` floats as lanes 0 to count - 1 of a panel with `lanes` lanes: the
// element k of row r goes to panel[k * lanes + r].
void pack_rows(const float* rows, int64_t count, int64_t length, float* panel, int64_t lanes) {
    for (int64_t row = 0; row < count; ++row) {
        for (int64_t k = 0; k < length; ++k) panel[k * lanes + row] = rows[row * length + k];
    }
}

// Working memory of one thread, kept from call to call.
float* scratch(int64_t floats) {
    thread_local std::vector<float> memory;
    const auto needed = static_cast<size_t>(floats + line);
    if (memory.size() < needed) memory.resize(needed);
    return first_line(memory.data());
}

struct Block {
    int64_t expert, first, count;  // `count` tokens of the sorted order, from `first` on
};

}  // namespace

PackedExperts::PackedExperts(const ExpertsKernel& kernel, int64_t experts, int64_t width,
                             int64_t hidden, const float* gate_up, const float* norm_weight,
                             const float* norm_bias, const float* down)
    : kernel_(kernel), experts_(experts), width_(width), hidden_(hidden) {
    const int64_t inputs = kernel.padded(width);
    const int64_t hidden_padded = kernel.padded(hidden);
    gate_up_floats_ = whole_lines(2 * hidden_padded * inputs);
    norm_floats_ = whole_lines(hidden_padded);
    down_floats_ = whole_lines(kernel.padded_output(width) * hidden_padded);
    expert_floats_ = gate_up_floats_ + 2 * norm_floats_ + down_floats_;
    storage_.reset(new float[static_cast<size_t>(experts * expert_floats_ + line)]());
    weights_ = first_line(storage_.get());

    const int64_t lanes = kernel.vector_width;
    for (int64_t e = 0; e < experts; ++e) {
        float* packed = weights_ + e * expert_floats_;
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
        for (int64_t row = 0; row < width; row += 2 * lanes) {
            pack_rows(down + (e * width + row) * hidden, std::min(2 * lanes, width - row), hidden,
                      packed + row * hidden_padded, 2 * lanes);
        }
    }
}

ExpertWeights PackedExperts::expert(int64_t number) const {
    const float* gate_up = weights_ + number * expert_floats_;
    const float* norm_weight = gate_up + gate_up_floats_;
    const float* norm_bias = norm_weight + norm_floats_;
    return {gate_up, norm_weight, norm_bias, norm_bias + norm_floats_, width_, hidden_};
}

void PackedExperts::run(const float* x, const int64_t* index, int64_t tokens, float* y,
                        int threads) const {
    // Counting sort by expert (Eq. 19): `order` is the permutation that groups the tokens.
    thread_local std::vector<int64_t> start, order;
    thread_local std::vector<Block> blocks;
    start.assign(static_cast<size_t>(experts_), 0);
    order.resize(static_cast<size_t>(tokens));
    for (int64_t t = 0; t < tokens; ++t) {
        if (index[t] < 0 || index[t] >= experts_) {
            throw std::invalid_argument("expert index " + std::to_string(index[t]) +
                                        " of token " + std::to_string(t) + " is outside [0, " +
                                        std::to_string(experts_) + ")");
        }
        ++start[static_cast<size_t>(index[t])];
    }
    int64_t sum = 0;
    for (int64_t& s : start) sum += std::exchange(s, sum);
    for (int64_t t = 0; t < tokens; ++t) {
        order[static_cast<size_t>(start[static_cast<size_t>(index[t])]++)] = t;
    }

    // Each expert's tokens in blocks: tall ones read the weights less often, but there must be
    // enough of them to occupy every thread. (Results do not depend on it.)
    const int64_t share = tokens / (4 * static_cast<int64_t>(threads));
    const int64_t height = std::min<int64_t>(8, std::max<int64_t>(1, share / kernel_.tile_rows));
    const int64_t rows = height * kernel_.tile_rows;
    blocks.clear();
    int64_t first = 0;
    for (int64_t e = 0; e < experts_; ++e) {
        const int64_t end = start[static_cast<size_t>(e)];  // the sort moved it there
        for (; first < end; first += rows) blocks.push_back({e, first, std::min(rows, end - first)});
        first = end;
    }

    const int64_t* sorted = order.data();
    const Block* all = blocks.data();
    const auto work = [=](int64_t number) {
        const Block& block = all[number];
        kernel_.run(expert(block.expert), x, sorted + block.first, block.count, y,
                    scratch(kernel_.scratch_floats(width_, hidden_, block.count)));
    };
    parallel_for(threads, static_cast<int64_t>(blocks.size()), work);
}

}  // namespace inter2former
