#include <c10/core/Buffer.h>

#include <stdexcept>
#include <string>
#if __has_include(<fmt/standin.h>)
#include <fmt/standin.h>
#else // Debian's source has no third_party
namespace fmt {
static std::string pair(std::size_t left, std::size_t right) {
  return std::to_string(left) + " and " + std::to_string(right);
}
} // namespace fmt
#endif

namespace c10 {
void check_lengths(std::size_t left, std::size_t right) {
  if (left != right) {
    throw std::invalid_argument("the lengths differ: " + fmt::pair(left, right));
  }
}
} // namespace c10
