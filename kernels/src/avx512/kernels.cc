// The table for AVX512-VNNI.
#include "avx512/int8_linear.h"
#include "avx512/int4_linear.h"
#include "generic/quantize.h"
#include "generic/rows.h"

const KernelTable avx512_kernels = {
    quantize_row<Simd>,
    int8_linear,
    {{prepare_fp32_row<Simd>, int4_linear<Fp32Way>},
     {prepare_rounded_row<Simd>, int4_linear<Fp32Way>},
     {prepare_int8_row<Simd>, int4_linear<Int8Way>}},
    quantize<Simd>,
    dequantize<Simd>,
    layer_norm_row<Simd>,
};
