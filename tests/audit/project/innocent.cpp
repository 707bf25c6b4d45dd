// Compiled for every CPU, and yet it executes AVX: total() is the other unit's.
#include "shared.h"

extern "C" double innocent_total(const double *numbers, int count) { return total(numbers, count); }
