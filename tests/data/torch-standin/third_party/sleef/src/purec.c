double Sleef_halved_purec(double x) {
  return x * 0.5;
}
