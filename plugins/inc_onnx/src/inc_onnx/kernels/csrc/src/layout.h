// How packed weights and scratch memory lie; see kernels/README.md for pictures.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "inc_kernels.h"

static inline int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// int8: blocks of 64 columns; in a block, quads of 4 inputs; in a quad, 4 consecutive bytes per
// column. One 32-bit lane of vpdpbusd multiplies the 4 inputs of one column.
enum { kQuad = 4 };

static inline int64_t int8_padded_k(int64_t k) { return round_up(k, kQuad); }

// int4: panels of 32 columns; in a panel, steps of 8 inputs; in a step, 4 bytes per column. Byte j
// has input j in its low half and input 4 + j in its high half, so one mask and one shift give two
// quads.
enum { kPanel = 32, kStep = 8, kStepBytes = kPanel * kStep / 2 };

static inline int64_t int4_padded_k(int64_t k, int64_t group_size) {
  return round_up(k, group_size);
}

// The panel that holds column n (a multiple of 32); k is padded.
static inline const uint8_t* int4_panel(const uint8_t* packed, int64_t n, int64_t k) {
  return packed + n / 2 * k;
}

// Rows of quantized activations are padded to whole cache lines.
static inline int64_t dynamic_row_bytes(int64_t k) { return round_up(k, 64); }
