void Sleef_halved_avx2(double* out, const double* in, long count) {
  for (long i = 0; i < count; ++i) {
    out[i] = in[i] * 0.5;
  }
}
