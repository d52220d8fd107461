/* Quantized kernels for CPUs behind a plain C interface: no framework, nothing but libc.
 *
 * Matrices are row-major. A weight has shape (n, k) = (out_features, in_features) and is packed
 * once; the layouts are described in kernels/README.md and are the same for every instruction set.
 * Kernels start no threads: the caller's pool splits `rows` (m0, m1) and `columns` (n0, n1),
 * columns at multiples of 64. Pointers need no alignment beyond that of their element, packed
 * weights are fastest at 64 bytes. Rounding is half to even; what does not fit saturates. */
#ifndef INC_KERNELS_H
#define INC_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INC_API __attribute__((visibility("default")))

/* Changes whenever a function here changes its meaning: glue and library must agree. */
enum { INC_ABI_VERSION = 2 };

enum { INC_ISA_SCALAR = 0, INC_ISA_AVX2 = 1, INC_ISA_AVX512_VNNI = 2, INC_ISA_COUNT = 3 };

enum {
  INC_ACTIVATION_NONE = 0,
  INC_ACTIVATION_RELU = 1,
  INC_ACTIVATION_GELU = 2, /* by erf */
  INC_ACTIVATION_GELU_TANH = 3,
  INC_ACTIVATION_SILU = 4
};

enum {
  INC_COMPUTE_FP32 = 0,
  INC_COMPUTE_BF16 = 1, /* activations rounded to bf16, sums in float32 */
  INC_COMPUTE_INT8 = 2  /* activations quantized per row and group, symmetric */
};

/* Output columns of packed weights are padded to a multiple of this. */
enum { INC_COLUMN_BLOCK = 64 };

/* Group sizes of 4-bit weights are multiples of this. */
enum { INC_GROUP_MULTIPLE = 32 };

INC_API int inc_abi_version(void);

/* ---- which kernels ---- */

/* The instruction set in use: at first the best of this CPU. */
INC_API int inc_isa(void);

/* Whether this CPU, and the operating system's saved registers, have it. */
INC_API int inc_isa_supported(int isa);

/* Use the best supported set that is at most `isa`, and return it. Not while kernels run. */
INC_API int inc_set_isa(int isa);

/* Whether INC_COMPUTE_BF16 uses bf16 instructions in the set in use, or float32 ones. */
INC_API int inc_uses_bf16_instructions(void);

/* Ask for bf16 instructions, which are used by default only where they are fast, or for none;
 * return whether they are used now. Not while kernels run. */
INC_API int inc_use_bf16_instructions(int wanted);

/* ---- int8 weights, activations quantized as they come ----
 * y = activation((x_q - x_zero_point) . w * (x_scale * w_scale) + bias), one x_scale per row. */

INC_API size_t inc_int8_packed_size(int64_t k, int64_t n);

/* q: (n, k), symmetric. column_sums: n rounded up to 64, the sum of each output's weights. */
INC_API void inc_int8_pack(const int8_t* q, int64_t k, int64_t n, int8_t* packed,
                           int32_t* column_sums);

/* Bytes that quantized activations of shape (m, k) take. */
INC_API size_t inc_dynamic_scratch_size(int64_t m, int64_t k);

/* Quantize rows m0..m1 of x to uint8, each with a scale and zero point that cover it and zero. A
 * row with a NaN or an infinity gets the scale NaN, and so gives a row of NaN. x_stride is in
 * elements. */
INC_API void inc_dynamic_quantize(const float* x, int64_t x_stride, int64_t m, int64_t k,
                                  void* scratch, int64_t m0, int64_t m1);

/* Rows m0..m1 and columns n0..n1 of y, shape (m, n), from quantized activations. scales: n. bias:
 * n, or NULL. */
INC_API void inc_dynamic_linear(const void* scratch, int64_t m, int64_t k, const int8_t* packed,
                                const int32_t* column_sums, const float* scales, const float* bias,
                                int activation, int64_t n, float* y, int64_t y_stride, int64_t m0,
                                int64_t m1, int64_t n0, int64_t n1);

/* ---- int8 weights, activations quantized before, all rows alike ----
 * y = activation((q - x_zero_point) . w * (x_scale * w_scale) + bias) + addend, and rounded to
 * uint8 if y_scale is positive: then y holds uint8, otherwise float32. */

/* Rows m0..m1 and columns n0..n1 of y, shape (m, n). q: (m, k), k a multiple of 4. bias: n, or
 * NULL. addend: (m, n), or NULL. A NaN is rounded to y_zero_point. */
INC_API void inc_static_linear(const uint8_t* q, int64_t k, float x_scale, int32_t x_zero_point,
                               const int8_t* packed, const int32_t* column_sums,
                               const float* scales, const float* bias, int activation,
                               const float* addend, float y_scale, int32_t y_zero_point, int64_t n,
                               void* y, int64_t m0, int64_t m1, int64_t n0, int64_t n1);

/* ---- 4-bit weights in groups along k: w = (q - zero_point) * scale ---- */

INC_API size_t inc_int4_packed_size(int64_t k, int64_t n, int64_t group_size);

/* q: (n, k) of 0..15. */
INC_API void inc_int4_pack(const uint8_t* q, int64_t k, int64_t n, int64_t group_size,
                           uint8_t* packed);

/* scales, zero_points: (n, groups), written as float16 and uint8 in (groups, n rounded up to 64).
 * zero_points and packed_zero_points are NULL for symmetric weights, whose zero point is 8. */
INC_API void inc_int4_pack_scales(const float* scales, const uint8_t* zero_points, int64_t groups,
                                  int64_t n, uint16_t* packed_scales, uint8_t* packed_zero_points);

/* Bytes that prepared activations of shape (m, k) take, whatever the compute dtype. */
INC_API size_t inc_int4_scratch_size(int64_t m, int64_t k, int64_t group_size);

/* Bring rows m0..m1 of x into the form that inc_int4_linear multiplies. */
INC_API void inc_int4_prepare(const float* x, int64_t x_stride, int64_t m, int64_t k,
                              int64_t group_size, int compute, void* scratch, int64_t m0,
                              int64_t m1);

/* Columns n0..n1 of y, shape (m, n), from activations prepared with the same compute. */
INC_API void inc_int4_linear(const void* scratch, int64_t m, int64_t k, int64_t group_size,
                             int compute, const uint8_t* packed, const uint16_t* scales,
                             const uint8_t* zero_points, const float* bias, int64_t n, float* y,
                             int64_t y_stride, int64_t n0, int64_t n1);

/* ---- elementwise, per tensor ---- */

/* q = clamp(round(x * (1 / scale)) + zero_point), uint8 or, if is_signed, int8. A NaN gives
 * zero_point. */
INC_API void inc_quantize(const float* x, int64_t count, float scale, int32_t zero_point,
                          int is_signed, void* q);

/* y = (q - zero_point) * scale. */
INC_API void inc_dequantize(const void* q, int64_t count, float scale, int32_t zero_point,
                            int is_signed, float* y);

/* Normalise rows m0..m1 of x, shape (m, k), to mean 0 and variance 1, apply weight and bias (k, or
 * NULL for 1 and 0), and quantize. The float result is also written to y unless that is NULL. */
INC_API void inc_layer_norm_quantize(const float* x, int64_t k, const float* weight,
                                     const float* bias, float epsilon, float scale,
                                     int32_t zero_point, int is_signed, void* q, float* y,
                                     int64_t m0, int64_t m1);

#ifdef __cplusplus
}
#endif

#endif
