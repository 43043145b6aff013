// napari_inter2former.kernels._native: takes NumPy arrays (views of CPU tensors), checks them, and
// calls the kernels without the GIL. No PyTorch: one binary serves every version of it.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "experts.hpp"
#include "fingerprint.hpp"
#include "isa.hpp"

namespace py = pybind11;
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

std::string shape_text(const std::vector<py::ssize_t>& shape) {
    std::string text = "(";
    for (py::ssize_t n : shape) text += std::to_string(n) + ", ";
    return text.substr(0, text.size() - 2) + ")";
}

// The data of a C-contiguous array of T with the given shape, or ValueError.
template <class T>
T* data(const py::array& array, const char* name, const std::vector<py::ssize_t>& shape) {
    if (!py::isinstance<py::array_t<T>>(array)) {
        throw py::value_error(std::string(name) + " must be " +
                              std::string(py::str(py::dtype::of<T>())) + ", not " +
                              std::string(py::str(array.dtype())));
    }
    const std::vector<py::ssize_t> found(array.shape(), array.shape() + array.ndim());
    if (found != shape) {
        throw py::value_error(std::string(name) + " must have shape " + shape_text(shape) +
                              ", not " + shape_text(found));
    }
    if (!(array.flags() & py::array::c_style)) {
        throw py::value_error(std::string(name) + " must be C-contiguous");
    }
    return const_cast<T*>(static_cast<const T*>(array.data()));
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

void run(const PackedExperts& experts, const py::array& x, const py::array& index, py::array& out,
         int threads) {
    if (threads < 1) throw py::value_error("threads must be at least 1");
    const py::ssize_t tokens = index.ndim() == 1 ? index.shape(0) : -1;
    if (tokens < 0) throw py::value_error("index must have shape (tokens,)");
    const float* x_data = data<float>(x, "x", {tokens, experts.width()});
    const int64_t* index_data = data<int64_t>(index, "index", {tokens});
    float* out_data = data<float>(out, "out", {tokens, experts.width()});
    if (!out.writeable()) throw py::value_error("out must be writeable");
    py::gil_scoped_release release;
    const int most_threads = 256;  // more than any use, fewer than would harm
    experts.run(x_data, index_data, tokens, out_data, std::min(threads, most_threads));
}

uint64_t fingerprint_of(const py::array& array) {
    const std::vector<py::ssize_t> shape(array.shape(), array.shape() + array.ndim());
    const float* values = data<float>(array, "array", shape);
    const py::ssize_t size = array.size();
    py::gil_scoped_release release;
    return fingerprint(values, size);
}

}  // namespace

PYBIND11_MODULE(_native, module) {
    module.doc() = "Compiled kernels of Inter2Former.";
    module.def("instruction_sets", &instruction_sets,
               "Names of the instruction sets that this build and processor offer, fastest first.");
    module.def("fingerprint", &fingerprint_of, py::arg("array"),
               "64-bit hash of a float32 array's contents.");
    py::class_<PackedExperts>(module, "PackedExperts")
        .def(py::init(&pack), py::arg("gate_up"), py::arg("norm_weight"), py::arg("norm_bias"),
             py::arg("down"), py::arg("isa"))
        .def("run", &run, py::arg("x"), py::arg("index"), py::arg("out"), py::arg("threads"))
        .def_property_readonly("isa",
                               [](const PackedExperts& e) { return std::string(e.kernel().name); })
        .def_property_readonly("experts", &PackedExperts::experts)
        .def_property_readonly("width", &PackedExperts::width)
        .def_property_readonly("hidden", &PackedExperts::hidden)
        .def_property_readonly("nbytes", &PackedExperts::bytes);
}
