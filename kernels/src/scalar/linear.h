// The linears in plain C++: exact integer sums, the form that every other set must agree with.
#pragma once

#include "generic/ending.h"
#include "kernel_table.h"
#include "numbers.h"

namespace {

int32_t dot_int8(const Int8Linear& a, int64_t m, int64_t n) {
  const int64_t padded_k = int8_padded_k(a.k), lane = n % INC_COLUMN_BLOCK;
  const int8_t* w = a.packed + (n - lane) * padded_k + lane * kQuad;
  const uint8_t* q = a.q + m * a.q_stride;
  int32_t sum = 0;
  for (int64_t k = 0; k < padded_k; k += kQuad, w += kQuad * INC_COLUMN_BLOCK) {
    for (int j = 0; j < kQuad; j++) sum += (int32_t)q[k + j] * w[j];
  }
  return sum;
}

void int8_linear(const Int8Linear& a, int64_t n0, int64_t n1) {
  float beside[INC_COLUMN_BLOCK];
  for (int64_t m = 0; m < a.m; m++) {
    const RowQuantization& row = a.rows[m * a.rows_step];
    for (int64_t block = n0; block < n1; block += INC_COLUMN_BLOCK) {
      const Tile tile = tile_of(a, m, block, beside);
      for (int64_t n = block; n < smaller(block + INC_COLUMN_BLOCK, a.n); n++) {
        const int32_t sum = dot_int8(a, m, n) - row.zero_point * a.column_sums[n];
        const float y = (float)sum * row.scale * a.scales[n] + (a.bias ? a.bias[n] : 0.0f);
        tile.at[n - block] = y;
      }
      if (has_ending(a)) finish_tile<Simd>(a, m, 1, block, tile);
    }
  }
}

// Input k of column n, 0..15.
int32_t int4_value(const Int4Linear& a, int64_t n, int64_t k) {
  const uint8_t* panel = int4_panel(a.packed, n - n % kPanel, a.x.k);
  const uint8_t byte = panel[k / kStep * kStepBytes + n % kPanel * kQuad + k % kQuad];
  return k % kStep < kQuad ? byte & 15 : byte >> 4;
}

struct GroupOfWeights {
  float scale;
  int32_t zero_point;
};

GroupOfWeights group_of(const Int4Linear& a, int64_t n, int64_t g) {
  const int64_t at = g * round_up(a.n, INC_COLUMN_BLOCK) + n;
  return {from_float16(a.scales[at]), a.zero_points ? a.zero_points[at] : 8};
}

float dot_int4_int8(const Int4Linear& a, int64_t m, int64_t n, int64_t g) {
  const GroupOfWeights w = group_of(a, n, g);
  const int8_t* x = (const int8_t*)a.x.values + m * a.x.k;
  int32_t sum = 0;
  for (int64_t k = g * a.x.group_size; k < (g + 1) * a.x.group_size; k++) {
    sum += (int4_value(a, n, k) - w.zero_point) * x[k];
  }
  return (float)sum * (w.scale * a.x.scales[m * a.x.groups + g]);
}

float dot_int4_fp32(const Int4Linear& a, int64_t m, int64_t n, int64_t g) {
  const GroupOfWeights w = group_of(a, n, g);
  const float* x = (const float*)a.x.values + m * a.x.k;
  float sum = 0;
  for (int64_t k = g * a.x.group_size; k < (g + 1) * a.x.group_size; k++) {
    sum += (float)(int4_value(a, n, k) - w.zero_point) * x[k];
  }
  return sum * w.scale;
}

template <float (*kDot)(const Int4Linear&, int64_t, int64_t, int64_t)>
void int4_linear(const Int4Linear& a, int64_t n0, int64_t n1) {
  for (int64_t m = 0; m < a.x.m; m++) {
    for (int64_t n = n0; n < n1; n++) {
      float total = 0;
      for (int64_t g = 0; g < a.x.groups; g++) total += kDot(a, m, n, g);
      a.y[m * a.y_stride + n] = total + (a.bias ? a.bias[n] : 0.0f);
    }
  }
}

}  // namespace
