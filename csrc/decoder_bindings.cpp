// Python's view of the decoder; see module.cpp.
#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "hybrid_attention.hpp"
#include "isa.hpp"
#include "prompt_field.hpp"
#include "upsampling.hpp"

using namespace inter2former;

namespace {

std::unique_ptr<AttentionLayer> make_attention(const PackedLinear& to_qkv,
                                               const py::array& project_codes,
                                               const py::array& base, const PackedLinear& project,
                                               const std::string& isa) {
    const py::ssize_t heads = size(project_codes, 0), dim = size(project_codes, 1);
    const py::ssize_t bits = size(project_codes, 2);
    const ClickKernel& kernel = click_kernel_named(isa);
    const float* p = data<float>(project_codes, "project_codes", {heads, dim, bits});
    const float* b = data<float>(base, "base", {2, heads, bits, dim});
    if (!HybridAttention::possible(kernel, dim, bits)) {
        throw py::value_error("no kernel for this number of bits or dimensions");
    }
    if (to_qkv.outputs() != 3 * heads * dim || project.inputs() != heads * dim ||
        project.outputs() != to_qkv.inputs()) {
        throw py::value_error("the linear layers do not fit the attention");
    }
    return std::make_unique<AttentionLayer>(HybridAttention(kernel, heads, dim, bits, p, b), to_qkv,
                                            project);
}

// Only the attention: of queries, keys and values.
void attend(const AttentionLayer& layer, const py::array& qkv, const py::array& edge,
            const py::array& cos, const py::array& sin, py::array& out, py::array& log_sums,
            int threads) {
    const HybridAttention& attention = layer.attention();
    const py::ssize_t tokens = size(qkv, 0), heads = attention.heads(), dim = attention.dim();
    const float* x = data<float>(qkv, "qkv", {tokens, 3, heads, dim});
    const auto* e = reinterpret_cast<const uint8_t*>(data<bool>(edge, "edge", {tokens}));
    const float* c = data<float>(cos, "cos", {tokens, dim / 2});
    const float* s = data<float>(sin, "sin", {tokens, dim / 2});
    float* y = writable_data<float>(out, "out", {tokens, heads, dim});
    float* logs = writable_data<float>(log_sums, "log_sums", {tokens, heads});
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    attention.run(x, e, c, s, tokens, y, logs, threads);
}

// The whole layer; `known` has queries, keys and values by label, with `field` that tells the labels.
void run_attention(const AttentionLayer& layer, py::array& x, const py::array& edge,
                   const py::array& cos, const py::array& sin, const PromptField* field,
                   const std::vector<std::pair<int, py::array>>& known, int threads) {
    const HybridAttention& attention = layer.attention();
    const py::ssize_t tokens = size(x, 0), heads = attention.heads(), dim = attention.dim();
    float* values = writable_data<float>(x, "x", {tokens, layer.to_qkv().inputs()});
    const auto* e = reinterpret_cast<const uint8_t*>(data<bool>(edge, "edge", {tokens}));
    const float* c = data<float>(cos, "cos", {tokens, dim / 2});
    const float* s = data<float>(sin, "sin", {tokens, dim / 2});
    KnownTokens tables;
    if (field != nullptr) {
        if (field->rows() * field->columns() != tokens) {
            throw py::value_error("the field has another number of tokens");
        }
        tables.slots = field->slots();
        for (const auto& [label, qkv] : known) {
            if (label < 0 || label > 4) throw py::value_error("labels are 0 to 4");
            tables.qkv[label] = data<float>(qkv, "known", {tokens, 3, heads, dim});
        }
    }
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    layer.run(values, tokens, e, c, s, tables, threads);
}

PackedConvolution make_convolution(const ClickKernel& kernel, const py::array& weight,
                                   const py::object& bias) {
    const py::ssize_t outputs = size(weight, 0), channels = size(weight, 1);
    const float* w = data<float>(weight, "weight", {outputs, channels, 3, 3});
    return {kernel, outputs, channels, w, optional_data(bias, "bias", {outputs})};
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
    const ClickKernel& kernel = click_kernel_named(isa);
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

void embed(PromptField& field, const py::array& reference, int threads) {
    const py::ssize_t height = size(reference, 0), width = size(reference, 1);
    const uint8_t* labels = data<uint8_t>(reference, "reference", {height, width});
    if (height < 1 || width < 1 || height % 16 || width % 16) {
        throw py::value_error("the sides of the reference mask must be multiples of 16");
    }
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    field.embed(labels, height / 16, width / 16, threads);
}

void add_to(const PromptField& field, const py::array& x, py::array& out, int threads) {
    const Shape shape{field.rows(), field.columns(),
                      static_cast<py::ssize_t>(field.packed().constants[3].size()) / 5};
    const float* from = data<float>(x, "x", shape);
    float* to = writable_data<float>(out, "out", shape);
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    field.add_to(from, to, threads);
}

void run_linear(const PackedLinear& linear, const py::array& x, py::array& out, bool residual,
                int threads) {
    const py::ssize_t count = size(x, 0);
    const float* from = data<float>(x, "x", {count, linear.inputs()});
    float* to = writable_data<float>(out, "out", {count, linear.outputs()});
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    linear.run(from, nullptr, count, residual ? to : nullptr, to, threads);
}

void run_perceptron(const PackedPerceptron& perceptron, const py::array& x, py::array& out,
                    int threads) {
    const py::ssize_t count = size(x, 0);
    const float* from = data<float>(x, "x", {count, perceptron.inputs()});
    float* to = writable_data<float>(out, "out", {count, perceptron.outputs()});
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    perceptron.run(from, count, to, threads);
}

std::unique_ptr<PackedUpsampling> make_upsampling(const std::vector<py::array>& weights,
                                                  const std::vector<py::array>& norm_weights,
                                                  const std::vector<py::array>& norm_biases,
                                                  const std::string& isa) {
    const ClickKernel& kernel = click_kernel_named(isa);
    if (weights.empty() || norm_weights.size() != weights.size() ||
        norm_biases.size() != weights.size()) {
        throw py::value_error("every step has a weight and a norm");
    }
    std::vector<PackedStep> steps;
    for (size_t i = 0;; ++i) {
        const py::ssize_t outputs = size(weights[i], 0), channels = size(weights[i], 1);
        const float* w = data<float>(weights[i], "weight", {outputs, channels, 3, 3});
        const float* norm_weight = data<float>(norm_weights[i], "norm_weight", {channels});
        const float* norm_bias = data<float>(norm_biases[i], "norm_bias", {channels});
        if (!steps.empty() && steps.back().outputs() != channels) {
            throw py::value_error("the steps' channels do not fit together");
        }
        if (i + 1 == weights.size()) {
            if (outputs != 1) throw py::value_error("the last step must have one output");
            return std::make_unique<PackedUpsampling>(
                std::move(steps),
                PackedPatches::upsampling(kernel, channels, w, norm_weight, norm_bias));
        }
        steps.emplace_back(kernel, outputs, channels, w, norm_weight, norm_bias);
    }
}

// Upsample a box of tokens; with the prompts' terms that the field has, if it is not None.
void upsample(const PackedUpsampling& upsampling, const py::array& x,
              const std::vector<py::array>& edges, PromptField* field, int64_t top, int64_t left,
              int64_t bottom, int64_t right, py::array& out, int threads) {
    const py::ssize_t height = size(x, 0), width = size(x, 1);
    const std::vector<PackedStep>& steps = upsampling.steps();
    const int64_t channels =
        steps.empty() ? upsampling.last().channels() : steps.front().channels();
    const float* tokens = data<float>(x, "x", {height, width, channels});
    if (top < 0 || left < 0 || bottom > height || right > width || top >= bottom || left >= right) {
        throw py::value_error("the box must lie inside the tokens, and hold some");
    }
    if (edges.size() != steps.size() + 1) throw py::value_error("every step has edge terms");
    std::vector<const float*> terms;
    py::ssize_t scale = 1;
    for (size_t i = 0; i < edges.size(); ++i) {
        scale *= 2;
        const int64_t outputs = i < steps.size() ? steps[i].outputs() : 1;
        terms.push_back(data<float>(edges[i], "edge", {height * scale, width * scale, outputs}));
    }
    float* logits =
        writable_data<float>(out, "out", {(bottom - top) * scale, (right - left) * scale});
    if (field != nullptr) {
        const std::vector<PackedConvolution>& skips = field->packed().skips;
        bool fits = field->rows() == height && field->columns() == width &&
                    skips.size() <= steps.size();
        for (size_t i = 0; fits && i < skips.size(); ++i) {
            fits = skips[i].outputs == steps[i].outputs();
        }
        if (!fits) throw py::value_error("the field does not fit the tokens or the steps");
    }
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    if (field != nullptr) {
        field->make_terms(std::max<int64_t>(top - 1, 0), std::max<int64_t>(left - 1, 0),
                          std::min<int64_t>(bottom + 1, height),
                          std::min<int64_t>(right + 1, width), threads);
    }
    upsampling.run(tokens, height, width, terms.data(), field, {top, left, bottom, right}, logits,
                   threads);
}

}  // namespace

const ClickKernel& inter2former::click_kernel_named(const std::string& name) {
    if (name == "portable") return *portable_click_kernel();
    if (name == "avx2" && processor_has_avx2()) return *avx2_click_kernel();
    if (name == "avx512" && processor_has_avx512()) return *avx512_click_kernel();
    throw py::value_error("instruction set '" + name + "' is not available here");
}

PackedLinear inter2former::make_linear(const py::array& weight, const py::array& bias,
                                       const py::object& norm_weight, const py::object& norm_bias,
                                       const std::string& isa) {
    const py::ssize_t outputs = size(weight, 0), inputs = size(weight, 1);
    return {click_kernel_named(isa),
            outputs,
            inputs,
            data<float>(weight, "weight", {outputs, inputs}),
            data<float>(bias, "bias", {outputs}),
            optional_data(norm_weight, "norm_weight", {inputs}),
            optional_data(norm_bias, "norm_bias", {inputs})};
}

PackedPerceptron inter2former::make_perceptron(const py::array& weight, const py::array& bias,
                                               const py::array& out_weight,
                                               const py::array& out_bias,
                                               const py::object& norm_weight,
                                               const py::object& norm_bias,
                                               const std::string& isa) {
    const py::ssize_t hidden = size(weight, 0), inputs = size(weight, 1);
    const py::ssize_t outputs = size(out_weight, 0);
    return {click_kernel_named(isa),
            inputs,
            hidden,
            outputs,
            data<float>(weight, "weight", {hidden, inputs}),
            data<float>(bias, "bias", {hidden}),
            data<float>(out_weight, "out_weight", {outputs, hidden}),
            data<float>(out_bias, "out_bias", {outputs}),
            optional_data(norm_weight, "norm_weight", {inputs}),
            optional_data(norm_bias, "norm_bias", {inputs})};
}

void inter2former::bind_decoder(py::module_& module) {
    py::class_<PackedLinear>(module, "PackedLinear")
        .def(py::init(&make_linear), py::arg("weight"), py::arg("bias"), py::arg("norm_weight"),
             py::arg("norm_bias"), py::arg("isa"))
        .def_property_readonly("outputs", &PackedLinear::outputs)
        .def("run", &run_linear, py::arg("x"), py::arg("out"), py::arg("residual"),
             py::arg("threads"));
    py::class_<PackedPerceptron>(module, "PackedPerceptron")
        .def(py::init(&make_perceptron), py::arg("weight"), py::arg("bias"), py::arg("out_weight"),
             py::arg("out_bias"), py::arg("norm_weight"), py::arg("norm_bias"), py::arg("isa"))
        .def("run", &run_perceptron, py::arg("x"), py::arg("out"), py::arg("threads"));
    py::class_<AttentionLayer>(module, "AttentionLayer")
        .def(py::init(&make_attention), py::arg("to_qkv"), py::arg("project_codes"),
             py::arg("base"), py::arg("project"), py::arg("isa"))
        .def("attend", &attend, py::arg("qkv"), py::arg("edge"), py::arg("cos"), py::arg("sin"),
             py::arg("out"), py::arg("log_sums"), py::arg("threads"))
        .def("run", &run_attention, py::arg("x"), py::arg("edge"), py::arg("cos"), py::arg("sin"),
             py::arg("field"), py::arg("known"), py::arg("threads"));
    py::class_<PackedPrompt>(module, "PackedPrompt")
        .def(py::init(&make_prompt), py::arg("table"), py::arg("weights"), py::arg("biases"),
             py::arg("skips"), py::arg("constants"), py::arg("term_constants"), py::arg("isa"));
    py::class_<PromptField>(module, "PromptField")
        .def(py::init<const PackedPrompt&>(), py::arg("packed"), py::keep_alive<1, 2>())
        .def("embed", &embed, py::arg("reference"), py::arg("threads"))
        .def("add_to", &add_to, py::arg("x"), py::arg("out"), py::arg("threads"))
        .def_property_readonly("computed", &PromptField::computed)
        .def("edge",
             [](const PromptField& field) {
                 py::array_t<bool> edge(field.rows() * field.columns());
                 std::copy_n(field.edge(), edge.size(), edge.mutable_data());
                 return edge;
             })
        .def("slots", [](const PromptField& field) {
            return py::array_t<int32_t>(field.rows() * field.columns(), field.slots());
        });
    py::class_<PackedUpsampling>(module, "PackedUpsampling")
        .def(py::init(&make_upsampling), py::arg("weights"), py::arg("norm_weights"),
             py::arg("norm_biases"), py::arg("isa"))
        .def("run", &upsample, py::arg("x"), py::arg("edges"), py::arg("field"), py::arg("top"),
             py::arg("left"), py::arg("bottom"), py::arg("right"), py::arg("out"),
             py::arg("threads"));
}
