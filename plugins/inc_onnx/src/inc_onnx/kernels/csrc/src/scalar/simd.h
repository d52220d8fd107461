// The vector vocabulary of src/generic/, one lane wide: what the vector ones must agree with.
//
// `max` and `min` give the second operand if either is NaN, as the x86 instructions do. `first`
// forms touch only the first n lanes, n from 0 (or less) to kLanes, and read the others as 0.
#pragma once

#include <stdint.h>

namespace {

struct Simd {
  static constexpr int kLanes = 1;
  using F32 = float;
  using I32 = int32_t;

  static F32 set(float value) { return value; }
  static I32 set(int32_t value) { return value; }
  static F32 load(const float* p) { return *p; }
  static F32 load_first(const float* p, int64_t n) { return n > 0 ? *p : 0.0f; }
  static void store(float* p, F32 v) { *p = v; }
  static void store_first(float* p, F32 v, int64_t n) {
    if (n > 0) *p = v;
  }
  static F32 keep_first(F32 v, int64_t n) { return n > 0 ? v : 0.0f; }

  static F32 add(F32 a, F32 b) { return a + b; }
  static F32 sub(F32 a, F32 b) { return a - b; }
  static F32 mul(F32 a, F32 b) { return a * b; }
  static F32 reciprocal(F32 v) { return 1.0f / v; }  // within 2 units in the last place
  static F32 mul_add(F32 a, F32 b, F32 c) { return a * b + c; }
  static F32 min(F32 a, F32 b) { return a < b ? a : b; }
  static F32 max(F32 a, F32 b) { return a > b ? a : b; }
  static F32 nan_to_zero(F32 v) { return v == v ? v : 0.0f; }
  static F32 round(F32 v) { return __builtin_nearbyintf(v); }
  // v * 2**n for an integer n in -126..127
  static F32 times_power_of_two(F32 v, F32 n) {
    const uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float power;
    __builtin_memcpy(&power, &bits, sizeof power);
    return v * power;
  }

  static I32 add(I32 a, I32 b) { return a + b; }
  static I32 sub(I32 a, I32 b) { return a - b; }
  static I32 min(I32 a, I32 b) { return a < b ? a : b; }
  static I32 max(I32 a, I32 b) { return a > b ? a : b; }
  static I32 to_int(F32 v) { return (int32_t)__builtin_lrintf(v); }  // |v| below 2**31
  static F32 to_float(I32 v) { return (float)v; }

  // The low byte of each lane.
  static void store_bytes(uint8_t* p, I32 v) { *p = (uint8_t)v; }
  static void store_bytes_first(uint8_t* p, I32 v, int64_t n) {
    if (n > 0) *p = (uint8_t)v;
  }
  static I32 load_u8(const uint8_t* p) { return *p; }
  static I32 load_s8(const uint8_t* p) { return (int8_t)*p; }

  static float sum(F32 v) { return v; }
  static float lowest(F32 v) { return v; }
  static float highest(F32 v) { return v; }
  static int32_t sum(I32 v) { return v; }
};

}  // namespace
