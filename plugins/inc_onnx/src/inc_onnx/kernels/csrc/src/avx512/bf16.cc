// 4-bit weights with bf16 activations, for CPUs with vdpbf16ps: a file of its own, for its own
// flags.
#include "avx512/int4_linear.h"
#include "generic/rows.h"

namespace {

// Shifting a lane right by 4 t leaves, as the low halves of its 16-bit words, the nibbles t and 4 +
// t: the inputs that a pair of bf16 activations must hold. A table of 16 bf16 values, twice, widens
// them.
constexpr int kPairs[4][2] = {{0, 2}, {4, 6}, {1, 3}, {5, 7}};

struct Bf16Way {
  using Value = uint16_t;
  using Sums = __m512;
  static constexpr int kMaxRows = 6;

  explicit Bf16Way(bool centred) {
    uint16_t values[32];
    for (int i = 0; i < 32; i++) values[i] = to_bf16((float)(i % 16 - (centred ? 8 : 0)));
    table = _mm512_loadu_si512(values);
  }

  template <int kRows, int kVectors, int kSets>
  INC_INLINE void multiply(const uint16_t* x, int64_t stride, const __m512i (&w)[kVectors],
                           __m512 (&sums)[kSets][kRows][kVectors]) const {
    INC_UNROLL for (int pair = 0; pair < 4; pair++) {
      INC_UNROLL for (int v = 0; v < kVectors; v++) {
        const __m512i weight = _mm512_permutexvar_epi16(shifted(w[v], 4 * pair), table);
        INC_UNROLL for (int r = 0; r < kRows; r++) {
          int32_t two;
          memcpy(&two, x + r * stride + pair * 2, sizeof two);
          __m512& sum = sums[pair % kSets][r][v];
          sum = _mm512_dpbf16_ps(sum, (__m512bh)weight, (__m512bh)_mm512_set1_epi32(two));
        }
      }
    }
  }

  __m512i table;
};

void prepare_bf16_row(const float* row, int64_t length, const Int4Activations& x, int64_t m) {
  uint16_t* values = (uint16_t*)x.values + m * x.k;
  float* sums = (float*)x.sums + m * x.groups;
  for (int64_t g = 0; g < x.groups; g++) {
    float sum = 0;
    for (int64_t k = g * x.group_size; k < (g + 1) * x.group_size; k += kStep) {
      for (int i = 0; i < kStep; i++) {
        const int64_t from = k + kPairs[i / 2][i % 2];
        const uint16_t value = to_bf16(from < length ? row[from] : 0.0f);
        values[k + i] = value;
        sum += bits_float((uint32_t)value << 16);
      }
    }
    sums[g] = sum;
  }
}

}  // namespace

const Int4Kernels avx512_bf16_int4 = {prepare_bf16_row, int4_linear<Bf16Way>};
