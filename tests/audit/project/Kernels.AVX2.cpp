// A unit that is named for its CPU, as ATen's: a rule covers it. Its static initialiser is executed all the same.
#include "shared.h"

namespace {
__attribute__((noinline)) void scale(float *numbers, float by, int count) {
    for (int i = 0; i < count; ++i)
        numbers[i] *= by;
}

struct Table {
    float values[64];
    explicit Table(float start) {
        for (int i = 0; i < 64; ++i)
            values[i] = start / static_cast<float>(i + 1);
    }
};

extern "C" float table_start;
Table table(table_start);
}

typedef void (*kernel)(float *, float, int);
extern "C" kernel const scale_kernel = scale;
extern "C" const float *kernels_table() { return table.values; }

static __attribute__((noinline)) double most(const double *numbers, int count) { return greatest_avx2(numbers, count); }
typedef double (*search)(const double *, int);
extern "C" search const search_kernel = most;
