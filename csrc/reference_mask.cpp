#include "reference_mask.hpp"

#include <algorithm>

#include "packing.hpp"
#include "thread_pool.hpp"

namespace inter2former {

void update_reference(uint8_t* reference, int64_t height, int64_t width, const float* logits,
                      int64_t stride, int64_t top, int64_t left, int64_t bottom, int64_t right,
                      int threads) {
    const int64_t some = 64;
    parallel_for(threads, divided_up(height, some), [=](int64_t task) {
        for (int64_t r = task * some; r < std::min((task + 1) * some, height); ++r) {
            uint8_t* line = reference + r * width;
            const bool inside = r >= top && r < bottom;
            const int64_t from = inside ? left : width, to = inside ? right : width;
            // Predicted background: 2 becomes 1, and 3 becomes 2.
            const auto background = [=](int64_t first, int64_t last) {
                for (int64_t c = first; c < last; ++c) {
                    line[c] = static_cast<uint8_t>(line[c] - ((line[c] == 2) | (line[c] == 3)));
                }
            };
            background(0, from);
            const float* predicted = logits + (r - top) * stride;
            for (int64_t c = from; c < to; ++c) {
                const int foreground = predicted[c - left] > 0, label = line[c];
                const int up = foreground & ((label == 1) | (label == 2));
                const int down = (foreground ^ 1) & ((label == 2) | (label == 3));
                line[c] = static_cast<uint8_t>(label + up - down);
            }
            background(to, width);
        }
    });
}

}  // namespace inter2former
