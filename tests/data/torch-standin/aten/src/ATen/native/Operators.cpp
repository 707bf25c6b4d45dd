#include <ATen/ATen.h>
#include <ATen/native/cpu/Kernels.h>
#include <c10/core/Buffer.h>

namespace at {
static long length(const Numbers& numbers) {
  return static_cast<long>(numbers.size());
}

Numbers add(const Numbers& left, const Numbers& right) {
  c10::check_lengths(left.size(), right.size());
  double* out = c10::allocate(left.size());
  native::add_kernel_stub()(out, left.data(), right.data(), length(left));
  Numbers result(out, out + left.size());
  c10::release(out);
  return result;
}

double dot(const Numbers& left, const Numbers& right) {
  c10::check_lengths(left.size(), right.size());
  return native::dot_kernel_stub()(left.data(), right.data(), length(left));
}

double sum(const Numbers& numbers) {
  return native::sum_kernel_stub()(numbers.data(), length(numbers));
}

std::string get_cpu_capability() {
  switch (native::get_cpu_capability()) {
    case native::CPUCapability::AVX512:
      return "AVX512";
    case native::CPUCapability::AVX2:
      return "AVX2";
    default:
      return "NO AVX";
  }
}
} // namespace at
