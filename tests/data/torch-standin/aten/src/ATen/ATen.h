#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace at {
using Numbers = std::vector<double>;

// Both throw std::invalid_argument if the lengths differ.
Numbers add(const Numbers& left, const Numbers& right);
double dot(const Numbers& left, const Numbers& right);
double sum(const Numbers& numbers);
// The sum of the numbers after each was rounded to one of 256 values between the smallest and the largest.
double quantized_sum(const std::vector<float>& numbers);
// The best capability that kernels are used of: NO AVX, AVX2 or AVX512.
std::string get_cpu_capability();
// How many units were generated, and the sum of what they compute.
std::size_t count_units();
double run_units(double argument);
} // namespace at
