// Python's view of the encoder; see module.cpp.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bindings.hpp"
#include "encoder_block.hpp"
#include "patches.hpp"

using namespace inter2former;

namespace {

std::unique_ptr<EncoderBlock> make_block(int64_t heads, const py::array& padding,
                                         const PackedLinear& to_qkv, const PackedLinear& project,
                                         const PackedPerceptron& perceptron,
                                         const std::string& isa) {
    const int64_t features = to_qkv.inputs();
    const float* values = data<float>(padding, "padding", {3 * features});
    if (heads < 1 || features % (2 * heads) || to_qkv.outputs() != 3 * features ||
        project.inputs() != features || project.outputs() != features ||
        perceptron.inputs() != features || perceptron.outputs() != features) {
        throw py::value_error("the layers of the block do not fit together");
    }
    return std::make_unique<EncoderBlock>(click_kernel_named(isa), heads, values, to_qkv, project,
                                          perceptron);
}

// Each of the grids is (tokens (height, width, features), rows, columns, top, left, cos, sin).
void run_block(const EncoderBlock& block, const std::vector<py::tuple>& grids, int threads) {
    std::vector<WindowGrid> windows;
    for (const py::tuple& grid : grids) {
        if (grid.size() != 7) throw py::value_error("a grid has seven parts");
        const auto tokens = grid[0].cast<py::array>();
        WindowGrid window{};
        window.height = size(tokens, 0), window.width = size(tokens, 1);
        window.tokens = writable_data<float>(
            tokens, "tokens", {window.height, window.width, block.features()});
        window.rows = grid[1].cast<int64_t>(), window.columns = grid[2].cast<int64_t>();
        window.top = grid[3].cast<int64_t>(), window.left = grid[4].cast<int64_t>();
        if (window.rows < 1 || window.columns < 1 || window.top < 0 || window.left < 0) {
            throw py::value_error("windows hold tokens and begin outside the grid or at its edge");
        }
        const Shape table{window.rows * window.columns, block.dim() / 2};
        window.cos = data<float>(grid[5].cast<py::array>(), "cos", table);
        window.sin = data<float>(grid[6].cast<py::array>(), "sin", table);
        windows.push_back(window);
    }
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    block.run(windows.data(), static_cast<int64_t>(windows.size()), threads);
}

std::unique_ptr<PackedPatches> make_convolution(const py::array& weight, const py::object& bias,
                                                const py::object& norm_weight,
                                                const py::object& norm_bias, int64_t stride,
                                                bool activate_input, const std::string& isa) {
    const py::ssize_t outputs = size(weight, 0), channels = size(weight, 1);
    if (stride != 1 && stride != 2) throw py::value_error("the stride must be 1 or 2");
    return std::make_unique<PackedPatches>(PackedPatches::convolution(
        click_kernel_named(isa), outputs, channels,
        data<float>(weight, "weight", {outputs, channels, 3, 3}),
        optional_data(bias, "bias", {outputs}), optional_data(norm_weight, "norm_weight", {channels}),
        optional_data(norm_bias, "norm_bias", {channels}), stride, activate_input));
}

// Rows of out = convolution(x), plus `add` of the same shape if it is not None; then SiLU if asked for.
// x and out are rows of an image and its result, from `x_top` and `out_top` on; `height` is the
// image's.
void convolve(const PackedPatches& convolution, const py::array& x, int64_t x_top, int64_t height,
              const py::object& add, bool activate, py::array& out, int64_t out_top, int threads) {
    const py::ssize_t rows = size(x, 0), width = size(x, 1), stride = convolution.stride();
    const py::ssize_t out_rows = size(out, 0), out_width = (width + stride - 1) / stride;
    const Shape shape{out_rows, out_width, convolution.outputs()};
    PatchRows job{};
    job.x = data<float>(x, "x", {rows, width, convolution.channels()});
    job.input = {x_top, 0, x_top + rows, width};
    job.add = optional_data(add, "add", shape);
    job.add_stride = out_width * convolution.outputs();
    job.add_top = out_top;
    job.out = writable_data<float>(out, "out", shape);
    job.out_stride = job.add_stride;
    job.output = {out_top, 0, out_top + out_rows, out_width};
    job.activate = activate;
    const int64_t needed_top = std::max<int64_t>(out_top * stride - 1, 0);
    const int64_t needed_end = std::min((out_top + out_rows - 1) * stride + 2, height);
    if (out_rows < 1 || width < 1 || out_top < 0 || x_top < 0 || x_top + rows > height ||
        (out_top + out_rows - 1) * stride >= height || x_top > needed_top ||
        x_top + rows < needed_end) {
        throw py::value_error("x does not have the rows that out needs");
    }
    threads = usable_threads(threads);
    py::gil_scoped_release release;
    convolution.run(job, threads);
}

}  // namespace

void inter2former::bind_encoder(py::module_& module) {
    py::class_<EncoderBlock>(module, "EncoderBlock")
        .def(py::init(&make_block), py::arg("heads"), py::arg("padding"), py::arg("to_qkv"),
             py::arg("project"), py::arg("perceptron"), py::arg("isa"))
        .def("run", &run_block, py::arg("grids"), py::arg("threads"));
    py::class_<PackedPatches>(module, "Convolution")
        .def(py::init(&make_convolution), py::arg("weight"), py::arg("bias"),
             py::arg("norm_weight"), py::arg("norm_bias"), py::arg("stride"),
             py::arg("activate_input"), py::arg("isa"))
        .def_property_readonly("outputs", &PackedPatches::outputs)
        .def_property_readonly("stride", &PackedPatches::stride)
        .def("run", &convolve, py::arg("x"), py::arg("x_top"), py::arg("height"), py::arg("add"),
             py::arg("activate"), py::arg("out"), py::arg("out_top"), py::arg("threads"));
}
