// Activations quantized as they come: per row for int8 weights, per group for 4-bit ones; any
// `Simd`.
#pragma once

#include "kernel_table.h"
#include "numbers.h"

namespace {

// Below it 1 / scale overflows; such a row is zero for every purpose.
constexpr float kSmallestScale = 1.17549435e-38f;

// NaN if any value so far was not finite, else 0: x * 0 is exact for every finite x.
template <class S>
typename S::F32 taint(typename S::F32 tainted, typename S::F32 v) {
  return S::mul_add(v, S::set(0.0f), tainted);
}

template <class S>
RowQuantization choose(const float* row, int64_t k) {
  auto lo = S::set(0.0f), hi = S::set(0.0f), tainted = S::set(0.0f);
  for (int64_t i = 0; i < k; i += S::kLanes) {
    const auto v = S::load_first(row + i, k - i);
    lo = S::min(lo, v);
    hi = S::max(hi, v);
    tainted = taint<S>(tainted, v);
  }
  const float lowest = S::lowest(lo), highest = S::highest(hi);
  const float scale = (highest - lowest) / 255.0f;
  const float infinity = __builtin_inff();
  if (S::sum(tainted) != 0.0f || !(scale < infinity)) return {__builtin_nanf(""), 0};
  if (scale < kSmallestScale) return {1.0f, 0};
  return {scale, (int32_t)__builtin_lrintf(-lowest * (1.0f / scale))};
}

template <class S>
RowQuantization quantize_row(const float* row, int64_t k, uint8_t* q, int64_t padded) {
  const RowQuantization chosen = choose<S>(row, k);
  // a row of NaN scale is quantized to zeros: its result is NaN whatever they are
  const bool usable = chosen.scale == chosen.scale;
  const auto inverse = S::set(usable ? 1.0f / chosen.scale : 0.0f);
  const auto zero_point = S::set(chosen.zero_point);
  const auto lowest = S::set((int32_t)0), highest = S::set((int32_t)255);
  for (int64_t i = 0; i < padded; i += S::kLanes) {
    const auto scaled = S::nan_to_zero(S::mul(S::load_first(row + i, k - i), inverse));
    const auto steps = S::add(S::to_int(scaled), zero_point);
    S::store_bytes(q + i, S::min(highest, S::max(lowest, steps)));
  }
  // the padding must be 0, not the zero point: its weights are 0, and sums leave it out
  for (int64_t i = k; i < padded; i++) q[i] = 0;
  return chosen;
}

template <class S>
float group_scale(const float* values, int64_t count, int64_t group_size) {
  auto highest = S::set(0.0f), tainted = S::set(0.0f);
  for (int64_t i = 0; i < group_size; i += S::kLanes) {
    const auto v = S::load_first(values + i, count - i);
    highest = S::max(highest, S::max(v, S::sub(S::set(0.0f), v)));
    tainted = taint<S>(tainted, v);
  }
  return S::sum(tainted) != 0.0f ? __builtin_nanf("") : S::highest(highest) / 127.0f;
}

// int8 per group, symmetric.
template <class S>
void prepare_int8_row(const float* row, int64_t length, const Int4Activations& x, int64_t m) {
  for (int64_t g = 0; g < x.groups; g++) {
    const int64_t start = g * x.group_size, count = length - start;
    const float scale = group_scale<S>(row + start, count, x.group_size);
    const auto inverse = S::set(scale >= kSmallestScale ? 1.0f / scale : 0.0f);
    uint8_t* q = (uint8_t*)x.values + m * x.k + start;
    auto sum = S::set((int32_t)0);
    for (int64_t i = 0; i < x.group_size; i += S::kLanes) {
      const auto v = S::load_first(row + start + i, count - i);
      const auto steps = S::to_int(S::nan_to_zero(S::mul(v, inverse)));
      sum = S::add(sum, steps);
      S::store_bytes(q + i, steps);
    }
    x.scales[m * x.groups + g] = scale;
    ((int32_t*)x.sums)[m * x.groups + g] = S::sum(sum);
  }
}

template <class S>
void sum_groups(const float* values, const Int4Activations& x, int64_t m) {
  for (int64_t g = 0; g < x.groups; g++) {
    auto sum = S::set(0.0f);
    for (int64_t i = 0; i < x.group_size; i += S::kLanes) {
      sum = S::add(sum, S::load(values + g * x.group_size + i));
    }
    ((float*)x.sums)[m * x.groups + g] = S::sum(sum);
  }
}

template <class S>
void prepare_fp32_row(const float* row, int64_t length, const Int4Activations& x, int64_t m) {
  float* values = (float*)x.values + m * x.k;
  for (int64_t i = 0; i < x.k; i++) values[i] = i < length ? row[i] : 0.0f;
  sum_groups<S>(values, x, m);
}

// bf16 values as float32, for sets without bf16 instructions.
template <class S>
void prepare_rounded_row(const float* row, int64_t length, const Int4Activations& x, int64_t m) {
  float* values = (float*)x.values + m * x.k;
  for (int64_t i = 0; i < x.k; i++) values[i] = i < length ? through_bf16(row[i]) : 0.0f;
  sum_groups<S>(values, x, m);
}

}  // namespace
