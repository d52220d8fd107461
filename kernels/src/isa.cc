// Chooses the table of kernels.
#include "cpu.h"
#include "kernel_table.h"

namespace {

const CpuFeatures cpu = probe_cpu();

bool supported(int isa) {
  switch (isa) {
    case INC_ISA_SCALAR:
      return true;
    case INC_ISA_AVX2:
      return cpu.avx2;
    case INC_ISA_AVX512_VNNI:
      return cpu.avx512_vnni;
    default:
      return false;
  }
}

int best_up_to(int isa) {
  if (isa >= INC_ISA_COUNT) isa = INC_ISA_COUNT - 1;
  while (isa > INC_ISA_SCALAR && !supported(isa)) isa--;
  return isa < INC_ISA_SCALAR ? INC_ISA_SCALAR : isa;
}

KernelTable table_of(int isa, bool bf16) {
#if defined(__x86_64__)
  if (isa == INC_ISA_AVX2) return avx2_kernels;
  if (isa == INC_ISA_AVX512_VNNI) {
    KernelTable table = avx512_kernels;
    if (bf16) table.int4[INC_COMPUTE_BF16] = avx512_bf16_int4;
    return table;
  }
#endif
  (void)isa;
  (void)bf16;
  return scalar_kernels;
}

int active_isa = best_up_to(INC_ISA_COUNT - 1);
bool active_bf16 = cpu.fast_avx512_bf16;
KernelTable active = table_of(active_isa, active_bf16);

}  // namespace

const KernelTable& kernels() { return active; }

int inc_abi_version(void) { return INC_ABI_VERSION; }

int inc_isa(void) { return active_isa; }

int inc_isa_supported(int isa) { return supported(isa); }

int inc_set_isa(int isa) {
  active_isa = best_up_to(isa);
  active = table_of(active_isa, active_bf16);
  return active_isa;
}

int inc_uses_bf16_instructions(void) { return active_isa == INC_ISA_AVX512_VNNI && active_bf16; }

int inc_use_bf16_instructions(int wanted) {
  active_bf16 = wanted && cpu.avx512_bf16;
  active = table_of(active_isa, active_bf16);
  return inc_uses_bf16_instructions();
}
