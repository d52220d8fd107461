// 4-bit weights on AVX-512, for any way to multiply: tiles of up to 6 rows by 32 or 64 columns.
//
// A way to multiply (`Way`) says how activations are stored, and how the 16 x 8 weights of a vector
// meet them. The sums of a group start at minus its zero point times the group's activations, so
// the weights themselves stay 0..15; symmetric float weights are centred by the table that widens
// them, for nothing.
#pragma once

#include <string.h>

#include "avx512/simd.h"
#include "kernel_table.h"
#include "tile.h"

namespace {

constexpr int kAhead = 3072;  // bytes of weights fetched ahead in each panel

// GCC keeps a shift by 0.
static INC_INLINE __m512i shifted(__m512i v, unsigned bits) {
  return bits ? _mm512_srli_epi32(v, bits) : v;
}

// Products in float32: the low half of each lane picks its value from a table of 16 floats.
struct Fp32Way {
  using Value = float;
  using Sums = __m512;
  static constexpr int kMaxRows = 6;  // many: widening a weight costs two instructions

  explicit Fp32Way(bool centred) {
    const __m512 codes = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    table = _mm512_sub_ps(codes, _mm512_set1_ps(centred ? 8.0f : 0.0f));
  }

  template <int kRows, int kVectors, int kSets>
  INC_INLINE void multiply(const float* x, int64_t stride, const __m512i (&w)[kVectors],
                           __m512 (&sums)[kSets][kRows][kVectors]) const {
    INC_UNROLL for (int nibble = 0; nibble < 8; nibble++) {
      const int k = nibble % 2 * 4 + nibble / 2;  // byte j holds inputs j and 4 + j
      INC_UNROLL for (int v = 0; v < kVectors; v++) {
        const __m512 weight = _mm512_permutexvar_ps(shifted(w[v], 4 * nibble), table);
        INC_UNROLL for (int r = 0; r < kRows; r++) {
          __m512& sum = sums[nibble % kSets][r][v];
          sum = _mm512_fmadd_ps(weight, _mm512_set1_ps(x[r * stride + k]), sum);
        }
      }
    }
  }

  __m512 table;
};

// Products in int8: vpdpbusd takes weights 0..15 as unsigned, activations as signed.
struct Int8Way {
  using Value = int8_t;
  using Sums = __m512i;
  static constexpr int kMaxRows = 6;

  explicit Int8Way(bool) {}

  template <int kRows, int kVectors, int kSets>
  INC_INLINE void multiply(const int8_t* x, int64_t stride, const __m512i (&w)[kVectors],
                           __m512i (&sums)[kSets][kRows][kVectors]) const {
    const __m512i low_half = _mm512_set1_epi8(15);
    INC_UNROLL for (int v = 0; v < kVectors; v++) {
      const __m512i low = _mm512_and_si512(w[v], low_half);
      const __m512i high = _mm512_and_si512(_mm512_srli_epi16(w[v], 4), low_half);
      INC_UNROLL for (int r = 0; r < kRows; r++) {
        __m512i& first = sums[0][r][v];
        first = _mm512_dpbusd_epi32(first, low, broadcast_quad(x + r * stride));
        __m512i& second = sums[kSets - 1][r][v];
        second = _mm512_dpbusd_epi32(second, high, broadcast_quad(x + r * stride + kQuad));
      }
    }
  }
};

static INC_INLINE __m512i add(__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }
static INC_INLINE __m512 add(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
static INC_INLINE void clear(__m512i& v) { v = _mm512_setzero_si512(); }
static INC_INLINE void clear(__m512& v) { v = _mm512_setzero_ps(); }

// Sixteen zero points of a group.
static INC_INLINE __m512i zero_points_at(const Int4Linear& a, int64_t at) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)(a.zero_points + at)));
}

static INC_INLINE __m512i start(const Int4Linear& a, int64_t m, int64_t g, int64_t at, __m512i) {
  const int32_t sum = ((const int32_t*)a.x.sums)[m * a.x.groups + g];
  const __m512i zero_point = a.zero_points ? zero_points_at(a, at) : _mm512_set1_epi32(8);
  return _mm512_mullo_epi32(zero_point, _mm512_set1_epi32(-sum));
}

static INC_INLINE __m512 start(const Int4Linear& a, int64_t m, int64_t g, int64_t at, __m512) {
  if (!a.zero_points) return _mm512_setzero_ps();  // the table is centred
  const float sum = ((const float*)a.x.sums)[m * a.x.groups + g];
  return _mm512_mul_ps(_mm512_cvtepi32_ps(zero_points_at(a, at)), _mm512_set1_ps(-sum));
}

static INC_INLINE __m512 scaled(const Int4Linear& a, int64_t m, int64_t g, __m512i sums,
                                __m512 scale, __m512 total) {
  const __m512 x_scale = _mm512_set1_ps(a.x.scales[m * a.x.groups + g]);
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), _mm512_mul_ps(scale, x_scale), total);
}

static INC_INLINE __m512 scaled(const Int4Linear&, int64_t, int64_t, __m512 sums, __m512 scale,
                                __m512 total) {
  return _mm512_fmadd_ps(sums, scale, total);
}

// The sums of a group, before its products.
template <class Sums, int kRows, int kVectors, int kSets>
static INC_INLINE void start_group(const Int4Linear& a, int64_t m, int64_t g, int64_t at,
                                   Sums (&sums)[kSets][kRows][kVectors]) {
  INC_UNROLL for (int r = 0; r < kRows; r++) {
    INC_UNROLL for (int v = 0; v < kVectors; v++) {
      if (kSets == 2) clear(sums[kSets - 1][r][v]);
      sums[0][r][v] = start(a, m + r, g, at + v * 16, Sums());
    }
  }
}

