// Recognising unchanged data.
#pragma once

#include <cstdint>

namespace inter2former {

// A 64-bit hash of `words` 32-bit words, at about the speed of reading them from memory. Not for
// use against an adversary. The same on every platform of one byte order.
uint64_t fingerprint(const void* data, int64_t words);

}  // namespace inter2former
