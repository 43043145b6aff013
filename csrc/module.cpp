// napari_inter2former.kernels._native: takes NumPy arrays (views of CPU tensors), checks them, and
// calls the kernels without the GIL. No PyTorch: one binary serves every version of it.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bindings.hpp"
#include "experts.hpp"
#include "fingerprint.hpp"
#include "hybrid_experts.hpp"
#include "isa.hpp"

using namespace inter2former;

namespace {

// The kernels that can run here, fastest first.
std::vector<const ExpertsKernel*> usable_kernels() {
    std::vector<const ExpertsKernel*> kernels;
    if (processor_has_avx512()) kernels.push_back(avx512_experts_kernel());
    if (processor_has_avx2()) kernels.push_back(avx2_experts_kernel());
    kernels.push_back(portable_experts_kernel());
    return kernels;
}

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const ExpertsKernel* kernel : usable_kernels()) names.emplace_back(kernel->name);
    return names;
}

const ExpertsKernel& kernel_named(const std::string& name) {
    std::string known;
    for (const ExpertsKernel* kernel : usable_kernels()) {
        if (name == kernel->name) return *kernel;
        known += std::string(known.empty() ? "" : ", ") + kernel->name;
    }
    throw py::value_error("instruction set '" + name + "' is not available here; choose one of " +
                          known);
}

std::unique_ptr<PackedExperts> pack(const py::array& gate_up, const py::array& norm_weight,
                                    const py::array& norm_bias, const py::array& down,
                                    const std::string& isa) {
    if (down.ndim() != 3 || down.shape(0) < 1 || down.shape(1) < 1 || down.shape(2) < 1) {
        throw py::value_error("down must have shape (experts, width, hidden), none of them 0");
    }
    const py::ssize_t experts = down.shape(0), width = down.shape(1), hidden = down.shape(2);
    const ExpertsKernel& kernel = kernel_named(isa);
    const float* gate_up_data = data<float>(gate_up, "gate_up", {experts, 2 * hidden, width});
    const float* weight_data = data<float>(norm_weight, "norm_weight", {experts, hidden});
    const float* bias_data = data<float>(norm_bias, "norm_bias", {experts, hidden});
    const float* down_data = data<float>(down, "down", {experts, width, hidden});
    py::gil_scoped_release release;
    return std::make_unique<PackedExperts>(kernel, experts, width, hidden, gate_up_data,
                                           weight_data, bias_data, down_data);
}

std::unique_ptr<PackedHybridExperts> pack_hybrid(
    const py::array& input_weight, const py::array& input_bias, const py::array& centroids,
    const py::array& bias, const py::array& gate_up, const py::array& norm_weight,
    const py::array& norm_bias, const py::array& down, const std::string& isa) {
    std::unique_ptr<PackedExperts> experts = pack(gate_up, norm_weight, norm_bias, down, isa);
    const py::ssize_t number = experts->experts(), width = experts->width();
    if (number < 2) throw py::value_error("there must be a shared expert and at least one other");
    const float* input_weight_data = data<float>(input_weight, "input_weight", {width});
    const float* input_bias_data = data<float>(input_bias, "input_bias", {width});
    const float* centroids_data = data<float>(centroids, "centroids", {number, width});
    const float* bias_data = data<float>(bias, "bias", {number - 1});
    return std::make_unique<PackedHybridExperts>(std::move(*experts), input_weight_data,
                                                 input_bias_data, centroids_data, bias_data);
}

py::ssize_t length_of(const py::array& array, const char* name) {
    if (array.ndim() != 1) throw py::value_error(std::string(name) + " must have one axis");
    return array.shape(0);
}

py::ssize_t height_of(const py::array& array, const char* name) {
    if (array.ndim() != 2) throw py::value_error(std::string(name) + " must have two axes");
    return array.shape(0);
}

