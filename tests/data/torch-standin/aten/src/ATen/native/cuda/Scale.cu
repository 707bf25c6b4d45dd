namespace at::native {
// A kernel in all but name: the host's compiler takes it.
void scale_cuda(double* out, double factor, int count) {
  for (int i = 0; i < count; ++i) {
    out[i] *= factor;
  }
}
} // namespace at::native
