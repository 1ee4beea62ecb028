// lamp_fast._native: the core for Python. Arrays are read where they lie (numpy arrays, CPU tensors of torch) unless
// they are not contiguous; the interpreter lock is released while the core works.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "codebook.h"
#include "philox.h"

namespace py = pybind11;

namespace {

// Without forcecast: a dtype that would lose digits is a TypeError.
template <typename T>
using Array = py::array_t<T, py::array::c_style>;

Array<std::int64_t> codebook_lookup(const Array<float>& x, const Array<float>& codebook) {
  if (x.ndim() != 2 || codebook.ndim() != 2 || x.shape(1) != codebook.shape(1))
    throw py::value_error("codebook_lookup: expected x (M, D) and codebook (K, D) of the same D");
  if (codebook.shape(0) == 0 || codebook.shape(1) == 0)
    throw py::value_error("codebook_lookup: the codebook is empty");
  Array<std::int64_t> indices(x.shape(0));
  const float* x_data = x.data();
  const float* codebook_data = codebook.data();
  std::int64_t* out = indices.mutable_data();
  bool complete;
  {
    py::gil_scoped_release release;
    complete = lf::codebook_lookup(x_data, x.shape(0), codebook_data, codebook.shape(0), x.shape(1), out);
  }
  if (!complete) throw py::value_error("codebook_lookup: a row of x holds NaN or an infinity");
  return indices;
}

Array<std::uint32_t> philox(std::uint64_t seed, const Array<std::uint32_t>& counters) {
  if (counters.ndim() != 2 || counters.shape(1) != 4)
    throw py::value_error("philox: expected counters (n, 4) of uint32");
  const lf::PhiloxKey key = {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  Array<std::uint32_t> words({counters.shape(0), counters.shape(1)});
  const std::uint32_t* in = counters.data();
  std::uint32_t* out = words.mutable_data();
  const py::ssize_t rows = counters.shape(0);
  py::gil_scoped_release release;
  for (py::ssize_t row = 0; row < rows; ++row, in += 4, out += 4) {
    const lf::PhiloxCounter block = lf::philox4x32_10({in[0], in[1], in[2], in[3]}, key);
    for (int word = 0; word < 4; ++word) out[word] = block[word];
  }
  return words;
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "The C++ core of lamp_fast.";
  module.attr("__version__") = LAMP_FAST_VERSION;
  module.def("codebook_lookup", &codebook_lookup, py::arg("x"), py::arg("codebook"),
             "x (M, D) float32, codebook (K, D) float32 -> (M,) int64, the nearest code by squared Euclidean distance; "
             "the lowest index wins a tie. ValueError: shapes disagree, an empty codebook, or x is not finite.");
  module.def("philox", &philox, py::arg("seed"), py::arg("counters"),
             "Philox-4x32-10: counters (n, 4) uint32 under a 64-bit seed -> (n, 4) uint32 random words.");
}
