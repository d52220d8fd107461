// The table that every CPU can run.
#include "scalar/simd.h"
//
#include "generic/quantize.h"
#include "generic/rows.h"
#include "scalar/linear.h"

const KernelTable scalar_kernels = {
    quantize_row<Simd>,
    int8_linear,
    {{prepare_fp32_row<Simd>, int4_linear<dot_int4_fp32>},
     {prepare_rounded_row<Simd>, int4_linear<dot_int4_fp32>},
     {prepare_int8_row<Simd>, int4_linear<dot_int4_int8>}},
    quantize<Simd>,
    dequantize<Simd>,
    layer_norm_row<Simd>,
};
