// Arguments of Python as the core reads them: numpy arrays and CPU tensors of torch where they lie, copied only if they
// are not contiguous.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

namespace lf::python {

namespace py = pybind11;

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

// ValueError with the words `expected` where the object is no array of T with so many dimensions.
template <typename T>
Array<T> contiguous(const py::object& object, py::ssize_t ndim, const char* expected) {
  const py::array array = py::array::ensure(object);
  if (!array || !py::isinstance<py::array_t<T>>(array) || array.ndim() != ndim) throw py::value_error(expected);
  return Array<T>::ensure(array);
}

}  // namespace lf::python
