double Sleef_halved_purecfma(double x) {
  return __builtin_fma(x, 0.5, 0.0);
}
