// Vector of sixteen floats: AVX-512F.
#pragma once

#include <immintrin.h>

namespace {

struct Avx512Vector {
    static constexpr const char* name = "avx512";
    static constexpr int width = 16;
    static constexpr int rows = 12;  // 12 rows x 2 vectors: 24 of the 32 registers accumulate
    __m512 value;

    static Avx512Vector load(const float* from) { return {_mm512_loadu_ps(from)}; }
    static Avx512Vector broadcast(float x) { return {_mm512_set1_ps(x)}; }
    void store(float* to) const { _mm512_storeu_ps(to, value); }

    friend Avx512Vector operator+(Avx512Vector a, Avx512Vector b) {
        return {_mm512_add_ps(a.value, b.value)};
    }
    friend Avx512Vector operator-(Avx512Vector a, Avx512Vector b) {
        return {_mm512_sub_ps(a.value, b.value)};
    }
    friend Avx512Vector operator*(Avx512Vector a, Avx512Vector b) {
        return {_mm512_mul_ps(a.value, b.value)};
    }
    friend Avx512Vector operator/(Avx512Vector a, Avx512Vector b) {
        return {_mm512_div_ps(a.value, b.value)};
    }
    static Avx512Vector multiply_add(Avx512Vector a, Avx512Vector b, Avx512Vector c) {
        return {_mm512_fmadd_ps(a.value, b.value, c.value)};
    }
    static Avx512Vector minimum(Avx512Vector a, Avx512Vector b) {
        return {_mm512_min_ps(a.value, b.value)};
    }
    static Avx512Vector maximum(Avx512Vector a, Avx512Vector b) {
        return {_mm512_max_ps(a.value, b.value)};
    }
    static Avx512Vector square_root(Avx512Vector a) { return {_mm512_sqrt_ps(a.value)}; }
    // Lane i is the sum of the lanes of the i-th vector.
    static Avx512Vector sums_of_lanes(const Avx512Vector (&v)[width]) {
        float sums[width];
        for (int i = 0; i < width; ++i) sums[i] = _mm512_reduce_add_ps(v[i].value);
        return load(sums);
    }
    // The lowest bits of each lane moved into its exponent field.
    static Avx512Vector bits_to_exponent(Avx512Vector a) {
        return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a.value), 23))};
    }
};

}  // namespace
