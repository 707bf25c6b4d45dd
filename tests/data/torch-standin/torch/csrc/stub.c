#include <Python.h>

PyObject* make_torch_module(void);

PyMODINIT_FUNC PyInit__C(void) {
  return make_torch_module();
}
