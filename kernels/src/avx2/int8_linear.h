// int8 weights on AVX2: vpmaddubsw would saturate, so both sides are widened to 16 bits and
// vpmaddwd, which cannot, sums the products.
#pragma once

#include "avx2/simd.h"
#include "generic/ending.h"
#include "kernel_table.h"
#include "tile.h"

namespace {

constexpr int kMaxRows = 4;
constexpr int kTileColumns = 16;
constexpr int kQuadBytes = kQuad * INC_COLUMN_BLOCK;

// The even and the odd bytes of each lane, sign-extended: no byte leaves its lane.
static INC_INLINE __m256i even_bytes(__m256i v) {
  return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8);
}
static INC_INLINE __m256i odd_bytes(__m256i v) { return _mm256_srai_epi16(v, 8); }

// Eight results of one row at column n, as floats.
static INC_INLINE void scale_sums(const Int8Linear& a, int64_t m, int64_t n, __m256i sums,
                                  float* y) {
  const RowQuantization& row = a.rows[m * a.rows_step];
  const int64_t count = a.n - n;
  const __m256i column_sums = _mm256_loadu_si256((const __m256i*)(a.column_sums + n));
  const __m256i shift = _mm256_mullo_epi32(column_sums, _mm256_set1_epi32(row.zero_point));
  const __m256 x =
      _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(sums, shift)), _mm256_set1_ps(row.scale));
  const __m256 product = _mm256_mul_ps(x, Simd::load_first(a.scales + n, count));
  const __m256 bias = a.bias ? Simd::load_first(a.bias + n, count) : _mm256_setzero_ps();
  const __m256 v = _mm256_add_ps(product, bias);
  Simd::store_first(y, v, count);
}

// kRows rows from m, 16 columns from n, which lies in the block of 64 at `block`.
template <int kRows>
static void int8_tile(const Int8Linear& a, int64_t m, int64_t n, const int8_t* block, Tile tile) {
  const uint8_t* q = a.q + m * a.q_stride;
  const int8_t* w = block + n % INC_COLUMN_BLOCK * kQuad;
  const __m256i low_byte = _mm256_set1_epi16(255);
  __m256i sums[kRows][2];
  INC_UNROLL for (int r = 0; r < kRows; r++) sums[r][0] = sums[r][1] = _mm256_setzero_si256();
  for (int64_t k = 0; k < int8_padded_k(a.k); k += kQuad, w += kQuadBytes) {
    INC_UNROLL for (int half = 0; half < 2; half++) {
      const __m256i weights = _mm256_loadu_si256((const __m256i*)(w + half * 32));
      const __m256i even = even_bytes(weights), odd = odd_bytes(weights);
      INC_UNROLL for (int r = 0; r < kRows; r++) {
        const __m256i x = broadcast_quad(q + r * a.q_stride + k);
        const __m256i products =
            _mm256_add_epi32(_mm256_madd_epi16(even, _mm256_and_si256(x, low_byte)),
                             _mm256_madd_epi16(odd, _mm256_srli_epi16(x, 8)));
        sums[r][half] = _mm256_add_epi32(sums[r][half], products);
      }
    }
  }
  INC_UNROLL for (int r = 0; r < kRows; r++) {
    float* y = tile.at + r * tile.stride + n % INC_COLUMN_BLOCK;
    scale_sums(a, m + r, n, sums[r][0], y);
    scale_sums(a, m + r, n + 8, sums[r][1], y + 8);
  }
}

static void int8_linear(const Int8Linear& a, int64_t n0, int64_t n1) {
  alignas(32) float beside[kMaxRows * INC_COLUMN_BLOCK];
  for (int64_t n = n0; n < n1; n += INC_COLUMN_BLOCK) {
    const int8_t* block = a.packed + n * int8_padded_k(a.k);
    for (int64_t m = 0; m < a.m;) {
      const int rows = a.m - m >= kMaxRows ? kMaxRows : 1;
      const Tile tile = tile_of(a, m, n, beside);
      for (int64_t c = n; c < smaller(n + INC_COLUMN_BLOCK, a.n); c += kTileColumns) {
        if (rows == kMaxRows) {
          int8_tile<kMaxRows>(a, m, c, block, tile);
        } else {
          int8_tile<1>(a, m, c, block, tile);
        }
      }
      if (has_ending(a)) finish_tile<Simd>(a, m, rows, n, tile);
      m += rows;
    }
  }
}

}  // namespace
