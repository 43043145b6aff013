// Python's view of a click's path through the decoder; see module.cpp.
#include "click_bindings.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "hybrid_attention.hpp"
#include "isa.hpp"
#include "linear.hpp"
#include "prompt_field.hpp"
#include "reference_mask.hpp"
#include "upsampling.hpp"

namespace py = pybind11;
using namespace inter2former;

namespace {

using Shape = std::vector<py::ssize_t>;

const ClickKernel& kernel_named(const std::string& name) {
    if (name == "portable") return *portable_click_kernel();
    if (name == "avx2" && processor_has_avx2()) return *avx2_click_kernel();
    if (name == "avx512" && processor_has_avx512()) return *avx512_click_kernel();
    throw py::value_error("instruction set '" + name + "' is not available here");
}

py::ssize_t size(const py::array& array, py::ssize_t axis) {
    return axis < array.ndim() ? array.shape(axis) : -1;
}

std::unique_ptr<HybridAttention> make_attention(const py::array& project, const py::array& base,
                                                const std::string& isa) {
    const py::ssize_t heads = size(project, 0), dim = size(project, 1), bits = size(project, 2);
    const ClickKernel& kernel = kernel_named(isa);
    const float* p = data<float>(project, "project", {heads, dim, bits});
    const float* b = data<float>(base, "base", {2, heads, bits, dim});
    if (!HybridAttention::possible(kernel, dim, bits)) {
        throw py::value_error("no kernel for this number of bits or dimensions");
    }
    return std::make_unique<HybridAttention>(kernel, heads, dim, bits, p, b);
}

void attend(const HybridAttention& attention, const py::array& qkv, const py::array& edge,
            const py::array& cos, const py::array& sin, py::array& out, const py::object& log_sums,
            int threads) {
    const py::ssize_t tokens = size(qkv, 0), heads = attention.heads(), dim = attention.dim();
    const float* x = data<float>(qkv, "qkv", {tokens, 3, heads, dim});
    const auto* e = reinterpret_cast<const uint8_t*>(data<bool>(edge, "edge", {tokens}));
    const float* c = data<float>(cos, "cos", {tokens, dim / 2});
    const float* s = data<float>(sin, "sin", {tokens, dim / 2});
    float* y = data<float>(out, "out", {tokens, heads, dim});
    float* logs = log_sums.is_none()
                      ? nullptr
                      : data<float>(py::cast<py::array>(log_sums), "log_sums", {tokens, heads});
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    attention.run(x, e, c, s, tokens, y, logs, threads);
}

PackedConvolution make_convolution(const ClickKernel& kernel, const py::array& weight,
                                   const py::object& bias) {
    const py::ssize_t outputs = size(weight, 0), channels = size(weight, 1);
    const float* w = data<float>(weight, "weight", {outputs, channels, 3, 3});
    const float* b =
        bias.is_none() ? nullptr : data<float>(py::cast<py::array>(bias), "bias", {outputs});
    return {kernel, outputs, channels, w, b};
}

Floats floats(const py::array& array, const char* name, const Shape& shape) {
    const float* from = data<float>(array, name, shape);
    return Floats(from, from + array.size());
}

std::unique_ptr<PackedPrompt> make_prompt(const py::array& table, const std::vector<py::array>& weights,
                                          const std::vector<py::array>& biases,
                                          const std::vector<py::array>& skips,
                                          const std::vector<py::array>& constants,
                                          const std::vector<py::array>& term_constants,
                                          const std::string& isa) {
    const ClickKernel& kernel = kernel_named(isa);
    if (weights.size() != 3 || biases.size() != 4 || constants.size() != 4 || skips.size() > 3 ||
        skips.size() != term_constants.size()) {
        throw py::value_error("a prompt embedding has four convolutions and up to three skips");
    }
    const py::ssize_t first = size(table, 2);
    std::unique_ptr<PackedPrompt> packed(new PackedPrompt{
        kernel, first, floats(table, "table", {9, 5, first}), floats(biases[0], "bias", {first}),
        {}, {}, {}, {}});
    py::ssize_t channels = first;
    packed->constants.push_back(floats(constants[0], "constants", {5, channels}));
    for (size_t i = 0; i < 3; ++i) {
        packed->convolutions.push_back(make_convolution(kernel, weights[i], biases[i + 1]));
        if (packed->convolutions.back().channels != channels) {
            throw py::value_error("the convolutions' channels do not fit together");
        }
        channels = size(weights[i], 0);
        packed->constants.push_back(floats(constants[i + 1], "constants", {5, channels}));
    }
    for (size_t i = 0; i < skips.size(); ++i) {
        packed->skips.push_back(make_convolution(kernel, skips[i], py::none()));
        if (packed->skips[i].channels != size(constants[2 - i], 1)) {
            throw py::value_error("a skip's channels do not fit the embedding's");
        }
        packed->term_constants.push_back(
            floats(term_constants[i], "term_constants", {5, size(skips[i], 0)}));
    }
    return packed;
}

std::unique_ptr<PromptField> make_field(const PackedPrompt& packed, const py::array& reference,
                                        int threads) {
    const py::ssize_t height = size(reference, 0), width = size(reference, 1);
    const uint8_t* labels = data<uint8_t>(reference, "reference", {height, width});
    if (height < 1 || width < 1 || height % 16 || width % 16) {
        throw py::value_error("the sides of the reference mask must be multiples of 16");
    }
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    for (py::ssize_t i = 0; i < height * width; ++i) {
        if (labels[i] > 4) throw std::invalid_argument("labels of a reference mask are 0 to 4");
    }
    return std::make_unique<PromptField>(packed, labels, height / 16, width / 16, threads);
}

void add_to(const PromptField& field, const py::array& x, py::array& out, int threads) {
    const Shape shape{field.rows(), field.columns(),
                      static_cast<py::ssize_t>(field.packed().constants[3].size()) / 5};
    const float* from = data<float>(x, "x", shape);
    float* to = data<float>(out, "out", shape);
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    field.add_to(from, to, threads);
}

void make_terms(PromptField& field, int64_t top, int64_t left, int64_t bottom, int64_t right,
                int threads) {
    if (top < 0 || left < 0 || bottom > field.rows() || right > field.columns()) {
        throw py::value_error("the box reaches beyond the tokens");
    }
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    field.make_terms(top, left, bottom, right, threads);
}

std::unique_ptr<PackedLinear> make_linear(const py::array& weight, const py::array& bias,
                                          const py::object& norm_weight,
                                          const py::object& norm_bias, const std::string& isa) {
    const py::ssize_t outputs = size(weight, 0), inputs = size(weight, 1);
    const auto norm = [&](const py::object& values, const char* name) -> const float* {
        if (norm_weight.is_none()) return nullptr;
        return data<float>(py::cast<py::array>(values), name, {inputs});
    };
    return std::make_unique<PackedLinear>(
        kernel_named(isa), outputs, inputs, data<float>(weight, "weight", {outputs, inputs}),
        data<float>(bias, "bias", {outputs}), norm(norm_weight, "norm_weight"),
        norm(norm_bias, "norm_bias"));
}

void run_linear(const PackedLinear& linear, const py::array& x, py::array& out, bool residual,
                int threads) {
    const py::ssize_t count = size(x, 0);
    const float* from = data<float>(x, "x", {count, linear.inputs()});
    float* to = data<float>(out, "out", {count, linear.outputs()});
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    linear.run(from, count, residual ? to : nullptr, to, threads);
}

std::unique_ptr<PackedStep> make_step(const py::array& weight, const py::array& norm_weight,
                                      const py::array& norm_bias, const std::string& isa) {
    const py::ssize_t outputs = size(weight, 0), channels = size(weight, 1);
    return std::make_unique<PackedStep>(
        kernel_named(isa), outputs, channels,
        data<float>(weight, "weight", {outputs, channels, 3, 3}),
        data<float>(norm_weight, "norm_weight", {channels}),
        data<float>(norm_bias, "norm_bias", {channels}));
}

// Upsample x, whose first pixel lies at (row, column) of its level; terms as the field has them at
// `level` (0, 1, 2: strides 8, 4, 2), if any.
void upsample(const PackedStep& step, const py::array& x, const py::array& edge, py::array& out,
              bool activate, const PromptField* field, int level, int64_t row, int64_t column,
              int threads) {
    StepRows rows{};
    rows.height = size(x, 0), rows.width = size(x, 1), rows.activate = activate;
    const Shape outputs{2 * rows.height, 2 * rows.width, step.outputs()};
    rows.x = rows_of<float>(x, "x", {rows.height, rows.width, step.channels()}, &rows.x_stride);
    rows.edge = rows_of<float>(edge, "edge", outputs, &rows.edge_stride);
    rows.out = data<float>(out, "out", outputs);
    if (field) {
        rows.tile_shift = level + 1;
        rows.term_row = 2 * row, rows.term_column = 2 * column;
        if (level < 0 || level >= static_cast<int>(field->packed().skips.size()) ||
            field->packed().skips[static_cast<size_t>(level)].outputs != step.outputs() ||
            field->term_slots().empty() || row < 0 || column < 0 ||
            2 * (row + rows.height) > field->rows() << rows.tile_shift ||
            2 * (column + rows.width) > field->columns() << rows.tile_shift) {
            throw py::value_error("the field has no terms for this step here");
        }
        rows.terms = field->terms(static_cast<size_t>(level));
        rows.slots = field->term_slots().data(), rows.slots_stride = field->columns();
    }
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    step.run(rows, threads);
}

void update(py::array& reference, const py::array& logits, int64_t top, int64_t left, int threads) {
    const py::ssize_t height = size(reference, 0), width = size(reference, 1);
    const py::ssize_t h = size(logits, 0), w = size(logits, 1);
    uint8_t* labels = data<uint8_t>(reference, "reference", {height, width});
    int64_t stride = 0;
    const float* predicted = rows_of<float>(logits, "logits", {h, w}, &stride);
    if (top < 0 || left < 0 || top + h > height || left + w > width) {
        throw py::value_error("the logits reach beyond the reference mask");
    }
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    update_reference(labels, height, width, predicted, stride, top, left, top + h, left + w, threads);
}

}  // namespace

