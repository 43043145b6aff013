// Connected parts of a mask.
#pragma once

#include <cstdint>
#include <vector>

namespace inter2former {

// The parts of a mask, 8-connected, as runs of pixels in rows. Numbered in the order of their first
// pixels.
class MaskParts {
public:
    struct Run {
        int32_t row, first, last;  // pixels [first, last)
        int32_t part;
    };
    struct Part {
        int64_t top, left, bottom, right, area;
    };

    // The mask is where logits (height, width) are positive; rows lie `stride` floats apart.
    MaskParts(const float* logits, int64_t stride, int64_t height, int64_t width, int threads);

    const std::vector<Part>& parts() const { return parts_; }
    int64_t height() const { return height_; }
    int64_t width() const { return width_; }
    // The part of a pixel, or -1.
    int64_t at(int64_t row, int64_t column) const;
    // Sets touched[part] where a pixel of the part has at least the label `least`.
    void touch(const uint8_t* labels, int64_t stride, uint8_t least, bool* touched) const;
    // How many pixels of chosen parts lie in a box.
    int64_t count(const bool* chosen, int64_t top, int64_t left, int64_t bottom,
                  int64_t right) const;
    // Sets the logits of parts that do not stay.
    void erase(float* logits, int64_t stride, const bool* stays, float value) const;

private:
    void connect();

    int64_t height_, width_;
    std::vector<Run> runs_;
    std::vector<int64_t> first_run_;  // of each row, and behind the last
    std::vector<Part> parts_;
};

// How many of the logits (height, width) are above -1 and above 1.
struct Areas {
    int64_t likely, sure;
};
Areas count_areas(const float* logits, int64_t stride, int64_t height, int64_t width, int threads);

}  // namespace inter2former
