#include "upsampling.hpp"

#include <algorithm>

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
    const auto tap = [=](int64_t o, int64_t i, int64_t y, int64_t x) {
        return weight[((o * channels + i) * 3 + y) * 3 + x];
    };
    if (outputs == 1) {  // (channels, 4 pixels, 2 x 2 taps)
        weights_.assign(unsigned_size(16 * channels), 0.0f);
        for (int64_t pixel = 0; pixel < 4; ++pixel) {
            for (int64_t y = 0; y < 3; ++y) {
                for (int64_t x = 0; x < 3; ++x) {
                    // Which of the two inputs a tap of the upsampled image falls on.
                    const int64_t row = pixel / 2 ? y == 2 : y > 0;
                    const int64_t column = pixel % 2 ? x == 2 : x > 0;
                    float* to = weights_.data() + pixel * 4 + row * 2 + column;
                    for (int64_t i = 0; i < channels; ++i) to[i * 16] += tap(0, i, y, x);
                }
            }
        }
        return;
    }
    // Nine products (see `upsample`): rows and columns of taps, each a sum, the first or the last.
    static constexpr int rows[9] = {3, 3, 3, 0, 2, 0, 0, 2, 2};
    static constexpr int columns[9] = {3, 0, 2, 3, 3, 0, 2, 0, 2};
    weights_.assign(unsigned_size(kernel.padded(outputs) * 9 * inputs), 0.0f);
    for (int64_t o = 0; o < outputs; ++o) {
        for (int64_t product = 0; product < 9; ++product) {
            float* to = weights_.data() + (o / lanes * 9 + product) * inputs * lanes + o % lanes;
            for (int64_t i = 0; i < channels; ++i) {
                float sum = 0.0f;
                for (int64_t y = 0; y < 3; ++y) {
                    for (int64_t x = 0; x < 3; ++x) {
                        const bool in_row = rows[product] == 3 || rows[product] == y;
                        const bool in_column = columns[product] == 3 || columns[product] == x;
                        if (in_row && in_column) sum += tap(o, i, y, x);
                    }
                }
                to[i * lanes] = sum;
            }
        }
    }
}

void PackedStep::run(StepRows rows, int threads) const {
    rows.channels = channels_;
    rows.outputs = outputs_;
    rows.norm_weight = norm_weight_.data();
    rows.norm_bias = norm_bias_.data();
    rows.weights = weights_.data();
    const int64_t at_once =
        std::max<int64_t>(1, std::min<int64_t>(16, rows.height / (4 * static_cast<int64_t>(threads))));
    parallel_for(threads, divided_up(rows.height, at_once), [&, this](int64_t task) {
        StepRows some = rows;
        some.first = task * at_once;
        some.last = std::min(some.first + at_once, rows.height);
        kernel_.upsample(
            some, scratch(kernel_.upsample_scratch(some.last - some.first, rows.width, channels_)));
    });
}

}  // namespace inter2former
