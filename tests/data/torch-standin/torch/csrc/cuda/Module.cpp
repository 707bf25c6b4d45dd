// Compiled for ROCm only, after it was rewritten where it is. Properties of a device: see driver_types.h.
namespace torch::cuda {
const char* device_name() {
  return "cuda";
}
} // namespace torch::cuda
