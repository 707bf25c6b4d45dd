/* Functions for AVX2 that are called after somebody asked. */
#include <cpuid.h>

__attribute__((target("avx2"), noinline)) static void after_cpuid(int *numbers, int count) {
    for (int i = 0; i < count; ++i)
        numbers[i] += 3;
}

__attribute__((target("avx2"), noinline)) static void after_guard(int *numbers, int count) {
    for (int i = 0; i < count; ++i)
        numbers[i] += 5;
}

__attribute__((target("avx2"), noinline)) static void below_guard(int *numbers, int count) {
    for (int i = 0; i < count; ++i)
        numbers[i] += 7;
}

__attribute__((target("avx2"), noinline)) static void bypassed(int *numbers, int count) {
    for (int i = 0; i < count; ++i)
        numbers[i] += 9;
}

/* The recorded guard of this project: the rule's file names it. */
__attribute__((noinline)) int project_has_avx2(void) { return __builtin_cpu_supports("avx2"); }

void dispatch_by_cpuid(int *numbers, int count) {
    unsigned a, b, c, d;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2))
        after_cpuid(numbers, count);
}

static __attribute__((noinline)) void step(int *numbers, int count) { below_guard(numbers, count + 1); }

void dispatch_by_guard(int *numbers, int count) {
    if (project_has_avx2()) {
        after_guard(numbers, count);
        step(numbers, count);
        bypassed(numbers, count);
    }
}

/* One caller asks, this one does not: one way is enough. */
void forgets_to_ask(int *numbers, int count) { bypassed(numbers, count); }
