// For a CPU with AVX2; called by nobody.
void nnpack_relu_avx2(float* out, const float* in, long count) {
  for (long i = 0; i < count; ++i) {
    out[i] = in[i] > 0.0f ? in[i] : 0.0f;
  }
}
