// Adds the kernels of a click's path to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace inter2former {

void bind_click(pybind11::module_& module);

}  // namespace inter2former