// The products of a group: `x` are its activations, `w` the panels, which move on behind it.
template <class Way, int kRows, int kVectors, int kSets>
static INC_INLINE void multiply_group(const Int4Linear& a, const Way& way,
                                      const typename Way::Value* x,
                                      const uint8_t* (&w)[kVectors / 2],
                                      typename Way::Sums (&sums)[kSets][kRows][kVectors]) {
  for (int64_t k = 0; k < a.x.group_size; k += kStep, x += kStep) {
    __m512i weights[kVectors];
    INC_UNROLL for (int v = 0; v < kVectors; v++) {
      const uint8_t* p = w[v / 2] + v % 2 * 64;
      weights[v] = _mm512_loadu_si512(p);
      _mm_prefetch((const char*)p + kAhead, _MM_HINT_T1);
    }
    INC_UNROLL for (int p = 0; p < kVectors / 2; p++) w[p] += kStepBytes;
    way.template multiply<kRows, kVectors, kSets>(x, a.x.k, weights, sums);
  }
}

// Scale a group's sums and add them to the totals.
template <class Sums, int kRows, int kVectors, int kSets>
static INC_INLINE void finish_group(const Int4Linear& a, int64_t m, int64_t g, int64_t at,
                                    const Sums (&sums)[kSets][kRows][kVectors],
                                    __m512 (&totals)[kRows][kVectors]) {
  INC_UNROLL for (int v = 0; v < kVectors; v++) {
    const __m256i halves = _mm256_loadu_si256((const __m256i*)(a.scales + at + v * 16));
    const __m512 scale = _mm512_cvtph_ps(halves);
    INC_UNROLL for (int r = 0; r < kRows; r++) {
      Sums sum = sums[0][r][v];
      if (kSets == 2) sum = add(sum, sums[kSets - 1][r][v]);
      totals[r][v] = scaled(a, m + r, g, sum, scale, totals[r][v]);
    }
  }
}

template <int kRows, int kVectors>
static INC_INLINE void store_totals(const Int4Linear& a, int64_t m, int64_t n,
                                    const __m512 (&totals)[kRows][kVectors]) {
  INC_UNROLL for (int v = 0; v < kVectors; v++) {
    const int64_t column = n + v * 16;
    if (column >= a.n) return;
    const __mmask16 lanes = first_lanes(a.n - column);
    const __m512 bias =
        a.bias ? _mm512_maskz_loadu_ps(lanes, a.bias + column) : _mm512_setzero_ps();
    INC_UNROLL for (int r = 0; r < kRows; r++) {
      float* y = a.y + (m + r) * a.y_stride + column;
      _mm512_mask_storeu_ps(y, lanes, _mm512_add_ps(totals[r][v], bias));
    }
  }
}

// kRows rows from m, kPanels panels of 32 columns from n.
template <class Way, int kRows, int kPanels>
static void int4_tile(const Int4Linear& a, int64_t m, int64_t n) {
  constexpr int kVectors = 2 * kPanels;
  constexpr int kSets = kRows == 1 ? 2 : 1;  // one row has too few chains to hide the latency
  const int64_t padded_n = round_up(a.n, INC_COLUMN_BLOCK);
  const Way way(!a.zero_points);
  const typename Way::Value* x = (const typename Way::Value*)a.x.values + m * a.x.k;
  const uint8_t* w[kPanels];
  INC_UNROLL for (int p = 0; p < kPanels; p++) {
    w[p] = int4_panel(a.packed, n + p * kPanel, a.x.k);
  }
  __m512 totals[kRows][kVectors];
  INC_UNROLL for (int r = 0; r < kRows; r++) {
    INC_UNROLL for (int v = 0; v < kVectors; v++) clear(totals[r][v]);
  }
  for (int64_t g = 0; g < a.x.groups; g++, x += a.x.group_size) {
    typename Way::Sums sums[kSets][kRows][kVectors];
    start_group(a, m, g, g * padded_n + n, sums);
    multiply_group(a, way, x, w, sums);
    finish_group(a, m, g, g * padded_n + n, sums, totals);
  }
  store_totals(a, m, n, totals);
}

// One or two rows take 64 columns at once, more take 32: sums and totals must fit 32 registers.
template <class Way, int kRows>
static void int4_rows(const Int4Linear& a, int64_t m, int64_t n) {
  constexpr int kPanels = kRows <= 2 ? 2 : 1;
  for (int64_t column = n; column < smaller(n + INC_COLUMN_BLOCK, a.n);
       column += kPanels * kPanel) {
    int4_tile<Way, kRows, kPanels>(a, m, column);
  }
}

template <class Way>
static void int4_linear(const Int4Linear& a, int64_t n0, int64_t n1) {
  using Rows = void (*)(const Int4Linear&, int64_t, int64_t);
  constexpr Rows kByRows[] = {int4_rows<Way, 1>, int4_rows<Way, 2>, int4_rows<Way, 3>,
                              int4_rows<Way, 4>, int4_rows<Way, 5>, int4_rows<Way, 6>};
  for (int64_t n = n0; n < n1; n += INC_COLUMN_BLOCK) {
    for (int64_t m = 0; m < a.x.m;) {
      const int64_t rest = a.x.m - m, tiles = (rest + Way::kMaxRows - 1) / Way::kMaxRows;
      const int64_t rows = (rest + tiles - 1) / tiles;
      kByRows[rows - 1](a, m, n);
      m += rows;
    }
  }
}

}  // namespace
