// NumPy arrays as the kernels take them: checked, then plain pointers.
#pragma once

#include <pybind11/numpy.h>

#include <string>
#include <vector>

namespace inter2former {

namespace py = pybind11;

inline std::string shape_text(const std::vector<py::ssize_t>& shape) {
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

// The same for an array that is written to.
template <class T>
T* writable_data(const py::array& array, const char* name, const std::vector<py::ssize_t>& shape) {
    T* values = data<T>(array, name, shape);
    if (!array.writeable()) throw py::value_error(std::string(name) + " must be writeable");
    return values;
}

}  // namespace inter2former
