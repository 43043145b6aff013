// Vector of four floats in standard C++: SSE2 or NEON code on GCC and Clang, plain loops elsewhere.
#pragma once

#include <math.h>

#include <cstdint>
#include <cstring>

namespace {

struct PortableVector {
    static constexpr const char* name = "portable";
    static constexpr int width = 4;
    // Rows x 2 vectors accumulate in registers: 16 registers on x86, 32 on 64-bit ARM.
#if defined(__aarch64__) || defined(_M_ARM64)
    static constexpr int rows = 8;
#else
    static constexpr int rows = 4;
#endif

#if defined(__GNUC__) || defined(__clang__)
    typedef float Lanes __attribute__((vector_size(16)));
    typedef int32_t IntegerLanes __attribute__((vector_size(16)));
#else
    struct Lanes {
        float lane[4];
        float& operator[](int i) { return lane[i]; }
        float operator[](int i) const { return lane[i]; }
    };
    struct IntegerLanes {
        int32_t lane[4];
        int32_t& operator[](int i) { return lane[i]; }
        int32_t operator[](int i) const { return lane[i]; }
    };
#endif
    Lanes value;

    static PortableVector load(const float* from) {
        PortableVector result;
        std::memcpy(&result.value, from, sizeof(Lanes));
        return result;
    }
    static PortableVector broadcast(float x) { return each([=](int) { return x; }); }
    void store(float* to) const { std::memcpy(to, &value, sizeof(Lanes)); }

    friend PortableVector operator+(PortableVector a, PortableVector b) {
        return each([=](int i) { return a.value[i] + b.value[i]; });
    }
    friend PortableVector operator-(PortableVector a, PortableVector b) {
        return each([=](int i) { return a.value[i] - b.value[i]; });
    }
    friend PortableVector operator*(PortableVector a, PortableVector b) {
        return each([=](int i) { return a.value[i] * b.value[i]; });
    }
    friend PortableVector operator/(PortableVector a, PortableVector b) {
        return each([=](int i) { return a.value[i] / b.value[i]; });
    }
    static PortableVector multiply_add(PortableVector a, PortableVector b, PortableVector c) {
        return each([=](int i) { return a.value[i] * b.value[i] + c.value[i]; });
    }
    static PortableVector minimum(PortableVector a, PortableVector b) {
        return each([=](int i) { return a.value[i] < b.value[i] ? a.value[i] : b.value[i]; });
    }
    static PortableVector maximum(PortableVector a, PortableVector b) {
        return each([=](int i) { return a.value[i] > b.value[i] ? a.value[i] : b.value[i]; });
    }
    static PortableVector square_root(PortableVector a) {
        return each([=](int i) { return sqrtf(a.value[i]); });
    }
    // Lane i is the sum of the lanes of the i-th vector.
    static PortableVector sums_of_lanes(const PortableVector (&v)[width]) {
        return each([&](int i) {
            return (v[i].value[0] + v[i].value[1]) + (v[i].value[2] + v[i].value[3]);
        });
    }
    // The lowest bits of each lane moved into its exponent field.
    static PortableVector bits_to_exponent(PortableVector a) {
        IntegerLanes bits;
        std::memcpy(&bits, &a.value, sizeof(bits));
        for (int i = 0; i < width; ++i) {
            bits[i] = static_cast<int32_t>(static_cast<uint32_t>(bits[i]) << 23);
        }
        std::memcpy(&a.value, &bits, sizeof(bits));
        return a;
    }

private:
    template <class Function>
    static PortableVector each(Function function) {
        PortableVector result;
        for (int i = 0; i < width; ++i) result.value[i] = function(i);
        return result;
    }
};

}  // namespace
