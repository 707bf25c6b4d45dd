#include <c10/core/Buffer.h>

int main() {
  double* numbers = c10::allocate(3);
  const bool zero = numbers[0] == 0 && numbers[2] == 0;
  c10::release(numbers);
  return zero ? 0 : 1;
}
