// Runs on every processor.
#include "simd_portable.hpp"

#include "experts_kernel_impl.hpp"

const inter2former::ExpertsKernel* inter2former::portable_experts_kernel() {
    return experts_kernel<PortableVector>();
}
