// Compiled with -mavx2, and first on the linker's command line: its copy of total() is kept.
#include "shared.h"

extern "C" double unguarded_total(const double *numbers, int count) {
    return total(numbers, count) * lowest(numbers, count);
}
