// The reference mask (Inter2Former, 3.3). The plain twin is in model/reference_mask.py.
#pragma once

#include <cstdint>

namespace inter2former {

// Move a reference mask (height, width) on after a prediction: where the logits of a box, rows
// `stride` floats apart, are above 0 there is foreground.
void update_reference(uint8_t* reference, int64_t height, int64_t width, const float* logits,
                      int64_t stride, int64_t top, int64_t left, int64_t bottom, int64_t right,
                      int threads);

}  // namespace inter2former
