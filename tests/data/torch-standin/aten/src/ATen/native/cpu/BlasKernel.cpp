#include <ATen/native/cpu/Kernels.h>

namespace at::native::CPU_CAPABILITY {
double dot_kernel(const double* left, const double* right, long count) {
  // Four partial sums, which the compiler can keep in one vector.
  double parts[4] = {};
  long i = 0;
  for (; i + 4 <= count; i += 4) {
    for (long lane = 0; lane < 4; ++lane) {
      parts[lane] += left[i + lane] * right[i + lane];
    }
  }
  for (; i < count; ++i) {
    parts[0] += left[i] * right[i];
  }
  return (parts[0] + parts[1]) + (parts[2] + parts[3]);
}
} // namespace at::native::CPU_CAPABILITY
