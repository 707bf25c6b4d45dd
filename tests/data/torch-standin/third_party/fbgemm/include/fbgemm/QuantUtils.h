#pragma once

namespace fbgemm {
// The smallest and the largest of `count` numbers, with AVX2, whatever the CPU is.
void FindMinMax(const float* numbers, float* least, float* most, long count);
} // namespace fbgemm
