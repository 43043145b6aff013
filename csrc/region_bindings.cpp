// Python's view of masks; see module.cpp.
#include <algorithm>
#include <memory>
#include <utility>

#include "bindings.hpp"
#include "reference_mask.hpp"
#include "regions.hpp"

using namespace inter2former;

namespace {

std::unique_ptr<MaskParts> find_parts(const py::array& logits, int threads) {
    const py::ssize_t height = size(logits, 0), width = size(logits, 1);
    int64_t stride = 0;
    const float* values = rows_of<float>(logits, "logits", {height, width}, &stride);
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    return std::make_unique<MaskParts>(values, stride, height, width, threads);
}

py::array_t<int64_t> table(const MaskParts& mask) {
    const auto rows = static_cast<py::ssize_t>(mask.parts().size());
    py::array_t<int64_t> out({rows, py::ssize_t(5)});
    int64_t* to = out.mutable_data();
    for (const MaskParts::Part& part : mask.parts()) {
        for (int64_t value : {part.top, part.left, part.bottom, part.right, part.area}) {
            *to++ = value;
        }
    }
    return out;
}

Shape one_per_part(const MaskParts& mask) {
    return {static_cast<py::ssize_t>(mask.parts().size())};
}

py::array_t<bool> touched(const MaskParts& mask, const py::array& labels, int least) {
    int64_t stride = 0;
    const uint8_t* values =
        rows_of<uint8_t>(labels, "labels", {mask.height(), mask.width()}, &stride);
    py::array_t<bool> out(one_per_part(mask));
    std::fill_n(out.mutable_data(), out.size(), false);
    mask.touch(values, stride, static_cast<uint8_t>(least), out.mutable_data());
    return out;
}

int64_t count(const MaskParts& mask, const py::array& chosen, int64_t top, int64_t left,
              int64_t bottom, int64_t right) {
    return mask.count(data<bool>(chosen, "chosen", one_per_part(mask)), top, left, bottom, right);
}

void erase(const MaskParts& mask, py::array& logits, const py::array& stays, float value) {
    int64_t stride = 0;
    float* values = rows_of<float>(logits, "logits", {mask.height(), mask.width()}, &stride);
    mask.erase(values, stride, data<bool>(stays, "stays", one_per_part(mask)), value);
}

std::pair<int64_t, int64_t> areas(const py::array& logits, int threads) {
    const py::ssize_t height = size(logits, 0), width = size(logits, 1);
    int64_t stride = 0;
    const float* values = rows_of<float>(logits, "logits", {height, width}, &stride);
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    const Areas found = count_areas(values, stride, height, width, threads);
    return {found.likely, found.sure};
}

void update(py::array& reference, const py::array& logits, int64_t top, int64_t left, int threads) {
    const py::ssize_t height = size(reference, 0), width = size(reference, 1);
    const py::ssize_t h = size(logits, 0), w = size(logits, 1);
    uint8_t* labels = writable_data<uint8_t>(reference, "reference", {height, width});
    int64_t stride = 0;
    const float* predicted = rows_of<float>(logits, "logits", {h, w}, &stride);
    if (top < 0 || left < 0 || top + h > height || left + w > width) {
        throw py::value_error("the logits reach beyond the reference mask");
    }
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    update_reference(labels, height, width, predicted, stride, top, left, top + h, left + w,
                     threads);
}

}  // namespace

void inter2former::bind_regions(py::module_& module) {
    py::class_<MaskParts>(module, "MaskParts")
        .def(py::init(&find_parts), py::arg("logits"), py::arg("threads"))
        .def("table", &table)
        .def("at", &MaskParts::at, py::arg("row"), py::arg("column"))
        .def("touched", &touched, py::arg("labels"), py::arg("least"))
        .def("count", &count, py::arg("chosen"), py::arg("top"), py::arg("left"),
             py::arg("bottom"), py::arg("right"))
        .def("erase", &erase, py::arg("logits"), py::arg("stays"), py::arg("value"));
    module.def("count_areas", &areas, py::arg("logits"), py::arg("threads"),
               "How many logits are above -1 and above 1.");
    module.def("update_reference", &update, py::arg("reference"), py::arg("logits"), py::arg("top"),
               py::arg("left"), py::arg("threads"),
               "Move a reference mask on after a prediction, in place.");
}
