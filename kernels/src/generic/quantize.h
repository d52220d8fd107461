// Quantize and dequantize with a given scale, and LayerNorm before it, for any `Simd`.
#pragma once

#include "kernel_table.h"

namespace {

// The constants of one quantization, spread over the lanes.
template <class S>
struct Quantizer {
  typename S::F32 inverse, lowest, highest;
  typename S::I32 zero_point;

  explicit Quantizer(const Quantization& to)
      : inverse(S::set(1.0f / to.scale)),
        lowest(S::set((float)(to.lowest() - to.zero_point))),
        highest(S::set((float)(to.highest() - to.zero_point))),
        zero_point(S::set(to.zero_point)) {}

  // Clamped before it is rounded: the bounds are integers, and no infinity reaches the conversion.
  typename S::I32 operator()(typename S::F32 x) const {
    const auto steps = S::nan_to_zero(S::mul(x, inverse));
    return S::add(S::to_int(S::min(highest, S::max(lowest, steps))), zero_point);
  }
};

template <class S>
void quantize(const float* x, int64_t count, const Quantization& to, uint8_t* q) {
  const Quantizer<S> quantizer(to);
  int64_t i = 0;
  for (; i + S::kLanes <= count; i += S::kLanes) S::store_bytes(q + i, quantizer(S::load(x + i)));
  const int64_t rest = count - i;
  if (rest) S::store_bytes_first(q + i, quantizer(S::load_first(x + i, rest)), rest);
}

template <class S>
typename S::I32 load_quantized(const uint8_t* q, bool is_signed) {
  return is_signed ? S::load_s8(q) : S::load_u8(q);
}

template <class S>
void dequantize(const uint8_t* q, int64_t count, const Quantization& from, float* y) {
  const auto scale = S::set(from.scale);
  const auto zero_point = S::set(from.zero_point);
  int64_t i = 0;
  for (; i + S::kLanes <= count; i += S::kLanes) {
    const auto steps = S::sub(load_quantized<S>(q + i, from.is_signed), zero_point);
    S::store(y + i, S::mul(S::to_float(steps), scale));
  }
  for (; i < count; i++) {
    const int32_t value = from.is_signed ? (int32_t)(int8_t)q[i] : (int32_t)q[i];
    y[i] = (float)(value - from.zero_point) * from.scale;
  }
}

template <class S>
float mean(const float* row, int64_t k) {
  auto total = S::set(0.0f);
  for (int64_t i = 0; i < k; i += S::kLanes) total = S::add(total, S::load_first(row + i, k - i));
  return S::sum(total) / (float)k;
}

// Around a known mean: the one-pass formula cancels where the mean is large.
template <class S>
float variance(const float* row, int64_t k, float mean) {
  const auto centre = S::set(mean);
  auto total = S::set(0.0f);
  for (int64_t i = 0; i < k; i += S::kLanes) {
    const auto d = S::keep_first(S::sub(S::load_first(row + i, k - i), centre), k - i);
    total = S::mul_add(d, d, total);
  }
  return S::sum(total) / (float)k;
}

template <class S>
void layer_norm_row(const float* row, const LayerNorm& norm, const Quantization& to, uint8_t* q,
                    float* y) {
  const Quantizer<S> quantizer(to);
  const float centre = mean<S>(row, norm.k);
  const float spread = variance<S>(row, norm.k, centre);
  const auto shift = S::set(centre);
  const auto factor = S::set(1.0f / __builtin_sqrtf(spread + norm.epsilon));
  for (int64_t i = 0; i < norm.k; i += S::kLanes) {
    const int64_t n = norm.k - i;
    auto v = S::mul(S::sub(S::load_first(row + i, n), shift), factor);
    if (norm.weight) v = S::mul(v, S::load_first(norm.weight + i, n));
    if (norm.bias) v = S::add(v, S::load_first(norm.bias + i, n));
    if (y) S::store_first(y + i, v, n);
    S::store_bytes_first(q + i, quantizer(v), n < S::kLanes ? n : S::kLanes);
  }
}

}  // namespace
