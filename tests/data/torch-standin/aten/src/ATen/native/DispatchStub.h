#pragma once

namespace at::native {
enum class CPUCapability { DEFAULT, AVX2, AVX512 };
CPUCapability get_cpu_capability();
} // namespace at::native

#ifdef HAVE_AVX2_CPU_DEFINITION
#define FOR_AVX2(...) __VA_ARGS__
#else
#define FOR_AVX2(...)
#endif
#ifdef HAVE_AVX512_CPU_DEFINITION
#define FOR_AVX512(...) __VA_ARGS__
#else
#define FOR_AVX512(...)
#endif

// Declares a kernel for each capability, and <name>_stub(), which is the kernel for this CPU. Static: a function that
// units of several capabilities share would be compiled for any one of them.
#define DECLARE_KERNEL(result, name, ...)                                       \
  namespace at::native {                                                        \
  namespace DEFAULT { result name(__VA_ARGS__); }                               \
  FOR_AVX2(namespace AVX2 { result name(__VA_ARGS__); })                        \
  FOR_AVX512(namespace AVX512 { result name(__VA_ARGS__); })                    \
  [[maybe_unused]] static decltype(&DEFAULT::name) name##_stub() {              \
    switch (get_cpu_capability()) {                                             \
      FOR_AVX512(case CPUCapability::AVX512: return AVX512::name;)              \
      FOR_AVX2(case CPUCapability::AVX2: return AVX2::name;)                    \
      default: return DEFAULT::name;                                            \
    }                                                                           \
  }                                                                             \
  }
