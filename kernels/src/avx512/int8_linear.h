// int8 weights on AVX512-VNNI: tiles of up to 6 rows by 64 columns, all sums in registers.
#pragma once

#include "avx512/simd.h"
#include "generic/ending.h"
#include "kernel_table.h"
#include "tile.h"

namespace {

constexpr int kMaxRows = 6;  // 6 rows x 4 vectors of sums, 4 of weights: 28 of 32 registers
constexpr int kVectors = 4;  // of 16 columns
constexpr int kQuadBytes = 64 * kVectors;
// Bytes; weights that stream from memory are fetched about 24 quads ahead, into the second cache:
// the first has fewer fetches in flight.
constexpr int kWeightsAhead = 6144;
// With as many tiles a block, one cache line a quad fetches the next block in time.
constexpr int64_t kTilesToShare = kQuadBytes / 64;

// Which weights a tile fetches into the cache while it multiplies.
enum Fetch { kNothing, kOwnBlock, kNextBlock };

// A tile's share of the next block: from `weights` on, `step` bytes a quad.
struct Ahead {
  const int8_t* weights;
  int64_t step;
};

// The sums of kRows rows from q and the block of 64 columns at w. A single row takes two sets of
// sums, since 4 dependent chains do not hide the latency of vpdpbusd.
template <int kRows, Fetch kFetch>
static INC_INLINE void sum_tile(const Int8Linear& a, const uint8_t* q, const int8_t* w, Ahead ahead,
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
        if (kFetch == kOwnBlock) _mm_prefetch((const char*)p + kWeightsAhead, _MM_HINT_T1);
      }
      if (kFetch == kNextBlock) {
        _mm_prefetch((const char*)ahead.weights, _MM_HINT_T1);
        ahead.weights += ahead.step;
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

// Sixteen results of one row at column n, as floats.
static INC_INLINE void scale_sums(const Int8Linear& a, int64_t m, int64_t n, __mmask16 lanes,
                                  __m512i sums, float* y) {
  const RowQuantization& row = a.rows[m * a.rows_step];
  const __m512i shift =
      _mm512_mullo_epi32(_mm512_loadu_si512(a.column_sums + n), _mm512_set1_epi32(row.zero_point));
  // each step is rounded, as every other set and the frameworks' kernels do it
  const __m512 x =
      _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums, shift)), _mm512_set1_ps(row.scale));
  const __m512 product = _mm512_mul_ps(x, _mm512_maskz_loadu_ps(lanes, a.scales + n));
  const __m512 bias = a.bias ? _mm512_maskz_loadu_ps(lanes, a.bias + n) : _mm512_setzero_ps();
  const __m512 v = _mm512_add_ps(product, bias);
  _mm512_mask_storeu_ps(y, lanes, v);
}

template <int kRows, Fetch kFetch>
static void int8_tile(const Int8Linear& a, int64_t m, int64_t n, Tile tile, Ahead ahead) {
  __m512i sums[kRows][kVectors];
  sum_tile<kRows, kFetch>(a, a.q + m * a.q_stride, a.packed + n * int8_padded_k(a.k), ahead, sums);
  INC_UNROLL for (int v = 0; v < kVectors; v++) {
    const int64_t column = n + v * 16;
    if (column >= a.n) return;
    INC_UNROLL for (int r = 0; r < kRows; r++) {
      float* y = tile.at + r * tile.stride + v * 16;
      scale_sums(a, m + r, column, first_lanes(a.n - column), sums[r][v], y);
    }
  }
}

using Int8Tile = void (*)(const Int8Linear&, int64_t, int64_t, Tile, Ahead);

#define INC_TILES(fetch)                                          \
  {int8_tile<1, fetch>, int8_tile<2, fetch>, int8_tile<3, fetch>, \
   int8_tile<4, fetch>, int8_tile<5, fetch>, int8_tile<6, fetch>}

constexpr Int8Tile kTiles[][kMaxRows] = {INC_TILES(kNothing), INC_TILES(kOwnBlock),
                                         INC_TILES(kNextBlock)};

// Weights stream from memory. With few tiles a block, the first one fetches what it reads; with
// many, each fetches a part of the next block, so that none waits.
static void int8_linear(const Int8Linear& a, int64_t n0, int64_t n1) {
  const int64_t padded_k = int8_padded_k(a.k);
  const int64_t tiles_a_block = (a.m + kMaxRows - 1) / kMaxRows;
  const bool share = tiles_a_block >= kTilesToShare;
  const int64_t step = kQuadBytes / tiles_a_block + 1;
  alignas(64) float beside[kMaxRows * INC_COLUMN_BLOCK];
  for (int64_t n = n0; n < n1; n += INC_COLUMN_BLOCK) {
    Ahead ahead = {a.packed + (n + INC_COLUMN_BLOCK) * padded_k, step};
    for (int64_t m = 0; m < a.m;) {
      // evenly: 8 rows are 4 + 4, since a tile of 2 would wait for its weights
      const int64_t rest = a.m - m, tiles = (rest + kMaxRows - 1) / kMaxRows;
      const int64_t rows = (rest + tiles - 1) / tiles;
      const bool is_first = m == 0 && (!share || n == n0);
      const Fetch fetch = is_first ? kOwnBlock : share ? kNextBlock : kNothing;
      const Tile tile = tile_of(a, m, n, beside);
      kTiles[fetch][rows - 1](a, m, n, tile, ahead);
      if (has_ending(a)) finish_tile<Simd>(a, m, rows, n, tile);
      if (share) ahead.weights += step * (padded_k / kQuad);
      m += rows;
    }
  }
}

}  // namespace
