/* Compiled with -mavx2: whoever calls it executes AVX. */
void exported_average(float *numbers, int count) {
    for (int i = 0; i < count; ++i)
        numbers[i] *= 0.5f;
}
