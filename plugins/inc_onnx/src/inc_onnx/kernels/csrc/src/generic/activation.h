// The activations that epilogues apply, for any `Simd`. A NaN stays NaN.
#pragma once

#include "inc_kernels.h"

namespace {

// exp(x) within 2 units in the last place, x clamped to where the result is a normal float.
// Source: Cephes expf: x = n ln 2 + r, ln 2 in two parts so that r is exact.
template <class S>
typename S::F32 exponential(typename S::F32 x) {
  using F32 = typename S::F32;
  x = S::min(S::set(88.0f), S::max(S::set(-87.0f), x));
  const F32 n = S::round(S::mul(x, S::set(1.44269504f)));
  F32 r = S::mul_add(n, S::set(-0.693359375f), x);
  r = S::mul_add(n, S::set(2.12194440e-4f), r);
  F32 p = S::set(1.9875691500e-4f);
  p = S::mul_add(p, r, S::set(1.3981999507e-3f));
  p = S::mul_add(p, r, S::set(8.3334519073e-3f));
  p = S::mul_add(p, r, S::set(4.1665795894e-2f));
  p = S::mul_add(p, r, S::set(1.6666665459e-1f));
  p = S::mul_add(p, r, S::set(5.0000001201e-1f));
  p = S::add(S::mul_add(p, S::mul(r, r), r), S::set(1.0f));
  return S::times_power_of_two(p, n);
}

// v / (1 + exp(-z)): the common form of silu (z = v) and of gelu by tanh.
template <class S>
typename S::F32 gated(typename S::F32 v, typename S::F32 z) {
  const auto gate = S::add(S::set(1.0f), exponential<S>(S::sub(S::set(0.0f), z)));
  // far below 0 the clamped exponential no longer wins against v; this order keeps NaN
  return S::mul(S::max(S::set(-1e4f), v), S::reciprocal(gate));
}

template <class S>
typename S::F32 gelu_tanh(typename S::F32 v) {
  // 0.5 (1 + tanh u) = 1 / (1 + exp(-2 u)), u = sqrt(2 / pi) (v + 0.044715 v**3)
  const auto cubic = S::mul_add(S::mul(v, v), S::set(0.044715f), S::set(1.0f));
  return gated<S>(v, S::mul(S::mul(v, S::set(1.5957691216f)), cubic));
}

// v Phi(v) as max(v, 0) - |v| Phi(-|v|), which keeps the small values of negative v, where
// Phi(-x) = 1 / 2 p(x)**8. The form is Abramowitz and Stegun's 7.1.28 for erfc; the coefficients
// are fitted for the least largest error of x Phi(-x) on 0..6: 1.7e-7 in float32.
template <class S>
typename S::F32 gelu_erf(typename S::F32 v) {
  using F32 = typename S::F32;
  const F32 zero = S::set(0.0f);
  // beyond 12.5 the tail is below 1e-30: no power overflows, and no infinity makes it NaN
  const F32 x = S::min(S::set(12.5f), S::max(v, S::sub(zero, v)));
  F32 p = S::set(2.9321656711e-6f);
  p = S::mul_add(p, x, S::set(-1.6743513697e-5f));
  p = S::mul_add(p, x, S::set(9.7565483884e-5f));
  p = S::mul_add(p, x, S::set(1.1138949776e-4f));
  p = S::mul_add(p, x, S::set(9.8061352037e-4f));
  p = S::mul_add(p, x, S::set(8.5916649550e-3f));
  p = S::mul_add(p, x, S::set(4.4788789004e-2f));
  p = S::mul_add(p, x, S::set(9.9732495844e-2f));
  p = S::mul_add(p, x, S::set(1.0f));
  p = S::mul(p, p);
  p = S::mul(p, p);
  p = S::mul(p, p);
  const F32 tail = S::mul(S::mul(x, S::set(0.5f)), S::reciprocal(p));
  return S::sub(S::max(zero, v), tail);
}

template <class S>
typename S::F32 activate(typename S::F32 v, int activation) {
  switch (activation) {
    case INC_ACTIVATION_RELU:
      return S::max(S::set(0.0f), v);  // this order keeps NaN
    case INC_ACTIVATION_GELU:
      return gelu_erf<S>(v);
    case INC_ACTIVATION_GELU_TANH:
      return gelu_tanh<S>(v);
    case INC_ACTIVATION_SILU:
      return gated<S>(v, v);
    default:
      return v;
  }
}

}  // namespace
