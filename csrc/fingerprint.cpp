#include "fingerprint.hpp"

#include <cstring>

namespace {

constexpr uint64_t odd = 0x9e3779b97f4a7c15u;

// One to one in either argument, so a single changed word always changes the hash.
uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * odd;
    return hash ^ (hash >> 29);
}

}  // namespace

uint64_t inter2former::fingerprint(const void* data, int64_t words, int64_t step) {
    // Independent lanes hide the latency of the multiplications.
    constexpr int lanes = 8;
    constexpr int64_t line = lanes * 2;  // words that the lanes read at a time: 64 bytes
    uint64_t hashes[lanes] = {1, 2, 3, 4, 5, 6, 7, 8};
    const char* at = static_cast<const char*>(data);
    const int64_t lines = words / line;
    for (int64_t number = 0; number < lines; number += step) {
        for (int lane = 0; lane < lanes; ++lane) {
            uint64_t word;
            std::memcpy(&word, at + number * line * 4 + lane * 8, 8);
            hashes[lane] = mix(hashes[lane], word);
        }
    }
    uint64_t hash = static_cast<uint64_t>(words);
    for (int64_t number = lines * line; number < words; ++number) {
        uint32_t word;
        std::memcpy(&word, at + number * 4, 4);
        hash = mix(hash, word);
    }
    for (const uint64_t lane : hashes) hash = mix(hash, lane);
    return hash;
}
