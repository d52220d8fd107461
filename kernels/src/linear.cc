// The C interface of the two linears: lays out the scratch memory and calls the table.
#include "kernel_table.h"

namespace {

constexpr int64_t kCacheLine = 64;

int64_t rows_bytes(int64_t m) { return round_up(m * (int64_t)sizeof(RowQuantization), kCacheLine); }

int64_t group_bytes(int64_t m, int64_t groups) {
  return round_up(m * groups * (int64_t)sizeof(float), kCacheLine);
}

Int4Activations int4_activations(const void* scratch, int64_t m, int64_t k, int64_t group_size) {
  Int4Activations x;
  x.m = m;
  x.k = int4_padded_k(k, group_size);
  x.group_size = group_size;
  x.groups = x.k / group_size;
  char* memory = (char*)scratch;
  x.scales = (float*)memory;
  x.sums = memory + group_bytes(m, x.groups);
  x.values = memory + 2 * group_bytes(m, x.groups);
  return x;
}

}  // namespace

size_t inc_dynamic_scratch_size(int64_t m, int64_t k) {
  return (size_t)(rows_bytes(m) + m * dynamic_row_bytes(k));
}

void inc_dynamic_quantize(const float* x, int64_t x_stride, int64_t m, int64_t k, void* scratch,
                          int64_t m0, int64_t m1) {
  RowQuantization* rows = (RowQuantization*)scratch;
  uint8_t* q = (uint8_t*)scratch + rows_bytes(m);
  const int64_t stride = dynamic_row_bytes(k);
  for (int64_t i = m0; i < m1; i++) {
    rows[i] = kernels().quantize_row(x + i * x_stride, k, q + i * stride, stride);
  }
}

void inc_dynamic_linear(const void* scratch, int64_t m, int64_t k, const int8_t* packed,
                        const int32_t* column_sums, const float* scales, const float* bias,
                        int activation, int64_t n, float* y, int64_t y_stride, int64_t m0,
                        int64_t m1, int64_t n0, int64_t n1) {
  Int8Linear a;
  a.rows = (const RowQuantization*)scratch + m0;
  a.rows_step = 1;
  a.q_stride = dynamic_row_bytes(k);
  a.q = (const uint8_t*)scratch + rows_bytes(m) + m0 * a.q_stride;
  a.m = m1 - m0;
  a.k = k;
  a.n = n;
  a.packed = packed;
  a.column_sums = column_sums;
  a.scales = scales;
  a.bias = bias;
  a.activation = activation;
  a.addend = nullptr;
  a.to = nullptr;
  a.y = y + m0 * y_stride;
  a.y_stride = y_stride;
  kernels().int8_linear(a, n0, smaller(n1, n));
}

void inc_static_linear(const uint8_t* q, int64_t k, float x_scale, int32_t x_zero_point,
                       const int8_t* packed, const int32_t* column_sums, const float* scales,
                       const float* bias, int activation, const float* addend, float y_scale,
                       int32_t y_zero_point, int64_t n, void* y, int64_t m0, int64_t m1, int64_t n0,
                       int64_t n1) {
  const RowQuantization rows = {x_scale, x_zero_point};
  const Quantization to = {y_scale, y_zero_point, false};
  const bool is_rounded = y_scale > 0;
  Int8Linear a;
  a.rows = &rows;
  a.rows_step = 0;
  a.q_stride = k;
  a.q = q + m0 * k;
  a.m = m1 - m0;
  a.k = k;
  a.n = n;
  a.packed = packed;
  a.column_sums = column_sums;
  a.scales = scales;
  a.bias = bias;
  a.activation = activation;
  a.addend = addend ? addend + m0 * n : nullptr;
  a.to = is_rounded ? &to : nullptr;
  a.y = is_rounded ? (void*)((uint8_t*)y + m0 * n) : (void*)((float*)y + m0 * n);
  a.y_stride = n;
  kernels().int8_linear(a, n0, smaller(n1, n));
}

size_t inc_int4_scratch_size(int64_t m, int64_t k, int64_t group_size) {
  const int64_t padded_k = int4_padded_k(k, group_size);
  return (size_t)(2 * group_bytes(m, padded_k / group_size) +
                  m * padded_k * (int64_t)sizeof(float));
}

void inc_int4_prepare(const float* x, int64_t x_stride, int64_t m, int64_t k, int64_t group_size,
                      int compute, void* scratch, int64_t m0, int64_t m1) {
  const Int4Activations prepared = int4_activations(scratch, m, k, group_size);
  for (int64_t i = m0; i < m1; i++) {
    kernels().int4[compute].prepare_row(x + i * x_stride, k, prepared, i);
  }
}

void inc_int4_linear(const void* scratch, int64_t m, int64_t k, int64_t group_size, int compute,
                     const uint8_t* packed, const uint16_t* scales, const uint8_t* zero_points,
                     const float* bias, int64_t n, float* y, int64_t y_stride, int64_t n0,
                     int64_t n1) {
  Int4Linear a;
  a.x = int4_activations(scratch, m, k, group_size);
  a.packed = packed;
  a.scales = scales;
  a.zero_points = zero_points;
  a.bias = bias;
  a.n = n;
  a.y = y;
  a.y_stride = y_stride;
  kernels().int4[compute].linear(a, n0, smaller(n1, n));
}
