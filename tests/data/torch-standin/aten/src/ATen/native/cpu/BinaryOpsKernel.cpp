#include <ATen/native/cpu/Kernels.h>

namespace at::native::CPU_CAPABILITY {
void add_kernel(double* out, const double* left, const double* right, long count) {
  for (long i = 0; i < count; ++i) {
    out[i] = left[i] + right[i];
  }
}
} // namespace at::native::CPU_CAPABILITY
