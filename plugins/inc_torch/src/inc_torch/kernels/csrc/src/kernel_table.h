// The border between the C interface and the instruction sets: a set is one table of functions.
//
// A new one (AMX, ARM) is a folder with its `simd.h` and tiles, a table, and a line in isa.cc.
#pragma once

#include "layout.h"

// What quantizing to 8 bits needs.
struct Quantization {
  float scale;
  int32_t zero_point;
  bool is_signed;

  int32_t lowest() const { return is_signed ? -128 : 0; }
  int32_t highest() const { return is_signed ? 127 : 255; }
};

// The scale and zero point of one row of activations.
struct RowQuantization {
  float scale;
  int32_t zero_point;
};

// A linear with int8 weights; `q` holds the activations, zero or multiplied by zeros beyond k up to
// a multiple of 4.
struct Int8Linear {
  const RowQuantization* rows;
  int64_t rows_step;  // 1; or 0, if all rows share the first
  const uint8_t* q;
  int64_t q_stride;
  int64_t m, k, n;
  const int8_t* packed;
  const int32_t* column_sums;
  const float* scales;
  const float* bias;
  int activation;
  const float* addend;     // (m, n), or null
  const Quantization* to;  // of a uint8 result; null for a float one
  void* y;
  int64_t y_stride;
};

// Activations of a 4-bit linear in the form that is multiplied. k is padded to whole groups.
struct Int4Activations {
  int64_t m, k, group_size, groups;
  float* scales;  // (m, groups), INT8 only
  void* sums;     // (m, groups) of each group's activations: int32_t for INT8, else float
  void* values;   // (m, k): int8_t, float or permuted bf16
};

struct Int4Linear {
  Int4Activations x;
  const uint8_t* packed;
  const uint16_t* scales;
  const uint8_t* zero_points;
  const float* bias;
  int64_t n;
  float* y;
  int64_t y_stride;
};

struct LayerNorm {
  int64_t k;
  const float* weight;
  const float* bias;
  float epsilon;
};

// The two steps of a 4-bit linear for one compute dtype.
struct Int4Kernels {
  // `row` has `length` elements; what is beyond them, up to x.k, is filled with zeros.
  void (*prepare_row)(const float* row, int64_t length, const Int4Activations& x, int64_t m);
  void (*linear)(const Int4Linear& a, int64_t n0, int64_t n1);
};

struct KernelTable {
  // Writes `padded` bytes of q, zero beyond k.
  RowQuantization (*quantize_row)(const float* row, int64_t k, uint8_t* q, int64_t padded);
  void (*int8_linear)(const Int8Linear& a, int64_t n0, int64_t n1);
  Int4Kernels int4[3];  // by INC_COMPUTE_*
  void (*quantize)(const float* x, int64_t count, const Quantization& to, uint8_t* q);
  void (*dequantize)(const uint8_t* q, int64_t count, const Quantization& from, float* y);
  void (*layer_norm_row)(const float* row, const LayerNorm& norm, const Quantization& to,
                         uint8_t* q, float* y);
};

extern const KernelTable scalar_kernels;
#if defined(__x86_64__)
extern const KernelTable avx2_kernels;
extern const KernelTable avx512_kernels;
extern const Int4Kernels avx512_bf16_int4;  // replaces a line of avx512_kernels where bf16 is there
#endif

const KernelTable& kernels();
