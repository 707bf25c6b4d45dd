#pragma once
#include <cuda_runtime_api.h>

namespace c10::cuda {
// The number of the stream that work of `device` goes to.
int getCurrentCUDAStream(int device);
} // namespace c10::cuda
