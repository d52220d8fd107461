// The vector vocabulary of src/generic/ for AVX2 with FMA: see scalar/simd.h.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace {

// Four consecutive bytes in every lane. Not through a register: the load itself broadcasts.
static inline __m256i broadcast_quad(const void* p) {
  int32_t quad;
  memcpy(&quad, p, sizeof quad);
  return _mm256_set1_epi32(quad);
}

struct Simd {
  static constexpr int kLanes = 8;
  using F32 = __m256;
  using I32 = __m256i;

  static F32 set(float value) { return _mm256_set1_ps(value); }
  static I32 set(int32_t value) { return _mm256_set1_epi32(value); }
  static F32 load(const float* p) { return _mm256_loadu_ps(p); }
  static F32 load_first(const float* p, int64_t n) { return _mm256_maskload_ps(p, first(n)); }
  static void store(float* p, F32 v) { _mm256_storeu_ps(p, v); }
  static void store_first(float* p, F32 v, int64_t n) { _mm256_maskstore_ps(p, first(n), v); }
  static F32 keep_first(F32 v, int64_t n) {
    return _mm256_and_ps(v, _mm256_castsi256_ps(first(n)));
  }

  static F32 add(F32 a, F32 b) { return _mm256_add_ps(a, b); }
  static F32 sub(F32 a, F32 b) { return _mm256_sub_ps(a, b); }
  static F32 mul(F32 a, F32 b) { return _mm256_mul_ps(a, b); }
  static F32 reciprocal(F32 v) { return _mm256_div_ps(set(1.0f), v); }
  static F32 mul_add(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
  static F32 min(F32 a, F32 b) { return _mm256_min_ps(a, b); }
  static F32 max(F32 a, F32 b) { return _mm256_max_ps(a, b); }
  static F32 nan_to_zero(F32 v) { return _mm256_and_ps(v, _mm256_cmp_ps(v, v, _CMP_ORD_Q)); }
  static F32 round(F32 v) {
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static F32 times_power_of_two(F32 v, F32 n) {
    const I32 biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23)));
  }

  static I32 add(I32 a, I32 b) { return _mm256_add_epi32(a, b); }
  static I32 sub(I32 a, I32 b) { return _mm256_sub_epi32(a, b); }
  static I32 min(I32 a, I32 b) { return _mm256_min_epi32(a, b); }
  static I32 max(I32 a, I32 b) { return _mm256_max_epi32(a, b); }
  static I32 to_int(F32 v) { return _mm256_cvtps_epi32(v); }
  static F32 to_float(I32 v) { return _mm256_cvtepi32_ps(v); }

  static void store_bytes(uint8_t* p, I32 v) { _mm_storel_epi64((__m128i*)p, low_bytes(v)); }
  static void store_bytes_first(uint8_t* p, I32 v, int64_t n) {
    uint8_t bytes[16];
    _mm_storeu_si128((__m128i*)bytes, low_bytes(v));
    if (n > 0) memcpy(p, bytes, (size_t)n);
  }
  static I32 load_u8(const uint8_t* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p));
  }
  static I32 load_s8(const uint8_t* p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p));
  }

  static float sum(F32 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
  }
  static float highest(F32 v) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
  }
  static float lowest(F32 v) {
    __m128 s = _mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_min_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_min_ss(s, _mm_shuffle_ps(s, s, 1)));
  }
  static int32_t sum(I32 v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_hadd_epi32(s, s);
    return _mm_cvtsi128_si32(_mm_hadd_epi32(s, s));
  }

 private:
  static __m256i first(int64_t n) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 0 ? 0 : (int32_t)(n < 8 ? n : 8)), lanes);
  }
  static __m128i low_bytes(I32 v) {
    const I32 low = _mm256_and_si256(v, _mm256_set1_epi32(255));
    const __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    return _mm_packus_epi16(words, words);
  }
};

}  // namespace
