// Runs on every processor.
#include "simd_portable.hpp"

#include "click_kernel_impl.hpp"

const inter2former::ClickKernel* inter2former::portable_click_kernel() {
    return click_kernel<PortableVector>();
}
