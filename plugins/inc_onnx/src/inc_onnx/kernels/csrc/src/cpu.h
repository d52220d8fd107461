// What this CPU and its operating system allow.
#pragma once

struct CpuFeatures {
  bool avx2;         // with FMA and F16C
  bool avx512_vnni;  // with F, BW, DQ, VL
  bool avx512_bf16;
  bool fast_avx512_bf16;  // and it beats float32
};

CpuFeatures probe_cpu();
