#include <c10/core/Buffer.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace c10 {
double* allocate(std::size_t count) {
  const std::size_t bytes = (count * sizeof(double) + 63) / 64 * 64;
  void* memory = std::aligned_alloc(64, bytes ? bytes : 64);
  if (!memory) {
    throw std::bad_alloc();
  }
  return static_cast<double*>(std::memset(memory, 0, bytes));
}

void release(double* numbers) {
  std::free(numbers);
}
} // namespace c10
