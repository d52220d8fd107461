// How an int8 linear ends, for any `Simd`: activation, addend, rounding.
#pragma once

#include "generic/activation.h"
#include "generic/quantize.h"
#include "kernel_table.h"

namespace {

// Where the sums of a tile go as floats: into the result; or beside it, if they are to be rounded.
struct Tile {
  float* at;
  int64_t stride;
};

static inline Tile tile_of(const Int8Linear& a, int64_t m, int64_t n, float* beside) {
  if (a.to) return {beside, INC_COLUMN_BLOCK};
  return {(float*)a.y + m * a.y_stride + n, a.y_stride};
}

static inline bool has_ending(const Int8Linear& a) {
  return a.activation != INC_ACTIVATION_NONE || a.addend || a.to;
}

// Finish `rows` rows from m of the block of columns at n. Not inlined into the tiles, of which each
// number of rows has a copy: their code would not fit the instruction cache.
template <class S>
__attribute__((noinline)) void finish_tile(const Int8Linear& a, int64_t m, int64_t rows, int64_t n,
                                           Tile tile) {
  const Quantizer<S> quantizer(a.to ? *a.to : Quantization{1.0f, 0, false});
  const int64_t columns = smaller(INC_COLUMN_BLOCK, a.n - n);
  for (int64_t r = 0; r < rows; r++) {
    float* sums = tile.at + r * tile.stride;
    const float* addend = a.addend ? a.addend + (m + r) * a.n + n : nullptr;
    uint8_t* q = (uint8_t*)a.y + (m + r) * a.y_stride + n;
    for (int64_t c = 0; c < columns; c += S::kLanes) {
      const int64_t rest = smaller(S::kLanes, columns - c);
      auto v = activate<S>(S::load_first(sums + c, rest), a.activation);
      if (addend) v = S::add(v, S::load_first(addend + c, rest));
      if (a.to) {
        S::store_bytes_first(q + c, quantizer(v), rest);
      } else {
        S::store_first(sums + c, v, rest);
      }
    }
  }
}

}  // namespace
