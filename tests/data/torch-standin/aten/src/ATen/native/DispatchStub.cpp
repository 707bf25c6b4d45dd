#include <ATen/native/DispatchStub.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace at::native {
static CPUCapability find_cpu_capability() {
  // What the variable says is done, whatever the CPU is.
  if (const char* wish = std::getenv("ATEN_CPU_CAPABILITY")) {
    FOR_AVX512(if (!std::strcmp(wish, "avx512")) return CPUCapability::AVX512;)
    FOR_AVX2(if (!std::strcmp(wish, "avx2")) return CPUCapability::AVX2;)
    if (!std::strcmp(wish, "default")) {
      return CPUCapability::DEFAULT;
    }
    std::fprintf(stderr, "ATEN_CPU_CAPABILITY=%s means nothing here\n", wish);
  }
  __builtin_cpu_init();
  FOR_AVX512(if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma")) return CPUCapability::AVX512;)
  FOR_AVX2(if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return CPUCapability::AVX2;)
  return CPUCapability::DEFAULT;
}

CPUCapability get_cpu_capability() {
  static const CPUCapability found = find_cpu_capability();
  return found;
}
} // namespace at::native
