#include <ATen/native/cpu/Kernels.h>

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace at::native::CPU_CAPABILITY {
double sum_kernel(const double* numbers, long count) {
  double total = 0;
  long i = 0;
#ifdef __AVX2__
  __m256d parts = _mm256_setzero_pd();
  for (; i + 4 <= count; i += 4) {
    parts = _mm256_add_pd(parts, _mm256_loadu_pd(numbers + i));
  }
  double lanes[4];
  _mm256_storeu_pd(lanes, parts);
  total = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
#endif
  for (; i < count; ++i) {
    total += numbers[i];
  }
  return total;
}
} // namespace at::native::CPU_CAPABILITY