void inter2former::bind_click(py::module_& module) {
    py::class_<HybridAttention>(module, "HybridAttention")
        .def(py::init(&make_attention), py::arg("project"), py::arg("base"), py::arg("isa"))
        .def("run", &attend, py::arg("qkv"), py::arg("edge"), py::arg("cos"), py::arg("sin"),
             py::arg("out"), py::arg("log_sums"), py::arg("threads"));
    py::class_<PackedPrompt>(module, "PackedPrompt")
        .def(py::init(&make_prompt), py::arg("table"), py::arg("weights"), py::arg("biases"),
             py::arg("skips"), py::arg("constants"), py::arg("term_constants"), py::arg("isa"));
    py::class_<PromptField>(module, "PromptField")
        .def(py::init(&make_field), py::arg("packed"), py::arg("reference"), py::arg("threads"),
             py::keep_alive<1, 2>())
        .def("add_to", &add_to, py::arg("x"), py::arg("out"), py::arg("threads"))
        .def("make_terms", &make_terms, py::arg("top"), py::arg("left"), py::arg("bottom"),
             py::arg("right"), py::arg("threads"))
        .def_property_readonly("computed", &PromptField::computed)
        .def("edge", [](const PromptField& field) {
            py::array_t<bool> edge(field.rows() * field.columns());
            std::copy_n(field.edge(), edge.size(), edge.mutable_data());
            return edge;
        });
    py::class_<PackedStep>(module, "PackedStep")
        .def(py::init(&make_step), py::arg("weight"), py::arg("norm_weight"), py::arg("norm_bias"),
             py::arg("isa"))
        .def("run", &upsample, py::arg("x"), py::arg("edge"), py::arg("out"), py::arg("activate"),
             py::arg("field"), py::arg("level"), py::arg("row"), py::arg("column"),
             py::arg("threads"));
    py::class_<PackedLinear>(module, "PackedLinear")
        .def(py::init(&make_linear), py::arg("weight"), py::arg("bias"), py::arg("norm_weight"),
             py::arg("norm_bias"), py::arg("isa"))
        .def("run", &run_linear, py::arg("x"), py::arg("out"), py::arg("residual"),
             py::arg("threads"));
    module.def("update_reference", &update, py::arg("reference"), py::arg("logits"), py::arg("top"),
               py::arg("left"), py::arg("threads"),
               "Move a reference mask on after a prediction, in place.");
}
