// The stand-in has no runtime of any GPU: only what is rewritten is of interest.
namespace c10::cuda {
int getCurrentCUDAStream(int device) {
  return device;
}
} // namespace c10::cuda
