#include <fbgemm/QuantUtils.h>

#include <immintrin.h>

namespace fbgemm {
void FindMinMax(const float* numbers, float* least, float* most, long count) {
  // Broadcast to all lanes: the first instruction is one of AVX, however few numbers there are.
  __m256 low = _mm256_broadcast_ss(numbers);
  __m256 high = low;
  long i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256 next = _mm256_loadu_ps(numbers + i);
    low = _mm256_min_ps(low, next);
    high = _mm256_max_ps(high, next);
  }
  for (; i < count; ++i) {
    const __m256 next = _mm256_broadcast_ss(numbers + i);
    low = _mm256_min_ps(low, next);
    high = _mm256_max_ps(high, next);
  }
  float lows[8];
  float highs[8];
  _mm256_storeu_ps(lows, low);
  _mm256_storeu_ps(highs, high);
  for (int lane = 0; lane < 8; ++lane) {
    *least = lows[lane] < *least ? lows[lane] : *least;
    *most = highs[lane] > *most ? highs[lane] : *most;
  }
}
} // namespace fbgemm
