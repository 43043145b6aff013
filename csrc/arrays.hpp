// NumPy arrays as the kernels take them: checked, then plain pointers.
#pragma once

#include <pybind11/numpy.h>

#include <algorithm>
#include <cstdint>
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

// The data of an array of T with the given shape whose rows may lie apart, `stride` elements.
template <class T>
T* rows_of(const py::array& array, const char* name, const std::vector<py::ssize_t>& shape,
           int64_t* stride) {
    bool fits = py::isinstance<py::array_t<T>>(array) &&
                array.ndim() == static_cast<py::ssize_t>(shape.size());
    py::ssize_t step = sizeof(T);
    for (py::ssize_t axis = array.ndim() - 1; fits && axis >= 0; --axis) {
        fits = array.shape(axis) == shape[static_cast<size_t>(axis)] &&
               (axis == 0 || array.shape(axis) < 2 || array.strides(axis) == step);
        step *= array.shape(axis);
    }
    if (!fits) {
        throw py::value_error(std::string(name) + " must be a contiguous array of " +
                              std::string(py::str(py::dtype::of<T>())) + " with shape " +
                              shape_text(shape));
    }
    *stride = array.strides(0) / static_cast<py::ssize_t>(sizeof(T));
    return const_cast<T*>(static_cast<const T*>(array.data()));
}

// The same as `data` for an array that is written to.
template <class T>
T* writable_data(const py::array& array, const char* name, const std::vector<py::ssize_t>& shape) {
    T* values = data<T>(array, name, shape);
    if (!array.writeable()) throw py::value_error(std::string(name) + " must be writeable");
    return values;
}

inline int usable_threads(int threads) {
    if (threads < 1) throw py::value_error("threads must be at least 1");
    return std::min(threads, 256);  // more than any use, fewer than would harm
}

}  // namespace inter2former
