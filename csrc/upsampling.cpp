#include "upsampling.hpp"

#include <algorithm>
#include <utility>

#include "thread_pool.hpp"

namespace inter2former {

PackedStep::PackedStep(const ClickKernel& kernel, int64_t outputs, int64_t channels,
                       const float* weight, const float* norm_weight, const float* norm_bias)
    : kernel_(kernel),
      outputs_(outputs),
      channels_(channels),
      norm_weight_(padded_copy(norm_weight, channels, whole(channels, kernel.vector_width))),
      norm_bias_(padded_copy(norm_bias, channels, whole(channels, kernel.vector_width))) {
    const int64_t lanes = 2 * static_cast<int64_t>(kernel.vector_width);
    const int64_t inputs = whole(channels, kernel.vector_width);
    // Sums of taps along an axis: all, a + b, a, c, b + c; see `upsample`.
    static constexpr bool taken[5][3] = {
        {true, true, true}, {true, true, false}, {true, false, false}, {false, false, true},
        {false, true, true}};
    weights_.assign(unsigned_size(kernel.padded(outputs) * 25 * inputs), 0.0f);
    for (int64_t o = 0; o < outputs; ++o) {
        for (int64_t product = 0; product < 25; ++product) {
            // The middle, four of its row, four of its column, sixteen corners.
            int64_t down = 0, across = 0;
            if (product >= 9) {
                down = (product - 9) / 4 + 1, across = (product - 9) % 4 + 1;
            } else if (product >= 5) {
                down = product - 4;
            } else {
                across = product;
            }
            float* to = weights_.data() + (o / lanes * 25 + product) * inputs * lanes + o % lanes;
            for (int64_t i = 0; i < channels; ++i) {
                float sum = 0.0f;
                for (int64_t y = 0; y < 3; ++y) {
                    for (int64_t x = 0; x < 3; ++x) {
                        if (taken[down][y] && taken[across][x]) {
                            sum += weight[((o * channels + i) * 3 + y) * 3 + x];
                        }
                    }
                }
                to[i * lanes] = sum;
            }
        }
    }
}

void PackedStep::run(StepBlocks blocks, int threads) const {
    blocks.channels = channels_, blocks.outputs = outputs_;
    blocks.norm_weight = norm_weight_.data(), blocks.norm_bias = norm_bias_.data();
    blocks.weights = weights_.data();
    const auto block = [](int64_t output) { return (output + 3) / 4 - 1; };
    blocks.first_column = block(blocks.output.left);
    blocks.last_column = block(blocks.output.right - 1) + 1;
    const int64_t first = block(blocks.output.top), last = block(blocks.output.bottom - 1) + 1;
    const int64_t some = std::max<int64_t>(
        1, std::min<int64_t>(4, (last - first) / (4 * static_cast<int64_t>(threads))));
    parallel_for(threads, divided_up(last - first, some), [&, this](int64_t task) {
        StepBlocks part = blocks;
        part.first_row = first + task * some;
        part.last_row = std::min(part.first_row + some, last);
        kernel_.upsample(part, scratch(kernel_.upsample_scratch(
                                   part.last_row - part.first_row,
                                   part.last_column - part.first_column, channels_)));
    });
}

PackedUpsampling::PackedUpsampling(std::vector<PackedStep> steps, PackedPatches last)
    : steps_(std::move(steps)), last_(std::move(last)) {}

void PackedUpsampling::run(const float* x, int64_t height, int64_t width,
                           const float* const* edges, const PromptField* field, const Region& box,
                           float* out, int threads) const {
    thread_local Floats levels[2];
    Region region{0, 0, height, width};
    for (size_t i = 0; i < steps_.size(); ++i) {
        const PackedStep& step = steps_[i];
        // One pixel around the box is all that the next step needs.
        const int64_t scale = int64_t(2) << i;
        const Region next{std::max<int64_t>(box.top * scale - 1, 0),
                          std::max<int64_t>(box.left * scale - 1, 0),
                          std::min(box.bottom * scale + 1, height * scale),
                          std::min(box.right * scale + 1, width * scale)};
        Floats& level = levels[i % 2];
        const int64_t floats =
            (next.bottom - next.top) * (next.right - next.left) * step.outputs();
        if (level.size() < unsigned_size(floats)) level.resize(unsigned_size(floats));
        StepBlocks blocks{};
        blocks.x = x, blocks.input = region;
        blocks.edge = edges[i], blocks.edge_stride = width * scale * step.outputs();
        blocks.out = level.data(), blocks.output = next;
        blocks.activate = true;
        if (field != nullptr && i < field->packed().skips.size()) {
            blocks.terms = field->terms(i);
            blocks.slots = field->term_slots().data(), blocks.slots_stride = width;
            blocks.tile_shift = static_cast<int64_t>(i) + 1;
        }
        step.run(blocks, threads);
        x = level.data();
        region = next;
    }
    const int64_t scale = int64_t(2) << steps_.size();
    PatchRows rows{};
    rows.x = x, rows.input = region;
    rows.add = edges[steps_.size()], rows.add_stride = width * scale;
    rows.out = out, rows.out_stride = (box.right - box.left) * scale;
    rows.output = {box.top * scale, box.left * scale, box.bottom * scale, box.right * scale};
    last_.run(rows, threads);
}

}  // namespace inter2former
