// Packs weights, once per layer: plain loops.
#include <string.h>

#include "layout.h"
#include "numbers.h"

size_t inc_int8_packed_size(int64_t k, int64_t n) {
  return (size_t)(int8_padded_k(k) * round_up(n, INC_COLUMN_BLOCK));
}

void inc_int8_pack(const int8_t* q, int64_t k, int64_t n, int8_t* packed, int32_t* column_sums) {
  const int64_t padded_k = int8_padded_k(k);
  memset(packed, 0, inc_int8_packed_size(k, n));
  memset(column_sums, 0, (size_t)round_up(n, INC_COLUMN_BLOCK) * sizeof(int32_t));
  for (int64_t column = 0; column < n; column++) {
    const int64_t lane = column % INC_COLUMN_BLOCK;
    int8_t* block = packed + (column - lane) * padded_k + lane * kQuad;
    int32_t sum = 0;
    for (int64_t i = 0; i < k; i++) {
      const int8_t value = q[column * k + i];
      block[i / kQuad * kQuad * INC_COLUMN_BLOCK + i % kQuad] = value;
      sum += value;
    }
    column_sums[column] = sum;
  }
}

size_t inc_int4_packed_size(int64_t k, int64_t n, int64_t group_size) {
  return (size_t)(int4_padded_k(k, group_size) / 2 * round_up(n, INC_COLUMN_BLOCK));
}

void inc_int4_pack(const uint8_t* q, int64_t k, int64_t n, int64_t group_size, uint8_t* packed) {
  const int64_t padded_k = int4_padded_k(k, group_size);
  memset(packed, 0, inc_int4_packed_size(k, n, group_size));
  for (int64_t column = 0; column < n; column++) {
    const int64_t lane = column % kPanel;
    uint8_t* panel = packed + (column - lane) / 2 * padded_k + lane * kQuad;
    for (int64_t i = 0; i < k; i++) {
      const int shift = i % kStep < kQuad ? 0 : 4;
      panel[i / kStep * kStepBytes + i % kQuad] |= (uint8_t)((q[column * k + i] & 15) << shift);
    }
  }
}

void inc_int4_pack_scales(const float* scales, const uint8_t* zero_points, int64_t groups,
                          int64_t n, uint16_t* packed_scales, uint8_t* packed_zero_points) {
  const int64_t padded_n = round_up(n, INC_COLUMN_BLOCK);
  memset(packed_scales, 0, (size_t)(groups * padded_n) * sizeof(uint16_t));
  if (packed_zero_points) memset(packed_zero_points, 0, (size_t)(groups * padded_n));
  for (int64_t column = 0; column < n; column++) {
    for (int64_t group = 0; group < groups; group++) {
      const int64_t from = column * groups + group, to = group * padded_n + column;
      packed_scales[to] = to_float16(scales[from]);
      if (zero_points && packed_zero_points) packed_zero_points[to] = zero_points[from];
    }
  }
}
