// The C interface of what is not a linear.
#include "kernel_table.h"

void inc_quantize(const float* x, int64_t count, float scale, int32_t zero_point, int is_signed,
                  void* q) {
  kernels().quantize(x, count, {scale, zero_point, is_signed != 0}, (uint8_t*)q);
}

void inc_dequantize(const void* q, int64_t count, float scale, int32_t zero_point, int is_signed,
                    float* y) {
  kernels().dequantize((const uint8_t*)q, count, {scale, zero_point, is_signed != 0}, y);
}

void inc_layer_norm_quantize(const float* x, int64_t k, const float* weight, const float* bias,
                             float epsilon, float scale, int32_t zero_point, int is_signed, void* q,
                             float* y, int64_t m0, int64_t m1) {
  const LayerNorm norm = {k, weight, bias, epsilon};
  const Quantization to = {scale, zero_point, is_signed != 0};
  for (int64_t i = m0; i < m1; i++) {
    kernels().layer_norm_row(x + i * k, norm, to, (uint8_t*)q + i * k, y ? y + i * k : nullptr);
  }
}
