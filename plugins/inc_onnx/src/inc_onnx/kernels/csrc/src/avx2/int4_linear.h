// 4-bit weights on AVX2: tiles of 1 or 2 rows by 16 columns.
#pragma once

#include "avx2/simd.h"
#include "kernel_table.h"
#include "tile.h"

namespace {

// Products in int8. A pair of products is at most 2 * 15 * 127 = 3810, so the 8 pairs of 32 inputs
// fit 16 bits: vpmaddubsw and plain adds, widened once every 32 inputs. Hence INC_GROUP_MULTIPLE.
struct Int8Way {
  using Value = int8_t;

  // The sums over 32 inputs of eight columns at w, for one row.
  static INC_INLINE __m256i sum32(const uint8_t* w, const int8_t* x) {
    const __m256i low_half = _mm256_set1_epi8(15);
    __m256i pairs = _mm256_setzero_si256();
    INC_UNROLL for (int step = 0; step < INC_GROUP_MULTIPLE / kStep; step++) {
      const __m256i v = _mm256_loadu_si256((const __m256i*)(w + step * kStepBytes));
      const __m256i low = _mm256_and_si256(v, low_half);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), low_half);
      const int8_t* quads = x + step * kStep;
      const __m256i first = _mm256_maddubs_epi16(low, broadcast_quad(quads));
      const __m256i second = _mm256_maddubs_epi16(high, broadcast_quad(quads + kQuad));
      pairs = _mm256_add_epi16(pairs, _mm256_add_epi16(first, second));
    }
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }

  // scale * x_scale * (sum of the group - zero point * its activations) for eight columns.
  static INC_INLINE __m256 group(const Int4Linear& a, const uint8_t* w, const int8_t* x, int64_t m,
                                 int64_t g, __m256i zero_points, __m256 scales) {
    __m256i sum = _mm256_setzero_si256();
    for (int64_t k = 0; k < a.x.group_size; k += INC_GROUP_MULTIPLE) {
      sum = _mm256_add_epi32(sum, sum32(w + k * (kStepBytes / kStep), x + k));
    }
    const int64_t at = m * a.x.groups + g;
    const __m256i x_sum = _mm256_set1_epi32(((const int32_t*)a.x.sums)[at]);
    sum = _mm256_sub_epi32(sum, _mm256_mullo_epi32(zero_points, x_sum));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(sum),
                         _mm256_mul_ps(scales, _mm256_set1_ps(a.x.scales[at])));
  }
};

struct Fp32Way {
  using Value = float;

  static INC_INLINE __m256 group(const Int4Linear& a, const uint8_t* w, const float* x, int64_t,
                                 int64_t, __m256i zero_points, __m256 scales) {
    const __m256i low_half = _mm256_set1_epi32(15);
    __m256 even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
    for (int64_t k = 0; k < a.x.group_size; k += kStep, w += kStepBytes) {
      const __m256i v = _mm256_loadu_si256((const __m256i*)w);
      INC_UNROLL for (int nibble = 0; nibble < 8; nibble++) {
        const __m256i code = _mm256_and_si256(_mm256_srli_epi32(v, 4 * nibble), low_half);
        const __m256 weight = _mm256_cvtepi32_ps(_mm256_sub_epi32(code, zero_points));
        const __m256 value = _mm256_broadcast_ss(x + k + nibble % 2 * 4 + nibble / 2);
        __m256& sum = nibble % 2 ? odd : even;
        sum = _mm256_fmadd_ps(weight, value, sum);
      }
    }
    return _mm256_mul_ps(_mm256_add_ps(even, odd), scales);
  }
};

// kRows rows from m, eight columns from n.
template <class Way, int kRows>
static void int4_tile(const Int4Linear& a, int64_t m, int64_t n) {
  const int64_t padded_n = round_up(a.n, INC_COLUMN_BLOCK), lane = n % kPanel;
  const uint8_t* w = int4_panel(a.packed, n - lane, a.x.k) + lane * kQuad;
  const typename Way::Value* x = (const typename Way::Value*)a.x.values + m * a.x.k;
  __m256 totals[kRows];
  INC_UNROLL for (int r = 0; r < kRows; r++) totals[r] = _mm256_setzero_ps();
  for (int64_t g = 0; g < a.x.groups; g++) {
    const int64_t at = g * padded_n + n, k = g * a.x.group_size;
    const __m256 scales = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(a.scales + at)));
    const __m256i zero_points =
        a.zero_points ? _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)(a.zero_points + at)))
                      : _mm256_set1_epi32(8);
    INC_UNROLL for (int r = 0; r < kRows; r++) {
      totals[r] =
          _mm256_add_ps(totals[r], Way::group(a, w + k * (kStepBytes / kStep), x + r * a.x.k + k,
                                              m + r, g, zero_points, scales));
    }
  }
  const int64_t count = a.n - n;
  const __m256 bias = a.bias ? Simd::load_first(a.bias + n, count) : _mm256_setzero_ps();
  INC_UNROLL for (int r = 0; r < kRows; r++) {
    Simd::store_first(a.y + (m + r) * a.y_stride + n, _mm256_add_ps(totals[r], bias), count);
  }
}

// The weights of 8 columns and a group, 4 bytes a step, stay in the first cache for all rows of a
// tile.
template <class Way>
static void int4_linear(const Int4Linear& a, int64_t n0, int64_t n1) {
  for (int64_t n = n0; n < n1; n += Simd::kLanes) {
    int64_t m = 0;
    for (; m + 4 <= a.x.m; m += 4) int4_tile<Way, 4>(a, m, n);
    for (; m < a.x.m; m++) int4_tile<Way, 1>(a, m, n);
  }
}

}  // namespace
