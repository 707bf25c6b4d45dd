#include <ATen/native/cpu/Kernels.h>

namespace at::native::CPU_CAPABILITY {
void scale_kernel(double* out, double factor, long count) {
  for (long i = 0; i < count; ++i) {
    out[i] *= factor;
  }
}
} // namespace at::native::CPU_CAPABILITY
