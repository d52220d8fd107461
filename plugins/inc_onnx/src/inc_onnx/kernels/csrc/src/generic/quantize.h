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

// Two sums, since one would wait for the latency of each addition. `term` is given the vector at i,
// with zeros beyond the row, and how many of its lanes belong to the row.
template <class S, class Term>
float sum_of_terms(const float* row, int64_t k, const Term& term) {
  auto even = S::set(0.0f), odd = S::set(0.0f);
  int64_t i = 0;
  for (; i + 2 * S::kLanes <= k; i += 2 * S::kLanes) {
    even = term(even, S::load(row + i), S::kLanes);
    odd = term(odd, S::load(row + i + S::kLanes), S::kLanes);
  }
  for (; i < k; i += S::kLanes) even = term(even, S::load_first(row + i, k - i), k - i);
  return S::sum(S::add(even, odd));
}

template <class S>
float mean(const float* row, int64_t k) {
  using F32 = typename S::F32;
  const auto term = [](F32 sum, F32 v, int64_t) { return S::add(sum, v); };
  return sum_of_terms<S>(row, k, term) / (float)k;
}

// Around a known mean: the one-pass formula cancels where the mean is large.
template <class S>
float variance(const float* row, int64_t k, float mean) {
  using F32 = typename S::F32;
  const F32 centre = S::set(mean);
  const auto term = [centre](F32 sum, F32 v, int64_t lanes) {
    F32 d = S::sub(v, centre);
    if (lanes < S::kLanes) d = S::keep_first(d, lanes);
    return S::mul_add(d, d, sum);
  };
  return sum_of_terms<S>(row, k, term) / (float)k;
}

template <class S>
void layer_norm_row(const float* row, const LayerNorm& norm, const Quantization& to, uint8_t* q,
                    float* y) {
  using F32 = typename S::F32;
  const Quantizer<S> quantizer(to);
  const float centre = mean<S>(row, norm.k);
  const float spread = variance<S>(row, norm.k, centre);
  const F32 shift = S::set(centre), factor = S::set(1.0f / __builtin_sqrtf(spread + norm.epsilon));
  const F32 one = S::set(1.0f), zero = S::set(0.0f);
  int64_t i = 0;
  for (; i + S::kLanes <= norm.k; i += S::kLanes) {
    const F32 weight = norm.weight ? S::load(norm.weight + i) : one;
    const F32 bias = norm.bias ? S::load(norm.bias + i) : zero;
    const F32 v = S::mul(S::sub(S::load(row + i), shift), factor);
    const F32 result = S::mul_add(v, weight, bias);
    if (y) S::store(y + i, result);
    S::store_bytes(q + i, quantizer(result));
  }
  const int64_t rest = norm.k - i;
  if (rest == 0) return;
  const F32 weight = norm.weight ? S::load_first(norm.weight + i, rest) : one;
  const F32 bias = norm.bias ? S::load_first(norm.bias + i, rest) : zero;
  const F32 v = S::mul(S::sub(S::load_first(row + i, rest), shift), factor);
  const F32 result = S::mul_add(v, weight, bias);
  if (y) S::store_first(y + i, result, rest);
  S::store_bytes_first(q + i, quantizer(result), rest);
}

}  // namespace
