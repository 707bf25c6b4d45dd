#include <Python.h>

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#ifdef PNG_FOUND
#include <png.h>
#endif
#ifdef JPEG_FOUND
#include <jpeglib.h>
#endif

namespace {
bool read(PyObject* list, at::Numbers* numbers) {
  PyObject* items = PySequence_Fast(list, "a sequence of numbers is needed");
  if (!items) {
    return false;
  }
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items); ++i) {
    numbers->push_back(PyFloat_AsDouble(PySequence_Fast_GET_ITEM(items, i)));
  }
  Py_DECREF(items);
  return !PyErr_Occurred();
}

// A box is left, top, right, bottom.
double area(const at::Numbers& box) {
  const at::Numbers size = at::add({box[2], box[3]}, {-box[0], -box[1]});
  return std::max(size[0], 0.0) * std::max(size[1], 0.0);
}

double overlap(const at::Numbers& one, const at::Numbers& other) {
  const double shared = area({std::max(one[0], other[0]), std::max(one[1], other[1]),
                              std::min(one[2], other[2]), std::min(one[3], other[3])});
  return shared / (area(one) + area(other) - shared);
}

PyObject* nms(PyObject*, PyObject* arguments) {
  PyObject *given, *given_scores;
  double threshold;
  at::Numbers scores;
  if (!PyArg_ParseTuple(arguments, "OOd", &given, &given_scores, &threshold) || !read(given_scores, &scores)) {
    return nullptr;
  }
  std::vector<at::Numbers> boxes(scores.size());
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    PyObject* box = PySequence_GetItem(given, static_cast<Py_ssize_t>(i));
    const bool fine = box && read(box, &boxes[i]);
    Py_XDECREF(box);
    if (!fine || boxes[i].size() != 4) {
      if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "a box has four numbers");
      }
      return nullptr;
    }
  }
  std::vector<std::size_t> order(boxes.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
  std::vector<std::size_t> kept;
  for (const std::size_t next : order) {
    if (std::none_of(kept.begin(), kept.end(), [&](auto one) { return overlap(boxes[one], boxes[next]) > threshold; })) {
      kept.push_back(next);
    }
  }
  PyObject* result = PyList_New(static_cast<Py_ssize_t>(kept.size()));
  for (std::size_t i = 0; result && i < kept.size(); ++i) {
    PyList_SET_ITEM(result, static_cast<Py_ssize_t>(i), PyLong_FromSize_t(kept[i]));
  }
  return result;
}

PyObject* codecs(PyObject*, PyObject*) {
  PyObject* found = PyDict_New();
#ifdef PNG_FOUND
  PyObject* png = PyLong_FromUnsignedLong(png_access_version_number());
  PyDict_SetItemString(found, "png", png);
  Py_DECREF(png);
#endif
#ifdef JPEG_FOUND
  jpeg_error_mgr errors;
  PyObject* jpeg = PyLong_FromLong(jpeg_std_error(&errors) ? JPEG_LIB_VERSION : 0);
  PyDict_SetItemString(found, "jpeg", jpeg);
  Py_DECREF(jpeg);
#endif
  return found;
}

PyMethodDef methods[] = {
    {"nms", nms, METH_VARARGS, nullptr}, {"codecs", codecs, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "torchvision._C", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};
} // namespace

PyMODINIT_FUNC PyInit__C() {
  return PyModule_Create(&definition);
}
