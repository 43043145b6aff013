#include "isa.hpp"

#if defined(__x86_64__) || defined(_M_X64)

#include <cstdint>

#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif

namespace {

struct Registers {
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf) {
    Registers r;
#if defined(_MSC_VER)
    int values[4];
    __cpuidex(values, 0, 0);
    if (static_cast<uint32_t>(values[0]) < leaf) return r;
    __cpuidex(values, static_cast<int>(leaf), 0);
    r.eax = values[0], r.ebx = values[1], r.ecx = values[2], r.edx = values[3];
#else
    __get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx);
#endif
    return r;
}

// The register sets that the operating system saves on a task switch (XCR0).
uint64_t saved_registers() {
    const uint32_t osxsave = 1u << 27;
    if (!(cpuid(1).ecx & osxsave)) return 0;
#if defined(_MSC_VER)
    return _xgetbv(0);
#else
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<uint64_t>(high) << 32) | low;
#endif
}

bool all_of(uint64_t value, uint64_t bits) { return (value & bits) == bits; }

}  // namespace

bool inter2former::processor_has_avx2() {
    const uint64_t xmm_ymm = 0x6;
    const uint32_t fma = 1u << 12, avx = 1u << 28, avx2 = 1u << 5;
    return all_of(saved_registers(), xmm_ymm) && all_of(cpuid(1).ecx, fma | avx) &&
           all_of(cpuid(7).ebx, avx2);
}

bool inter2former::processor_has_avx512() {
    const uint64_t xmm_ymm_opmask_zmm = 0xe6;
    const uint32_t avx512f = 1u << 16;
    return processor_has_avx2() && all_of(saved_registers(), xmm_ymm_opmask_zmm) &&
           all_of(cpuid(7).ebx, avx512f);
}

#else

bool inter2former::processor_has_avx2() { return false; }
bool inter2former::processor_has_avx512() { return false; }

#endif