void run(const PackedExperts& experts, const py::array& x, const py::array& index, py::array& out,
         int threads) {
    threads = usable_threads(threads);
    const py::ssize_t tokens = length_of(index, "index");
    const float* x_data = data<float>(x, "x", {tokens, experts.width()});
    const int64_t* index_data = data<int64_t>(index, "index", {tokens});
    float* out_data = writable_data<float>(out, "out", {tokens, experts.width()});
    py::gil_scoped_release release;
    experts.run(x_data, index_data, tokens, out_data, threads);
}

void add(const PackedExperts& experts, const py::array& x, const py::array& tokens,
         const py::array& index, const py::array& scale, py::array& out, int threads) {
    threads = usable_threads(threads);
    const py::ssize_t rows = height_of(x, "x"), count = length_of(tokens, "tokens");
    const float* x_data = data<float>(x, "x", {rows, experts.width()});
    const int64_t* tokens_data = data<int64_t>(tokens, "tokens", {count});
    const int64_t* index_data = data<int64_t>(index, "index", {count});
    const float* scale_data = data<float>(scale, "scale", {count});
    float* out_data = writable_data<float>(out, "out", {rows, experts.width()});
    py::gil_scoped_release release;
    experts.add(x_data, nullptr, rows, tokens_data, index_data, scale_data, count, out_data,
                threads);
}

void run_hybrid(const PackedHybridExperts& layer, const py::array& x, const py::array& edge,
                bool residual, py::array& out, int threads) {
    threads = usable_threads(threads);
    const py::ssize_t tokens = length_of(edge, "edge"), width = layer.experts().width();
    const float* x_data = data<float>(x, "x", {tokens, width});
    const bool* edge_data = data<bool>(edge, "edge", {tokens});
    float* out_data = writable_data<float>(out, "out", {tokens, width});
    py::gil_scoped_release release;
    layer.run(x_data, edge_data, tokens, residual, out_data, threads);
}

uint64_t fingerprint_of(const py::array& array, int64_t step) {
    if (step < 1) throw py::value_error("step must be at least 1");
    const std::vector<py::ssize_t> shape(array.shape(), array.shape() + array.ndim());
    const float* values = data<float>(array, "array", shape);
    const py::ssize_t size = array.size();
    py::gil_scoped_release release;
    return fingerprint(values, size, step);
}

}  // namespace

PYBIND11_MODULE(_native, module) {
    module.doc() = "Compiled kernels of Inter2Former.";
    module.def("instruction_sets", &instruction_sets,
               "Names of the instruction sets that this build and processor offer, fastest first.");
    module.def("fingerprint", &fingerprint_of, py::arg("array"), py::arg("step") = 1,
               "64-bit hash of a float32 array's contents, or of one in `step` blocks of 64 bytes.");
    py::class_<PackedExperts>(module, "PackedExperts")
        .def(py::init(&pack), py::arg("gate_up"), py::arg("norm_weight"), py::arg("norm_bias"),
             py::arg("down"), py::arg("isa"))
        .def("run", &run, py::arg("x"), py::arg("index"), py::arg("out"), py::arg("threads"))
        .def("add", &add, py::arg("x"), py::arg("tokens"), py::arg("index"), py::arg("scale"),
             py::arg("out"), py::arg("threads"))
        .def_property_readonly("isa",
                               [](const PackedExperts& e) { return std::string(e.kernel().name); })
        .def_property_readonly("experts", &PackedExperts::experts)
        .def_property_readonly("width", &PackedExperts::width)
        .def_property_readonly("hidden", &PackedExperts::hidden)
        .def_property_readonly("nbytes", &PackedExperts::bytes);
    py::class_<PackedHybridExperts>(module, "PackedHybridExperts")
        .def(py::init(&pack_hybrid), py::arg("input_weight"), py::arg("input_bias"),
             py::arg("centroids"), py::arg("bias"), py::arg("gate_up"), py::arg("norm_weight"),
             py::arg("norm_bias"), py::arg("down"), py::arg("isa"))
        .def("run", &run_hybrid, py::arg("x"), py::arg("edge"), py::arg("residual"),
             py::arg("out"), py::arg("threads"));
    bind_decoder(module);
    bind_encoder(module);
    bind_regions(module);
}
