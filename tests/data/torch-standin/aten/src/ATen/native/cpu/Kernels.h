#pragma once
#include <ATen/native/DispatchStub.h>

DECLARE_KERNEL(void, add_kernel, double* out, const double* left, const double* right, long count)
DECLARE_KERNEL(double, dot_kernel, const double* left, const double* right, long count)
DECLARE_KERNEL(double, sum_kernel, const double* numbers, long count)
DECLARE_KERNEL(void, scale_kernel, double* out, double factor, long count)
DECLARE_KERNEL(double, quantized_kernel, const float* numbers, long count, float least, float step)
