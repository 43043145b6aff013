// Recognising unchanged data.
#pragma once

#include <cstdint>

namespace inter2former {

// A 64-bit hash of `words` 32-bit words, at about the speed of reading them from memory; with a step
// of n only one of n blocks of 64 bytes is read. Not for use against an adversary. The same on every
// platform of one byte order.
uint64_t fingerprint(const void* data, int64_t words, int64_t step = 1);

}  // namespace inter2former
