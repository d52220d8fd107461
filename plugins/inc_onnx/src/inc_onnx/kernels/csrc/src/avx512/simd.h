// The vector vocabulary of src/generic/ for AVX-512: see scalar/simd.h.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace {

static inline __mmask16 first_lanes(int64_t n) {
  return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1);
}

// Four consecutive bytes in every lane. Not through a register: the load itself broadcasts.
static inline __m512i broadcast_quad(const void* p) {
  int32_t quad;
  memcpy(&quad, p, sizeof quad);
  return _mm512_set1_epi32(quad);
}

struct Simd {
  static constexpr int kLanes = 16;
  using F32 = __m512;
  using I32 = __m512i;

  static F32 set(float value) { return _mm512_set1_ps(value); }
  static I32 set(int32_t value) { return _mm512_set1_epi32(value); }
  static F32 load(const float* p) { return _mm512_loadu_ps(p); }
  static F32 load_first(const float* p, int64_t n) {
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
  }
  static void store(float* p, F32 v) { _mm512_storeu_ps(p, v); }
  static void store_first(float* p, F32 v, int64_t n) {
    _mm512_mask_storeu_ps(p, first_lanes(n), v);
  }
  static F32 keep_first(F32 v, int64_t n) { return _mm512_maskz_mov_ps(first_lanes(n), v); }

  static F32 add(F32 a, F32 b) { return _mm512_add_ps(a, b); }
  static F32 sub(F32 a, F32 b) { return _mm512_sub_ps(a, b); }
  static F32 mul(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
  // 1 / v to a unit in the last place, for normal v: an estimate of 14 bits and a step of Newton's.
  static F32 reciprocal(F32 v) {
    const F32 r = _mm512_rcp14_ps(v);
    return _mm512_fmadd_ps(r, _mm512_fnmadd_ps(v, r, set(1.0f)), r);
  }
  static F32 mul_add(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
  static F32 min(F32 a, F32 b) { return _mm512_min_ps(a, b); }
  static F32 max(F32 a, F32 b) { return _mm512_max_ps(a, b); }
  static F32 nan_to_zero(F32 v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v);
  }
  static F32 round(F32 v) {
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static F32 times_power_of_two(F32 v, F32 n) { return _mm512_scalef_ps(v, n); }

  static I32 add(I32 a, I32 b) { return _mm512_add_epi32(a, b); }
  static I32 sub(I32 a, I32 b) { return _mm512_sub_epi32(a, b); }
  static I32 min(I32 a, I32 b) { return _mm512_min_epi32(a, b); }
  static I32 max(I32 a, I32 b) { return _mm512_max_epi32(a, b); }
  static I32 to_int(F32 v) { return _mm512_cvtps_epi32(v); }
  static F32 to_float(I32 v) { return _mm512_cvtepi32_ps(v); }

  static void store_bytes(uint8_t* p, I32 v) {
    _mm_storeu_si128((__m128i*)p, _mm512_cvtepi32_epi8(v));
  }
  static void store_bytes_first(uint8_t* p, I32 v, int64_t n) {
    _mm_mask_storeu_epi8(p, first_lanes(n), _mm512_cvtepi32_epi8(v));
  }
  static I32 load_u8(const uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p));
  }
  static I32 load_s8(const uint8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p));
  }

  static float sum(F32 v) { return _mm512_reduce_add_ps(v); }
  static float highest(F32 v) { return _mm512_reduce_max_ps(v); }
  static float lowest(F32 v) { return _mm512_reduce_min_ps(v); }
  static int32_t sum(I32 v) { return _mm512_reduce_add_epi32(v); }
};

}  // namespace
