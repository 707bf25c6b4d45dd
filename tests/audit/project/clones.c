/* The compiler makes a copy for AVX2, and a resolver that asks the CPU. */
__attribute__((target_clones("avx2", "default"))) void cloned(float *numbers, int count) {
    for (int i = 0; i < count; ++i)
        numbers[i] += 1.0f;
}

/* By hand: the resolver asks. What it returns is not seen to be its own, as no call leads there. */
__attribute__((target("avx2"))) static int careful_avx2(int x) {
    float out[8];
    for (int i = 0; i < 8; ++i)
        out[i] = (float)(x + i) * 1.5f;
    return (int)out[x & 7];
}

static int careful_plain(int x) { return x * 3; }

__attribute__((used)) static void *resolve_careful(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") ? (void *)careful_avx2 : (void *)careful_plain;
}

int careful(int) __attribute__((ifunc("resolve_careful")));
