// What tiles of registers need: their arrays live in registers only if every loop over them is
// unrolled.
#pragma once

#define INC_UNROLL _Pragma("GCC unroll 8")
#define INC_INLINE inline __attribute__((always_inline))
