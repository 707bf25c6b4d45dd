#include "caffe2/core/macros.h"

extern "C" const char* standin_cxx_flags() {
  return STANDIN_CXX_FLAGS;
}
