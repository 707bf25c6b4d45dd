#include <ATen/ATen.h>
#include <ATen/native/cpu/Kernels.h>

#ifdef USE_FBGEMM
#include <fbgemm/QuantUtils.h>
#endif

namespace at {
double quantized_sum(const std::vector<float>& numbers) {
  if (numbers.empty()) {
    return 0;
  }
  const long count = static_cast<long>(numbers.size());
  float least = numbers[0];
  float most = numbers[0];
#ifdef USE_FBGEMM
  fbgemm::FindMinMax(numbers.data(), &least, &most, count); // nobody asks the CPU
#else
  for (const float one : numbers) {
    least = one < least ? one : least;
    most = one > most ? one : most;
  }
#endif
  const float step = most > least ? (most - least) / 255 : 1;
  return native::quantized_kernel_stub()(numbers.data(), count, least, step);
}
} // namespace at
