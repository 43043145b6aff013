// Which instruction sets the processor and the operating system offer.
#pragma once

namespace inter2former {

bool processor_has_avx2();    // AVX2 and FMA
bool processor_has_avx512();  // AVX-512F

}  // namespace inter2former
