// Compiled with the flags of this instruction set; called only where the processor has it (isa.cpp).
#include "click_kernel.hpp"

#if defined(__x86_64__) || defined(_M_X64)

#include "simd_avx2.hpp"

#include "click_kernel_impl.hpp"

const inter2former::ClickKernel* inter2former::avx2_click_kernel() {
    return click_kernel<Avx2Vector>();
}

#else

const inter2former::ClickKernel* inter2former::avx2_click_kernel() { return nullptr; }

#endif
