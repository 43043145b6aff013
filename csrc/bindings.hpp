// What the parts of the module share; see module.cpp.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "arrays.hpp"
#include "click_kernel.hpp"
#include "linear.hpp"

namespace inter2former {

using Shape = std::vector<py::ssize_t>;

// Raises ValueError where it is not available.
const ClickKernel& click_kernel_named(const std::string& name);

inline py::ssize_t size(const py::array& array, py::ssize_t axis) {
    return axis < array.ndim() ? array.shape(axis) : -1;
}

// The data of an array of float32, or null for None.
inline const float* optional_data(const py::object& array, const char* name, const Shape& shape) {
    return array.is_none() ? nullptr : data<float>(py::cast<py::array>(array), name, shape);
}

// weight (outputs, inputs) and bias; norms (inputs) or None.
PackedLinear make_linear(const py::array& weight, const py::array& bias,
                         const py::object& norm_weight, const py::object& norm_bias,
                         const std::string& isa);
// The same, and weight (outputs, hidden) and bias of the second layer.
PackedPerceptron make_perceptron(const py::array& weight, const py::array& bias,
                                 const py::array& out_weight, const py::array& out_bias,
                                 const py::object& norm_weight, const py::object& norm_bias,
                                 const std::string& isa);

void bind_decoder(py::module_& module);
void bind_encoder(py::module_& module);
void bind_regions(py::module_& module);

}  // namespace inter2former
