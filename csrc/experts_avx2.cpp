// Compiled with the flags of this instruction set; called only where the processor has it (isa.cpp).
#include "experts_kernel.hpp"

#if defined(__x86_64__) || defined(_M_X64)

#include "simd_avx2.hpp"

#include "experts_kernel_impl.hpp"

const inter2former::ExpertsKernel* inter2former::avx2_experts_kernel() {
    return experts_kernel<Avx2Vector>();
}

#else

const inter2former::ExpertsKernel* inter2former::avx2_experts_kernel() { return nullptr; }

#endif
