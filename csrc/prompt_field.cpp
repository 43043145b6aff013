#include "prompt_field.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>

#include "thread_pool.hpp"

namespace inter2former {

PackedConvolution::PackedConvolution(const ClickKernel& kernel, int64_t outputs, int64_t channels,
                                     const float* weight, const float* given_bias)
    : outputs(outputs), channels(channels) {
    const int64_t width = kernel.vector_width, lanes = 2 * width;
    const int64_t inputs = whole(channels, width);
    weights.assign(unsigned_size(kernel.padded(outputs) * 9 * inputs), 0.0f);
    bias.assign(unsigned_size(kernel.padded(outputs)), 0.0f);
    for (int64_t o = 0; o < outputs; ++o) {
        float* panel = weights.data() + o / lanes * lanes * 9 * inputs + o % lanes;
        for (int64_t i = 0; i < channels; ++i) {
            for (int64_t tap = 0; tap < 9; ++tap) {
                panel[(tap * inputs + i) * lanes] = weight[(o * channels + i) * 9 + tap];
            }
        }
        if (given_bias) bias[unsigned_size(o)] = given_bias[o];
    }
}

namespace {

constexpr int64_t patch = 16, labels = 5;
constexpr uint8_t possible_background = 1, unknown = 2, mixed = 255;
constexpr int64_t tokens_per_task = 6;

// Memory that is kept from mask to mask; what is in it does not matter.
template <class Values>
void reserve(Values& values, int64_t size) {
    if (values.size() < unsigned_size(size)) values.resize(unsigned_size(size));
}

int64_t side_of(size_t level) { return 8 >> level; }  // positions per token

}  // namespace

// One convolution of a level at the positions of some tokens.
struct PromptField::Pixels {
    const PackedConvolution& convolution;
    size_t level;
    int64_t stride;
    const float* outside;   // what lies outside the image,
    uint8_t outside_label;  // and its label or `mixed`
    const float* constants;  // what comes of a constant input, (labels, outputs)
    bool rectify;
    float* out;    // (token, side, side, outputs)
    uint8_t* kinds;  // (token, side, side) labels or `mixed`; or null
};

void PromptField::embed(const uint8_t* reference, int64_t rows, int64_t columns, int threads) {
    rows_ = rows, columns_ = columns;
    term_slots_.clear();
    look(reference, threads);
    find_varied();
    levels_.resize(4);
    labels_.resize(4);
    for (size_t level = 0; level < 4; ++level) {
        const Floats& constant = packed_.constants[level];
        const auto channels = static_cast<int64_t>(constant.size()) / labels;
        const int64_t positions = side_of(level) * side_of(level);
        reserve(levels_[level], (labels + computed()) * positions * channels);
        reserve(labels_[level], (labels + computed()) * positions);
        float* to = levels_[level].data();
        uint8_t* kind = labels_[level].data();
        for (int64_t label = 0; label < labels; ++label) {
            for (int64_t i = 0; i < positions; ++i, to += channels) {
                std::copy_n(constant.data() + label * channels, channels, to);
                *kind++ = static_cast<uint8_t>(label);
            }
        }
    }
    if (varied_.empty()) return;
    embed_first(reference, threads);
    for (size_t level = 1; level < 4; ++level) {
        const PackedConvolution& convolution = packed_.convolutions[level - 1];
        const int64_t positions = side_of(level) * side_of(level);
        // Outside the image lies possible background.
        const float* outside =
            packed_.constants[level - 1].data() + possible_background * convolution.channels;
        convolve({convolution, level - 1, 2, outside, possible_background,
                  packed_.constants[level].data(), true,
                  levels_[level].data() + labels * positions * convolution.outputs,
                  labels_[level].data() + labels * positions},
                 varied_, threads);
    }
}

void PromptField::look(const uint8_t* reference, int threads) {
    const int64_t width = columns_ * patch, height = rows_ * patch;
    kinds_.resize(unsigned_size(rows_ * columns_));
    edge_.resize(kinds_.size());
    uint8_t* kinds = kinds_.data();
    const int64_t some = 4;  // rows of tokens per task
    const int64_t tasks = divided_up(rows_, some);
    std::atomic<bool> wrong{false};
    parallel_for(threads, tasks, [=, &wrong](int64_t task) {
        uint64_t high = 0, above_four = 0;
        for (int64_t r = task * some; r < std::min((task + 1) * some, rows_); ++r) {
            for (int64_t c = 0; c < columns_; ++c) {
                const uint8_t* at = reference + r * patch * width + c * patch;
                uint64_t first = at[0] * 0x0101010101010101ull, differs = 0;
                for (int64_t y = 0; y < patch; ++y) {
                    uint64_t halves[2];
                    std::memcpy(halves, at + y * width, patch);
                    differs |= (halves[0] ^ first) | (halves[1] ^ first);
                    for (uint64_t v : halves) high |= v, above_four |= v >> 2 & (v | v >> 1);
                }
                kinds[r * columns_ + c] = differs ? mixed : at[0];
            }
        }
        constexpr uint64_t ones = 0x0101010101010101ull;
        if ((high & 0xf8 * ones) | (above_four & ones)) wrong = true;
    });
    if (wrong) throw std::invalid_argument("labels of a reference mask are 0 to 4");
    uint8_t* edges = edge_.data();
    parallel_for(threads, tasks, [=](int64_t task) {
        for (int64_t r = task * some; r < std::min((task + 1) * some, rows_); ++r) {
            for (int64_t c = 0; c < columns_; ++c) {
                const uint8_t label = kinds[r * columns_ + c];
                bool same = label != mixed;
                const int64_t r0 = std::max<int64_t>(r - 1, 0), r1 = std::min(r + 2, rows_);
                const int64_t c0 = std::max<int64_t>(c - 1, 0), c1 = std::min(c + 2, columns_);
                for (int64_t y = r0; y < r1; ++y) {
                    for (int64_t x = c0; x < c1; ++x) same &= kinds[y * columns_ + x] == label;
                }
                uint8_t& edge = edges[r * columns_ + c];
                edge = label == unknown;
                if (same || edge) continue;
                // Eq. 4: some label within three pixels differs, or a pixel is unknown.
                const int64_t left = std::max<int64_t>(c * patch - 3, 0);
                const int64_t right = std::min((c + 1) * patch + 3, width);
                const int64_t bottom = std::min((r + 1) * patch + 3, height);
                const uint8_t one = reference[r * patch * width + c * patch];
                for (int64_t y = std::max<int64_t>(r * patch - 3, 0); y < bottom && !edge; ++y) {
                    const uint8_t* line = reference + y * width;
                    for (int64_t x = left; x < right; ++x) edge |= line[x] != one;
                }
            }
        }
    });
}

void PromptField::find_varied() {
    slots_.resize(kinds_.size());
    varied_.clear();
    const auto kind = [this](int64_t r, int64_t c) {
        return r < 0 || c < 0 ? possible_background : kinds_[unsigned_size(r * columns_ + c)];
    };
    // The convolutions look at the token and up to 15 pixels above and to the left of it.
    for (int64_t r = 0; r < rows_; ++r) {
        for (int64_t c = 0; c < columns_; ++c) {
            const uint8_t label = kind(r, c);
            const bool same = label != mixed && kind(r - 1, c) == label &&
                              kind(r, c - 1) == label && kind(r - 1, c - 1) == label;
            const int64_t token = r * columns_ + c;
            slots_[unsigned_size(token)] = same ? label : static_cast<int32_t>(labels + computed());
            if (!same) varied_.push_back(token);
        }
    }
}

void PromptField::embed_first(const uint8_t* reference, int threads) {
    const int64_t width = columns_ * patch, channels = packed_.first_outputs;
    const float *table = packed_.table.data(), *bias = packed_.first_bias.data();
    const int64_t* tokens = varied_.data();
    const float* constants = packed_.constants[0].data();
    float* out = levels_[0].data() + labels * 64 * channels;
    uint8_t* kinds = labels_[0].data() + labels * 64;
    parallel_for(threads, computed(), [=](int64_t number) {
        const int64_t row = tokens[number] / (width / patch) * patch;
        const int64_t column = tokens[number] % (width / patch) * patch;
        // The token's labels and those just above and to the left of it.
        uint8_t seen[17][17];
        for (int64_t y = 0; y < 17; ++y) {
            for (int64_t x = 0; x < 17; ++x) {
                const int64_t r = row + y - 1, c = column + x - 1;
                seen[y][x] = r < 0 || c < 0 ? possible_background : reference[r * width + c];
            }
        }
        float* to = out + number * 64 * channels;
        uint8_t* kind = kinds + number * 64;
        for (int64_t y = 0; y < 8; ++y) {
            for (int64_t x = 0; x < 8; ++x, to += channels, ++kind) {
                *kind = seen[2 * y][2 * x];
                for (int64_t tap = 1; tap < 9; ++tap) {
                    if (seen[2 * y + tap / 3][2 * x + tap % 3] != *kind) *kind = mixed;
                }
                if (*kind != mixed) {
                    std::copy_n(constants + *kind * channels, channels, to);
                    continue;
                }
                std::copy_n(bias, channels, to);
                for (int64_t tap = 0; tap < 9; ++tap) {
                    const uint8_t label = seen[2 * y + tap / 3][2 * x + tap % 3];
                    const float* add = table + (tap * labels + label) * channels;
                    for (int64_t k = 0; k < channels; ++k) to[k] += add[k];
                }
                for (int64_t k = 0; k < channels; ++k) to[k] = std::max(to[k], 0.0f);
            }
        }
    });
}

// Convolve a level at all positions of some tokens.
void PromptField::convolve(const Pixels& pixels, const std::vector<int64_t>& tokens,
                           int threads) const {
    const PackedConvolution& convolution = pixels.convolution;
    const int64_t from_side = side_of(pixels.level), side = from_side / pixels.stride;
    const int64_t positions = side * side, height = rows_ * from_side, width = columns_ * from_side;
    const int shift = 3 - static_cast<int>(pixels.level);
    const auto count = static_cast<int64_t>(tokens.size());
    const float* values = levels_[pixels.level].data();
    const uint8_t* kinds = labels_[pixels.level].data();
    const ClickKernel& kernel = packed_.kernel;
    parallel_for(threads, divided_up(count, tokens_per_task), [&, this](int64_t task) {
        const float* taps[tokens_per_task * 64 * 9];
        float* to[tokens_per_task * 64];
        int64_t n = 0;
        const int64_t first = task * tokens_per_task;
        for (int64_t i = first; i < std::min(first + tokens_per_task, count); ++i) {
            const int64_t token = tokens[unsigned_size(i)];
            const int64_t row = token / columns_ * side, column = token % columns_ * side;
            for (int64_t p = 0; p < positions; ++p) {
                const int64_t y0 = (row + p / side) * pixels.stride - 1;
                const int64_t x0 = (column + p % side) * pixels.stride - 1;
                uint8_t kind = 0;
                for (int64_t tap = 0; tap < 9; ++tap) {
                    const int64_t y = y0 + tap / 3, x = x0 + tap % 3;
                    uint8_t found = pixels.outside_label;
                    taps[n * 9 + tap] = pixels.outside;
                    if (y >= 0 && x >= 0 && y < height && x < width) {
                        const int64_t slot =
                            slots_[unsigned_size((y >> shift) * columns_ + (x >> shift))];
                        const int64_t at = (((slot << shift) + (y & (from_side - 1))) << shift) +
                                           (x & (from_side - 1));
                        taps[n * 9 + tap] = values + at * convolution.channels;
                        found = kinds[at];
                    }
                    kind = tap == 0 || kind == found ? found : mixed;
                }
                float* out = pixels.out + (i * positions + p) * convolution.outputs;
                if (pixels.kinds) pixels.kinds[i * positions + p] = kind;
                if (kind != mixed) {
                    std::copy_n(pixels.constants + kind * convolution.outputs, convolution.outputs,
                                out);
                } else {
                    to[n++] = out;
                }
            }
        }
        kernel.convolve({taps, n, convolution.channels, convolution.weights.data(),
                         convolution.bias.data(), convolution.outputs, to, pixels.rectify},
                        scratch(kernel.convolve_scratch(convolution.channels)));
    });
}

void PromptField::add_to(const float* x, float* out, int threads) const {
    const auto dim = static_cast<int64_t>(packed_.constants[3].size()) / labels;
    const float* embedding = levels_[3].data();
    const int32_t* slots = slots_.data();
    parallel_for(threads, rows_, [=](int64_t row) {
        for (int64_t token = row * columns_; token < (row + 1) * columns_; ++token) {
            const float *from = x + token * dim, *add = embedding + slots[token] * dim;
            float* to = out + token * dim;
            for (int64_t k = 0; k < dim; ++k) to[k] = from[k] + add[k];
        }
    });
}

void PromptField::make_terms(int64_t top, int64_t left, int64_t bottom, int64_t right,
                             int threads) {
    term_slots_.assign(unsigned_size(rows_ * columns_), 0);
    std::vector<int64_t> tokens;
    for (int64_t r = top; r < bottom; ++r) {
        for (int64_t c = left; c < right; ++c) {
            const int64_t token = r * columns_ + c;
            const int32_t slot = slots_[unsigned_size(token)];
            bool same = slot < labels && r > 0 && c > 0 && r + 1 < rows_ && c + 1 < columns_;
            for (int64_t y = r - 1; same && y < r + 2; ++y) {
                for (int64_t x = c - 1; x < c + 2; ++x) {
                    same &= slots_[unsigned_size(y * columns_ + x)] == slot;
                }
            }
            term_slots_[unsigned_size(token)] =
                same ? slot : static_cast<int32_t>(labels + static_cast<int64_t>(tokens.size()));
            if (!same) tokens.push_back(token);
        }
    }
    terms_.resize(packed_.skips.size());
    for (size_t i = 0; i < terms_.size(); ++i) {
        const size_t level = 2 - i;  // strides 8, 4, 2
        const PackedConvolution& skip = packed_.skips[i];
        const int64_t positions = side_of(level) * side_of(level);
        reserve(terms_[i], (labels + static_cast<int64_t>(tokens.size())) * positions * skip.outputs);
        float* to = terms_[i].data();
        for (int64_t label = 0; label < labels; ++label) {
            for (int64_t p = 0; p < positions; ++p, to += skip.outputs) {
                std::copy_n(packed_.term_constants[i].data() + label * skip.outputs, skip.outputs,
                            to);
            }
        }
        const Floats zeros(unsigned_size(skip.channels), 0.0f);
        convolve({skip, level, 1, zeros.data(), mixed, packed_.term_constants[i].data(), false, to,
                  nullptr},
                 tokens, threads);
    }
}

}  // namespace inter2former
