#include <Python.h>

#include <ATen/ATen.h>

#include <stdexcept>

namespace {
template <typename Number>
bool read(PyObject* list, std::vector<Number>* numbers) {
  PyObject* items = PySequence_Fast(list, "a sequence of numbers is needed");
  if (!items) {
    return false;
  }
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items); ++i) {
    numbers->push_back(static_cast<Number>(PyFloat_AsDouble(PySequence_Fast_GET_ITEM(items, i))));
  }
  Py_DECREF(items);
  return !PyErr_Occurred();
}

PyObject* add(PyObject*, PyObject* arguments) {
  PyObject* lists[2];
  at::Numbers left, right;
  if (!PyArg_ParseTuple(arguments, "OO", &lists[0], &lists[1]) || !read(lists[0], &left) || !read(lists[1], &right)) {
    return nullptr;
  }
  try {
    const at::Numbers total = at::add(left, right);
    PyObject* result = PyList_New(static_cast<Py_ssize_t>(total.size()));
    for (std::size_t i = 0; result && i < total.size(); ++i) {
      PyList_SET_ITEM(result, static_cast<Py_ssize_t>(i), PyFloat_FromDouble(total[i]));
    }
    return result;
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
    return nullptr;
  }
}

PyObject* dot(PyObject*, PyObject* arguments) {
  PyObject* lists[2];
  at::Numbers left, right;
  if (!PyArg_ParseTuple(arguments, "OO", &lists[0], &lists[1]) || !read(lists[0], &left) || !read(lists[1], &right)) {
    return nullptr;
  }
  try {
    return PyFloat_FromDouble(at::dot(left, right));
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
    return nullptr;
  }
}

PyObject* sum(PyObject*, PyObject* list) {
  at::Numbers numbers;
  return read(list, &numbers) ? PyFloat_FromDouble(at::sum(numbers)) : nullptr;
}

PyObject* quantized_sum(PyObject*, PyObject* list) {
  std::vector<float> numbers;
  return read(list, &numbers) ? PyFloat_FromDouble(at::quantized_sum(numbers)) : nullptr;
}

PyObject* get_cpu_capability(PyObject*, PyObject*) {
  return PyUnicode_FromString(at::get_cpu_capability().c_str());
}

PyObject* count_units(PyObject*, PyObject*) {
  return PyLong_FromSize_t(at::count_units());
}

PyObject* run_units(PyObject*, PyObject* argument) {
  const double value = PyFloat_AsDouble(argument);
  return PyErr_Occurred() ? nullptr : PyFloat_FromDouble(at::run_units(value));
}

PyMethodDef methods[] = {
    {"add", add, METH_VARARGS, nullptr},
    {"dot", dot, METH_VARARGS, nullptr},
    {"sum", sum, METH_O, nullptr},
    {"quantized_sum", quantized_sum, METH_O, nullptr},
    {"_get_cpu_capability", get_cpu_capability, METH_NOARGS, nullptr},
    {"_count_units", count_units, METH_NOARGS, nullptr},
    {"_run_units", run_units, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr}};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "torch._C", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};
} // namespace

extern "C" PyObject* make_torch_module() {
  return PyModule_Create(&definition);
}
