#include "regions.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "packing.hpp"
#include "thread_pool.hpp"

namespace inter2former {

namespace {

constexpr int64_t rows_per_task = 32;

}  // namespace

MaskParts::MaskParts(const float* logits, int64_t stride, int64_t height, int64_t width,
                     int threads)
    : height_(height), width_(width) {
    const int64_t tasks = divided_up(height, rows_per_task);
    std::vector<std::vector<Run>> found(unsigned_size(tasks));
    parallel_for(threads, tasks, [&](int64_t task) {
        std::vector<uint8_t> inside(unsigned_size(width + 1));  // also of an empty row there is memory
        std::vector<Run>& runs = found[unsigned_size(task)];
        const int64_t end = std::min((task + 1) * rows_per_task, height);
        for (int64_t row = task * rows_per_task; row < end; ++row) {
            const float* line = logits + row * stride;
            for (int64_t c = 0; c < width; ++c) inside[unsigned_size(c)] = line[c] > 0;
            const uint8_t *first = inside.data(), *behind = first + width, *at = first;
            for (;;) {
                at = static_cast<const uint8_t*>(std::memchr(at, 1, unsigned_size(behind - at)));
                if (at == nullptr) break;
                const void* stop = std::memchr(at, 0, unsigned_size(behind - at));
                const auto* last = stop == nullptr ? behind : static_cast<const uint8_t*>(stop);
                runs.push_back({static_cast<int32_t>(row), static_cast<int32_t>(at - first),
                                static_cast<int32_t>(last - first), -1});
                if (last == behind) break;
                at = last;
            }
        }
    });
    for (const std::vector<Run>& runs : found) runs_.insert(runs_.end(), runs.begin(), runs.end());
    first_run_.assign(unsigned_size(height + 1), static_cast<int64_t>(runs_.size()));
    for (size_t i = runs_.size(); i-- > 0;) {
        first_run_[static_cast<size_t>(runs_[i].row)] = static_cast<int64_t>(i);
    }
    for (int64_t row = height; row-- > 0;) {
        int64_t& first = first_run_[unsigned_size(row)];
        first = std::min(first, first_run_[unsigned_size(row + 1)]);
    }
    connect();
}

void MaskParts::connect() {
    std::vector<size_t> parent(runs_.size());
    std::iota(parent.begin(), parent.end(), size_t(0));
    const auto root = [&](size_t i) {
        while (parent[i] != i) i = parent[i] = parent[parent[i]];
        return i;
    };
    for (int64_t row = 1; row < height_; ++row) {
        auto above = static_cast<size_t>(first_run_[unsigned_size(row - 1)]);
        auto here = static_cast<size_t>(first_run_[unsigned_size(row)]);
        const auto above_end = here;
        const auto here_end = static_cast<size_t>(first_run_[unsigned_size(row + 1)]);
        while (above < above_end && here < here_end) {
            // Corners touch, too.
            if (runs_[above].last >= runs_[here].first && runs_[here].last >= runs_[above].first) {
                const size_t a = root(above), b = root(here);
                parent[std::max(a, b)] = std::min(a, b);
            }
            if (runs_[above].last < runs_[here].last) {
                ++above;
            } else {
                ++here;
            }
        }
    }
    for (size_t i = 0; i < runs_.size(); ++i) {
        Run& run = runs_[i];
        if (root(i) == i) {
            run.part = static_cast<int32_t>(parts_.size());
            parts_.push_back({run.row, run.first, run.row + 1, run.last, 0});
        } else {
            run.part = runs_[root(i)].part;
        }
        Part& part = parts_[static_cast<size_t>(run.part)];
        part.left = std::min<int64_t>(part.left, run.first);
        part.right = std::max<int64_t>(part.right, run.last);
        part.bottom = run.row + 1;
        part.area += run.last - run.first;
    }
}

int64_t MaskParts::at(int64_t row, int64_t column) const {
    if (row < 0 || row >= height_) return -1;
    for (int64_t i = first_run_[unsigned_size(row)]; i < first_run_[unsigned_size(row + 1)]; ++i) {
        const Run& run = runs_[unsigned_size(i)];
        if (run.first <= column && column < run.last) return run.part;
    }
    return -1;
}

void MaskParts::touch(const uint8_t* labels, int64_t stride, uint8_t least, bool* touched) const {
    for (const Run& run : runs_) {
        if (touched[run.part]) continue;
        const uint8_t* line = labels + run.row * stride;
        touched[run.part] = std::any_of(line + run.first, line + run.last,
                                        [=](uint8_t label) { return label >= least; });
    }
}

int64_t MaskParts::count(const bool* chosen, int64_t top, int64_t left, int64_t bottom,
                         int64_t right) const {
    int64_t sum = 0;
    top = std::max<int64_t>(top, 0), bottom = std::min(bottom, height_);
    if (top >= bottom) return 0;
    for (int64_t i = first_run_[unsigned_size(top)]; i < first_run_[unsigned_size(bottom)]; ++i) {
        const Run& run = runs_[unsigned_size(i)];
        if (!chosen[run.part]) continue;
        sum += std::max<int64_t>(
            std::min<int64_t>(run.last, right) - std::max<int64_t>(run.first, left), 0);
    }
    return sum;
}

void MaskParts::erase(float* logits, int64_t stride, const bool* stays, float value) const {
    for (const Run& run : runs_) {
        if (stays[run.part]) continue;
        float* line = logits + run.row * stride;
        std::fill(line + run.first, line + run.last, value);
    }
}

Areas count_areas(const float* logits, int64_t stride, int64_t height, int64_t width, int threads) {
    const int64_t tasks = divided_up(height, rows_per_task);
    std::vector<Areas> sums(unsigned_size(tasks), Areas{0, 0});
    parallel_for(threads, tasks, [&](int64_t task) {
        Areas& sum = sums[unsigned_size(task)];
        const int64_t end = std::min((task + 1) * rows_per_task, height);
        for (int64_t row = task * rows_per_task; row < end; ++row) {
            const float* line = logits + row * stride;
            int32_t likely = 0, sure = 0;
            for (int64_t c = 0; c < width; ++c) likely += line[c] > -1, sure += line[c] > 1;
            sum.likely += likely, sum.sure += sure;
        }
    });
    Areas all{0, 0};
    for (const Areas& sum : sums) all.likely += sum.likely, all.sure += sum.sure;
    return all;
}

}  // namespace inter2former
