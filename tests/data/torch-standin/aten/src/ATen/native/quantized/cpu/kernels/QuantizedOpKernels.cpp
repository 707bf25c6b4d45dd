#include <ATen/native/cpu/Kernels.h>

namespace at::native::CPU_CAPABILITY {
double quantized_kernel(const float* numbers, long count, float least, float step) {
  long levels = 0;
  for (long i = 0; i < count; ++i) {
    levels += static_cast<long>((numbers[i] - least) / step + 0.5f);
  }
  return static_cast<double>(levels) * step + static_cast<double>(count) * least;
}
} // namespace at::native::CPU_CAPABILITY
