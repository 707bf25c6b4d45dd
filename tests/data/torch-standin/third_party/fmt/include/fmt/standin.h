#pragma once
#include <cstddef>
#include <string>

namespace fmt {
inline std::string pair(std::size_t left, std::size_t right) {
  return std::to_string(left) + " and " + std::to_string(right);
}
} // namespace fmt
