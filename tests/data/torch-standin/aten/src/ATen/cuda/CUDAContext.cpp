namespace c10::cuda {
int getCurrentCUDAStream(int device);
}

namespace at::cuda {
// The stream of the first device.
int getDefaultCUDAStream() {
  return c10::cuda::getCurrentCUDAStream(0);
}
} // namespace at::cuda
