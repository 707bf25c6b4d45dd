// Compiled for every CPU, and yet it executes AVX: total() and lowest() are the other unit's.
#include "shared.h"

extern "C" double innocent_total(const double *numbers, int count) { return total(numbers, count); }

extern "C" double innocent_lowest(const double *numbers, int count) { return lowest(numbers, count); }
