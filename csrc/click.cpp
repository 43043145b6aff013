#include "click.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "thread_pool.hpp"

namespace inter2former {

namespace {

// Working memory of one thread, kept from call to call.
float* scratch(int64_t floats) {
    thread_local Floats memory;
    if (memory.size() < static_cast<size_t>(floats)) memory.resize(static_cast<size_t>(floats));
    return memory.data();
}

int64_t divided_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }

size_t unsigned_size(int64_t n) { return static_cast<size_t>(n); }

}  // namespace

// ---- hybrid attention ----

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
        float* to_keys = key_data + h * padded * dim;
        float* to_values = value_data + h * padded * dim;
        Floats rotated(unsigned_size(dim), 0.0f);
        for (int64_t i = first; i < first + key_block; ++i) {
            // The last block is filled up with zeros.
            if (i < tokens) {
                const float *x = key + i * row, *c = cos + i * half, *s = sin + i * half;
                for (int64_t k = 0; k < half; ++k) {
                    rotated[unsigned_size(k)] = x[k] * c[k] - x[k + half] * s[k];
                    rotated[unsigned_size(k + half)] = x[k + half] * c[k] + x[k] * s[k];
                }
            } else {
                std::fill(rotated.begin(), rotated.end(), 0.0f);
            }
            float* to = to_keys + i / lanes * lanes * dim + i % lanes;
            for (int64_t k = 0; k < dim; ++k) to[k * lanes] = rotated[unsigned_size(k)];
            for (int64_t panel = 0; panel < dim; panel += lanes) {
                float* v = to_values + panel * padded + i * lanes;
                const int64_t filled =
                    i < tokens ? std::max<int64_t>(std::min(lanes, dim_ - panel), 0) : 0;
                std::copy_n(value + i * row + panel, filled, v);
                std::fill(v + filled, v + lanes, 0.0f);
            }
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

// ---- prompt embedding ----

PackedConvolution::PackedConvolution(const ClickKernel& kernel, int64_t outputs, int64_t channels,
                                     const float* weight, const float* given_bias)
    : outputs(outputs), channels(channels) {
    const int64_t width = kernel.vector_width, lanes = 2 * width;
    const int64_t inputs = divided_up(channels, width) * width;
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

PromptField::PromptField(const PackedPrompt& packed, const uint8_t* reference, int64_t rows,
                         int64_t columns, int threads)
    : packed_(packed), rows_(rows), columns_(columns) {
    look(reference, threads);
    levels_.resize(4);
    labels_.resize(4);
    for (size_t level = 0; level < 4; ++level) {
        const Floats& constant = packed.constants[level];
        const auto channels = static_cast<int64_t>(constant.size()) / labels;
        const int64_t positions = side_of(level) * side_of(level);
        levels_[level].resize(unsigned_size((labels + computed()) * positions * channels));
        labels_[level].resize(unsigned_size((labels + computed()) * positions));
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
        const PackedConvolution& convolution = packed.convolutions[level - 1];
        const int64_t positions = side_of(level) * side_of(level);
        // Outside the image lies possible background.
        const float* outside =
            packed.constants[level - 1].data() + possible_background * convolution.channels;
        convolve({convolution, level - 1, 2, outside, possible_background,
                  packed.constants[level].data(), true,
                  levels_[level].data() + labels * positions * convolution.outputs,
                  labels_[level].data() + labels * positions},
                 varied_, threads);
    }
}

void PromptField::look(const uint8_t* reference, int threads) {
    const int64_t width = columns_ * patch, height = rows_ * patch;
    std::vector<uint8_t> own(unsigned_size(rows_ * columns_));
    edge_.resize(own.size());
    slots_.resize(own.size());
    uint8_t* kinds = own.data();
    const int64_t some = 4;  // rows of tokens per task
    const int64_t tasks = divided_up(rows_, some);
    parallel_for(threads, tasks, [=](int64_t task) {
        for (int64_t r = task * some; r < std::min((task + 1) * some, rows_); ++r) {
            for (int64_t c = 0; c < columns_; ++c) {
                const uint8_t* at = reference + r * patch * width + c * patch;
                uint64_t first = at[0] * 0x0101010101010101ull, differs = 0;
                for (int64_t y = 0; y < patch; ++y) {
                    uint64_t halves[2];
                    std::memcpy(halves, at + y * width, patch);
                    differs |= (halves[0] ^ first) | (halves[1] ^ first);
                }
                kinds[r * columns_ + c] = differs ? mixed : at[0];
            }
        }
    });
    const auto kind = [=](int64_t r, int64_t c) {
        return r < 0 || c < 0 ? possible_background : kinds[r * columns_ + c];
    };
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
        terms_[i].resize((labels + tokens.size()) * unsigned_size(positions * skip.outputs));
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

// ---- linear layers ----

PackedLinear::PackedLinear(const ClickKernel& kernel, int64_t outputs, int64_t inputs,
                           const float* weight, const float* bias, const float* norm_weight,
                           const float* norm_bias)
    : kernel_(kernel), outputs_(outputs), inputs_(inputs) {
    const int64_t width = kernel.vector_width, lanes = 2 * width;
    const int64_t padded = divided_up(inputs, width) * width;
    weights_.assign(unsigned_size(kernel.padded(outputs) * padded), 0.0f);
    bias_.assign(unsigned_size(kernel.padded(outputs)), 0.0f);
    std::copy_n(bias, outputs, bias_.begin());
    for (int64_t o = 0; o < outputs; ++o) {
        float* panel = weights_.data() + o / lanes * lanes * padded + o % lanes;
        for (int64_t i = 0; i < inputs; ++i) panel[i * lanes] = weight[o * inputs + i];
    }
    if (norm_weight) {
        norm_weight_.assign(norm_weight, norm_weight + inputs);
        norm_bias_.assign(norm_bias, norm_bias + inputs);
    }
}

void PackedLinear::run(const float* x, int64_t count, const float* residual, float* out,
                       int threads) const {
    // A few tiles at a time, so that they stay in the first-level cache with a panel of weights.
    const int64_t block = kernel_.tile_rows * 8;
    parallel_for(threads, divided_up(count, block), [=](int64_t task) {
        const int64_t first = task * block, some = std::min(block, count - first);
        kernel_.linear({x + first * inputs_, some, inputs_,
                        norm_weight_.empty() ? nullptr : norm_weight_.data(), norm_bias_.data(),
                        weights_.data(), bias_.data(), outputs_,
                        residual ? residual + first * outputs_ : nullptr, out + first * outputs_},
                       scratch(kernel_.linear_scratch(some, inputs_)));
    });
}

// ---- upsampling ----

PackedStep::PackedStep(const ClickKernel& kernel, int64_t outputs, int64_t channels,
                       const float* weight, const float* norm_weight, const float* norm_bias)
    : kernel_(kernel),
      outputs_(outputs),
      channels_(channels),
      norm_weight_(norm_weight, norm_weight + channels),
      norm_bias_(norm_bias, norm_bias + channels) {
    const int64_t width = kernel.vector_width, lanes = 2 * width;
    const int64_t inputs = divided_up(channels, width) * width;
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
