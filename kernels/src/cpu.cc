// Own CPUID and XGETBV: __builtin_cpu_supports() silently answers 0 where the compiler's runtime
// support was not linked in.
#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

namespace {

struct Registers {
  unsigned eax, ebx, ecx, edx;
};

bool cpuid(unsigned leaf, unsigned subleaf, Registers* r) {
  return __get_cpuid_count(leaf, subleaf, &r->eax, &r->ebx, &r->ecx, &r->edx) != 0;
}

bool bit(unsigned word, int index) { return (word >> index) & 1; }

// The register states that the operating system saves; without them an instruction set is unusable.
unsigned saved_states() {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// vdpbf16ps has full rate on AMD only: on Intel (Sapphire Rapids, measured) float32 is 1.4 times as
// fast.
bool is_amd() {
  Registers r;
  return cpuid(0, 0, &r) && r.ebx == 0x68747541;  // "Auth" of "AuthenticAMD"
}

constexpr unsigned kYmmStates = 0x06;  // SSE, AVX
constexpr unsigned kZmmStates = 0xe6;  // and opmask, both halves of the 512-bit registers

}  // namespace

CpuFeatures probe_cpu() {
  CpuFeatures found = {false, false, false, false};
  Registers leaf1, leaf7, leaf7_1;
  if (!cpuid(1, 0, &leaf1) || !cpuid(7, 0, &leaf7)) return found;
  const bool osxsave = bit(leaf1.ecx, 27), fma = bit(leaf1.ecx, 12), f16c = bit(leaf1.ecx, 29);
  if (!osxsave) return found;
  const unsigned states = saved_states();
  const bool ymm = (states & kYmmStates) == kYmmStates;
  const bool zmm = (states & kZmmStates) == kZmmStates;
  found.avx2 = ymm && fma && f16c && bit(leaf7.ebx, 5);
  const bool f = bit(leaf7.ebx, 16), dq = bit(leaf7.ebx, 17), bw = bit(leaf7.ebx, 30);
  const bool vl = bit(leaf7.ebx, 31), vnni = bit(leaf7.ecx, 11);
  found.avx512_vnni = found.avx2 && zmm && f && dq && bw && vl && vnni;
  const bool has_subleaf = leaf7.eax >= 1 && cpuid(7, 1, &leaf7_1);
  found.avx512_bf16 = found.avx512_vnni && has_subleaf && bit(leaf7_1.eax, 5);
  found.fast_avx512_bf16 = found.avx512_bf16 && is_amd();
  return found;
}

#else

CpuFeatures probe_cpu() { return {false, false, false, false}; }

#endif
