#pragma once
#include <cstddef>

namespace c10 {
// Zeroed memory for `count` numbers, aligned for the widest vectors; throws std::bad_alloc.
double* allocate(std::size_t count);
void release(double* numbers);
// Throws std::invalid_argument unless the lengths of two operands are equal.
void check_lengths(std::size_t left, std::size_t right);
} // namespace c10
