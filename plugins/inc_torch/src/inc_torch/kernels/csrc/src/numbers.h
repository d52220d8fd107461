// Small float formats, bit by bit. Everything is `static inline`: a shared copy would be compiled
// for one instruction set and could then run on a CPU without it.
#pragma once

#include <stdint.h>
#include <string.h>

static inline uint32_t float_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float bits_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// Round to nearest even. NaN stays NaN, infinity stays infinity.
static inline uint16_t to_bf16(float value) {
  const uint32_t bits = float_bits(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return (uint16_t)((bits >> 16) | 0x40);  // rounding could carry
  return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static inline float through_bf16(float value) { return bits_float((uint32_t)to_bf16(value) << 16); }

// Round to nearest even, subnormals included; beyond the largest float16 gives infinity.
static inline uint16_t to_float16(float value) {
  const uint32_t bits = float_bits(value);
  const uint16_t sign = (uint16_t)((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;  // 65536 and more
  if (magnitude < 0x38800000) {  // below 2**-14: a subnormal, in steps of 2**-24
    // adding 0.5 leaves the 23 bits of steps of 2**-24 as the mantissa, rounded by the addition
    // itself
    const float aligned = bits_float(magnitude) + 0.5f;
    return sign | (uint16_t)(float_bits(aligned) - float_bits(0.5f));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return sign | (uint16_t)((rounded - 0x38000000) >> 13);
}

static inline float from_float16(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  const uint32_t magnitude = half & 0x7fff;
  if (magnitude < 0x400) return bits_float(sign | float_bits((float)magnitude * 0x1p-24f));
  if (magnitude >= 0x7c00) return bits_float(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
  return bits_float(sign | ((magnitude << 13) + 0x38000000));
}
