// int8 weights on AVX512-VNNI: tiles of up to 6 rows by 64 columns, all sums in registers.
#pragma once

#include "avx512/simd.h"
#include "generic/activation.h"
#include "kernel_table.h"
#include "tile.h"

namespace {

constexpr int kMaxRows = 6;  // 6 rows x 4 vectors of sums, 4 of weights: 28 of 32 registers
constexpr int kVectors = 4;  // of 16 columns
constexpr int kQuadBytes = 64 * kVectors;
constexpr int kWeightsAhead = 6144;  // bytes; weights stream from memory, about 24 quads ahead

// The sums of kRows rows from q and the block of 64 columns at w. A single row takes two sets of
// sums, since 4 dependent chains do not hide the latency of vpdpbusd.
template <int kRows, bool kFetch>
static INC_INLINE void sum_tile(const DynamicLinear& a, const uint8_t* q, const int8_t* w,
                                __m512i (&sums)[kRows][kVectors]) {
  constexpr int kSets = kRows == 1 ? 2 : 1;
  const int64_t padded_k = int8_padded_k(a.k);
  __m512i partial[kSets][kRows][kVectors];
  INC_UNROLL for (int s = 0; s < kSets; s++) {
    INC_UNROLL for (int r = 0; r < kRows; r++) {
      INC_UNROLL for (int v = 0; v < kVectors; v++) partial[s][r][v] = _mm512_setzero_si512();
    }
  }
  int64_t k = 0;
  for (; k + kSets * kQuad <= padded_k; k += kSets * kQuad, w += kSets * kQuadBytes) {
    INC_UNROLL for (int s = 0; s < kSets; s++) {
      __m512i weights[kVectors];
      INC_UNROLL for (int v = 0; v < kVectors; v++) {
        const int8_t* p = w + s * kQuadBytes + v * 64;
        weights[v] = _mm512_loadu_si512(p);
        if (kFetch) _mm_prefetch((const char*)p + kWeightsAhead, _MM_HINT_T0);
      }
      INC_UNROLL for (int r = 0; r < kRows; r++) {
        const __m512i x = broadcast_quad(q + r * a.q_stride + k + s * kQuad);
        INC_UNROLL for (int v = 0; v < kVectors; v++) {
          partial[s][r][v] = _mm512_dpbusd_epi32(partial[s][r][v], x, weights[v]);
        }
      }
    }
  }
  if (kSets == 2 && k < padded_k) {
    const __m512i x = broadcast_quad(q + k);
    INC_UNROLL for (int v = 0; v < kVectors; v++) {
      partial[0][0][v] = _mm512_dpbusd_epi32(partial[0][0][v], x, _mm512_loadu_si512(w + v * 64));
    }
  }
  INC_UNROLL for (int r = 0; r < kRows; r++) {
    INC_UNROLL for (int v = 0; v < kVectors; v++) {
      sums[r][v] = partial[0][r][v];
      if (kSets == 2) sums[r][v] = _mm512_add_epi32(sums[r][v], partial[kSets - 1][r][v]);
    }
  }
}

// Sixteen results of one row at column n.
static INC_INLINE void finish(const DynamicLinear& a, int64_t m, int64_t n, __mmask16 lanes,
                              __m512i sums) {
  const RowQuantization& row = a.rows[m];
  const __m512i shift =
      _mm512_mullo_epi32(_mm512_loadu_si512(a.column_sums + n), _mm512_set1_epi32(row.zero_point));
  const __m512 scale =
      _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, a.scales + n), _mm512_set1_ps(row.scale));
  const __m512 bias = a.bias ? _mm512_maskz_loadu_ps(lanes, a.bias + n) : _mm512_setzero_ps();
  const __m512 y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums, shift)), scale, bias);
  _mm512_mask_storeu_ps(a.y + m * a.y_stride + n, lanes, y);
}

// Not in `finish`, whose 24 copies are all unrolled: their code would not fit the instruction
// cache.
__attribute__((noinline)) static void activate_tile(const DynamicLinear& a, int64_t m, int64_t rows,
                                                    int64_t n) {
  const int64_t end = smaller(n + INC_COLUMN_BLOCK, a.n);
  for (int64_t r = m; r < m + rows; r++) {
    float* y = a.y + r * a.y_stride;
    for (int64_t c = n; c < end; c += Simd::kLanes) {
      const __m512 v = Simd::load_first(y + c, end - c);
      Simd::store_first(y + c, activate<Simd>(v, a.activation), end - c);
    }
  }
}

template <int kRows, bool kFetch>
static void dynamic_tile(const DynamicLinear& a, int64_t m, int64_t n) {
  __m512i sums[kRows][kVectors];
  sum_tile<kRows, kFetch>(a, a.q + m * a.q_stride, a.packed + n * int8_padded_k(a.k), sums);
  INC_UNROLL for (int v = 0; v < kVectors; v++) {
    const int64_t column = n + v * 16;
    if (column >= a.n) return;
    INC_UNROLL for (int r = 0; r < kRows; r++) {
      finish(a, m + r, column, first_lanes(a.n - column), sums[r][v]);
    }
  }
}

using DynamicTile = void (*)(const DynamicLinear&, int64_t, int64_t);

// The first tile of a block fetches its weights ahead; for the others they are in the cache.
constexpr DynamicTile kFetchingTiles[] = {dynamic_tile<1, true>, dynamic_tile<2, true>,
                                          dynamic_tile<3, true>, dynamic_tile<4, true>,
                                          dynamic_tile<5, true>, dynamic_tile<6, true>};
constexpr DynamicTile kCachedTiles[] = {dynamic_tile<1, false>, dynamic_tile<2, false>,
                                        dynamic_tile<3, false>, dynamic_tile<4, false>,
                                        dynamic_tile<5, false>, dynamic_tile<6, false>};

static void dynamic_linear(const DynamicLinear& a, int64_t n0, int64_t n1) {
  for (int64_t n = n0; n < n1; n += INC_COLUMN_BLOCK) {
    for (int64_t m = 0; m < a.m;) {
      // evenly: 8 rows are 4 + 4, since a tile of 2 would wait for its weights
      const int64_t rest = a.m - m, tiles = (rest + kMaxRows - 1) / kMaxRows;
      const int64_t rows = (rest + tiles - 1) / tiles;
      (m == 0 ? kFetchingTiles : kCachedTiles)[rows - 1](a, m, n);
      if (a.activation != INC_ACTIVATION_NONE) activate_tile(a, m, rows, n);
      m += rows;
    }
  }
}

}  // namespace
