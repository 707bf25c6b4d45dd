namespace caffe2 {
// Called by nobody, like most of what it stands for.
void embedding__avx2(float* out, const float* weights, long count) {
  for (long i = 0; i < count; ++i) {
    out[i] += weights[i] * 0.5f;
  }
}
} // namespace caffe2
