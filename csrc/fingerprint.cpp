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

uint64_t inter2former::fingerprint(const void* data, int64_t words) {
    // Independent lanes hide the latency of the multiplications.
    constexpr int lanes = 8;
    uint64_t hashes[lanes] = {1, 2, 3, 4, 5, 6, 7, 8};
    const char* at = static_cast<const char*>(data);
    int64_t left = words * 4;
    for (; left >= lanes * 8; left -= lanes * 8, at += lanes * 8) {
        for (int lane = 0; lane < lanes; ++lane) {
            uint64_t word;
            std::memcpy(&word, at + lane * 8, 8);
            hashes[lane] = mix(hashes[lane], word);
        }
    }
    uint64_t hash = static_cast<uint64_t>(words);
    for (; left > 0; left -= 4, at += 4) {
        uint32_t word;
        std::memcpy(&word, at, 4);
        hash = mix(hash, word);
    }
    for (const uint64_t lane : hashes) hash = mix(hash, lane);
    return hash;
}
