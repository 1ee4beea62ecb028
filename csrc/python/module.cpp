// lamp_fast._native: the core for Python. Arrays are read where they lie (numpy arrays, CPU tensors of torch) and copied
// only if they are not contiguous; the interpreter lock is released while the core works.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "codebook.h"
#include "philox.h"

namespace py = pybind11;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

template <typename T>
Array<T> contiguous(const py::object& object, py::ssize_t ndim, const char* expected) {
  const py::array array = py::array::ensure(object);
  if (!array || !py::isinstance<py::array_t<T>>(array) || array.ndim() != ndim) throw py::value_error(expected);
  return Array<T>::ensure(array);
}

Array<std::int64_t> codebook_lookup(const py::object& x, const py::object& codebook) {
  const auto rows = contiguous<float>(x, 2, "codebook_lookup: x must be (M, D) float32");
  const auto codes = contiguous<float>(codebook, 2, "codebook_lookup: codebook must be (K, D) float32");
  if (rows.shape(1) != codes.shape(1)) throw py::value_error("codebook_lookup: x and codebook differ in width");
  if (codes.size() == 0) throw py::value_error("codebook_lookup: the codebook is empty");
  Array<std::int64_t> indices(rows.shape(0));
  std::int64_t* out = indices.mutable_data();
  bool complete;
  {
    py::gil_scoped_release release;
    complete = lf::codebook_lookup(rows.data(), rows.shape(0), codes.data(), codes.shape(0), codes.shape(1), out);
  }
  if (!complete) throw py::value_error("codebook_lookup: a row of x holds NaN or an infinity");
  return indices;
}

Array<float> philox_uniform(const py::object& seeds, const py::object& samples, std::uint32_t step,
                            std::uint32_t num_positions, std::uint32_t num_codes) {
  const auto keys = contiguous<std::int64_t>(seeds, 1, "philox_uniform: seeds must be (B,) int64");
  const auto counters = contiguous<std::int64_t>(samples, 1, "philox_uniform: samples must be (B,) int64");
  if (keys.size() != counters.size()) throw py::value_error("philox_uniform: seeds and samples differ in length");
  Array<float> noise({keys.size(), py::ssize_t{num_positions}, py::ssize_t{num_codes}});
  float* out = noise.mutable_data();
  py::gil_scoped_release release;
  lf::philox_uniform(keys.data(), counters.data(), step, keys.size(), num_positions, num_codes, out);
  return noise;
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "The C++ core of lamp_fast.";
  module.attr("__version__") = LAMP_FAST_VERSION;
  module.def("codebook_lookup", &codebook_lookup, py::arg("x"), py::arg("codebook"),
             "x (M, D) float32, codebook (K, D) float32 -> (M,) int64, the nearest code by squared Euclidean distance; "
             "the lowest index wins a tie. ValueError: wrong shape or dtype, an empty codebook, x not finite.");
  module.def("philox_uniform", &philox_uniform, py::arg("seeds"), py::arg("samples"), py::arg("step"),
             py::arg("num_positions"), py::arg("num_codes"),
             "seeds (B,) int64, samples (B,) int64 -> (B, N, K) float32 in [0, 1) by Philox-4x32-10. "
             "ValueError: wrong shape or dtype.");
  bind_files(module);
  bind_motion(module);
}
