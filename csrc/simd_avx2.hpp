// Vector of eight floats: AVX2 and FMA.
#pragma once

#include <immintrin.h>

namespace {

struct Avx2Vector {
    static constexpr const char* name = "avx2";
    static constexpr int width = 8;
    static constexpr int rows = 6;  // 6 rows x 2 vectors: 12 of the 16 registers accumulate
    __m256 value;

    static Avx2Vector load(const float* from) { return {_mm256_loadu_ps(from)}; }
    static Avx2Vector broadcast(float x) { return {_mm256_set1_ps(x)}; }
    void store(float* to) const { _mm256_storeu_ps(to, value); }

    friend Avx2Vector operator+(Avx2Vector a, Avx2Vector b) {
        return {_mm256_add_ps(a.value, b.value)};
    }
    friend Avx2Vector operator-(Avx2Vector a, Avx2Vector b) {
        return {_mm256_sub_ps(a.value, b.value)};
    }
    friend Avx2Vector operator*(Avx2Vector a, Avx2Vector b) {
        return {_mm256_mul_ps(a.value, b.value)};
    }
    friend Avx2Vector operator/(Avx2Vector a, Avx2Vector b) {
        return {_mm256_div_ps(a.value, b.value)};
    }
    static Avx2Vector multiply_add(Avx2Vector a, Avx2Vector b, Avx2Vector c) {
        return {_mm256_fmadd_ps(a.value, b.value, c.value)};
    }
    static Avx2Vector minimum(Avx2Vector a, Avx2Vector b) {
        return {_mm256_min_ps(a.value, b.value)};
    }
    static Avx2Vector maximum(Avx2Vector a, Avx2Vector b) {
        return {_mm256_max_ps(a.value, b.value)};
    }
    static Avx2Vector square_root(Avx2Vector a) { return {_mm256_sqrt_ps(a.value)}; }
    // Lane i is the sum of the lanes of the i-th vector.
    static Avx2Vector sums_of_lanes(const Avx2Vector (&v)[width]) {
        const __m256 low = _mm256_hadd_ps(_mm256_hadd_ps(v[0].value, v[1].value),
                                          _mm256_hadd_ps(v[2].value, v[3].value));
        const __m256 high = _mm256_hadd_ps(_mm256_hadd_ps(v[4].value, v[5].value),
                                           _mm256_hadd_ps(v[6].value, v[7].value));
        return {_mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20),
                              _mm256_permute2f128_ps(low, high, 0x31))};
    }
    // The lowest bits of each lane moved into its exponent field.
    static Avx2Vector bits_to_exponent(Avx2Vector a) {
        return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a.value), 23))};
    }
};

}  // namespace
