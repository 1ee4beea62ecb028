// lamp_fast._native: the core for Python; the interpreter lock is released while the core works.
#include <algorithm>
#include <string>
#include <vector>

#include "arrays.h"
#include "bindings.h"
#include "codebook.h"
#include "decode_step.h"
#include "memory.h"
#include "philox.h"

namespace lf::python {
namespace {

// Below this many products, threads that last for one call cost more than they save.
constexpr double kProductsWorthThreads = 1e8;

// x (M, D) into codes (L, K, D): indices (M, L), and the sum of each row's codes (M, D) where `quantized` is given.
void lookup(const Array<float>& x, const float* codes, py::ssize_t levels, py::ssize_t count, std::size_t threads,
            std::int64_t* indices, float* quantized, const char* operation) {
  const std::size_t rows = static_cast<std::size_t>(x.shape(0)), width = static_cast<std::size_t>(x.shape(1));
  const std::size_t number = static_cast<std::size_t>(count), depth = static_cast<std::size_t>(levels);
  bool complete;
  {
    py::gil_scoped_release release;
    const double products = static_cast<double>(rows * width) * static_cast<double>(number * depth);
    const Executor executor = products < kProductsWorthThreads ? Executor() : Executor::pool(threads);
    const Kernels& kernels = best_kernels();
    Buffer<unsigned char> scratch(codebook_scratch(kernels, executor, number, width, depth), system_allocator());
    complete = residual_codebook_lookup(kernels, executor, x.data(), rows, codes, depth, number, width, indices,
                                        quantized, scratch.data());
  }
  if (!complete) throw py::value_error(std::string(operation) + ": a row of x holds NaN or an infinity");
}

Array<std::int64_t> codebook_lookup(const py::object& x, const py::object& codebook, std::size_t threads) {
  const auto rows = contiguous<float>(x, 2, "codebook_lookup: x must be (M, D) float32");
  const auto codes = contiguous<float>(codebook, 2, "codebook_lookup: codebook must be (K, D) float32");
  if (rows.shape(1) != codes.shape(1)) throw py::value_error("codebook_lookup: x and codebook differ in width");
  if (codes.size() == 0) throw py::value_error("codebook_lookup: the codebook is empty");
  Array<std::int64_t> indices(rows.shape(0));
  lookup(rows, codes.data(), 1, codes.shape(0), threads, indices.mutable_data(), nullptr, "codebook_lookup");
  return indices;
}

py::tuple residual_codebook_lookup(const py::object& x, const py::object& codebooks, std::size_t threads) {
  const auto rows = contiguous<float>(x, 2, "residual_codebook_lookup: x must be (M, D) float32");
  const auto codes = contiguous<float>(codebooks, 3, "residual_codebook_lookup: codebooks must be (L, K, D) float32");
  if (rows.shape(1) != codes.shape(2))
    throw py::value_error("residual_codebook_lookup: x and codebooks differ in width");
  if (codes.size() == 0) throw py::value_error("residual_codebook_lookup: the codebooks are empty");
  Array<std::int64_t> indices({rows.shape(0), codes.shape(0)});
  Array<float> quantized({rows.shape(0), rows.shape(1)});
  lookup(rows, codes.data(), codes.shape(0), codes.shape(1), threads, indices.mutable_data(), quantized.mutable_data(),
         "residual_codebook_lookup");
  return py::make_tuple(indices, quantized);
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

// logits, unconditional (B, R, K), ids (B, N), next_count, seeds, samples (B), noise (B, N, K) or None -> ids,
// confidence
py::tuple decode_step(const py::object& logits, const py::object& unconditional, const py::object& ids,
                      const py::object& next_count, const py::object& seeds, const py::object& samples,
                      const py::object& noise, std::uint32_t step, float guidance_scale, float temperature,
                      std::size_t top_k) {
  const auto scores = contiguous<float>(logits, 3, "decode_step: logits must be (B, R, K) float32");
  const auto before = contiguous<std::int64_t>(ids, 2, "decode_step: ids must be (B, N) int64");
  const auto counts = contiguous<std::int64_t>(next_count, 1, "decode_step: next_count must be (B,) int64");
  const auto keys = contiguous<std::int64_t>(seeds, 1, "decode_step: seeds must be (B,) int64");
  const auto numbers = contiguous<std::int64_t>(samples, 1, "decode_step: samples must be (B,) int64");
  Array<float> others, uniform;
  if (!unconditional.is_none()) {
    others = contiguous<float>(unconditional, 3, "decode_step: unconditional_logits must be (B, R, K) float32");
  }
  if (!noise.is_none()) uniform = contiguous<float>(noise, 3, "decode_step: noise must be (B, N, K) float32");
  const py::ssize_t batch = before.shape(0), positions = before.shape(1), codes = scores.shape(2);
  const bool fits = scores.shape(0) == batch && (scores.shape(1) > 0 || positions == 0) && counts.size() == batch &&
                    keys.size() == batch && numbers.size() == batch &&
                    (others.size() == 0 || others.size() == scores.size()) &&
                    (uniform.size() == 0 || uniform.size() == batch * positions * codes);
  if (!fits) throw py::value_error("decode_step: logits, ids, next_count, seeds, samples and noise do not fit");
  if (top_k < 1 || static_cast<py::ssize_t>(top_k) > codes) throw py::value_error("decode_step: top_k is out of range");

  Array<std::int64_t> after({batch, positions});
  Array<float> confidence({batch, positions});
  std::int64_t* codes_out = after.mutable_data();
  float* confidence_out = confidence.mutable_data();
  std::vector<float> guided(static_cast<std::size_t>(codes));
  py::gil_scoped_release release;
  const std::int64_t mask_id = codes;
  for (py::ssize_t b = 0; b < batch; ++b, codes_out += positions, confidence_out += positions) {
    const NoiseKey key = {static_cast<std::uint64_t>(keys.data()[b]), static_cast<std::uint32_t>(numbers.data()[b]),
                          step};
    py::ssize_t masked = 0;
    for (py::ssize_t n = 0; n < positions; ++n) {
      const std::int64_t id = before.data()[b * positions + n];
      codes_out[n] = id;
      confidence_out[n] = kKept;
      if (id != mask_id) continue;
      const py::ssize_t row = scores.shape(1) < positions ? std::min(masked++, scores.shape(1) - 1) : n;
      const py::ssize_t place = (b * scores.shape(1) + row) * codes;
      const Drawn drawn = draw_code(scores.data() + place, others.size() > 0 ? others.data() + place : nullptr,
                                    guided.data(), static_cast<std::size_t>(codes),
                                    {guidance_scale, temperature, top_k}, key, static_cast<std::size_t>(n),
                                    uniform.size() > 0 ? uniform.data() + (b * positions + n) * codes : nullptr);
      codes_out[n] = drawn.code;
      confidence_out[n] = drawn.confidence;
    }
    mask_again(codes_out, confidence_out, static_cast<std::size_t>(positions),
               static_cast<std::size_t>(counts.data()[b]), mask_id);
  }
  py::gil_scoped_acquire acquire;
  return py::make_tuple(after, confidence);
}

void bind_operators(py::module_& module) {
  module.def("codebook_lookup", &codebook_lookup, py::arg("x"), py::arg("codebook"), py::arg("threads") = 1,
             "x (M, D) float32, codebook (K, D) float32 -> (M,) int64, the nearest code by squared Euclidean distance; "
             "the lowest index wins a tie. ValueError: wrong shape or dtype, an empty codebook, x not finite.");
  module.def("residual_codebook_lookup", &residual_codebook_lookup, py::arg("x"), py::arg("codebooks"),
             py::arg("threads") = 1,
             "x (M, D) float32, codebooks (L, K, D) float32 -> codes (M, L) int64, the nearest code of what the levels "
             "before left, and their sums (M, D) float32. ValueError: as codebook_lookup.");
  module.def("philox_uniform", &philox_uniform, py::arg("seeds"), py::arg("samples"), py::arg("step"),
             py::arg("num_positions"), py::arg("num_codes"),
             "seeds (B,) int64, samples (B,) int64 -> (B, N, K) float32 in [0, 1) by Philox-4x32-10. "
             "ValueError: wrong shape or dtype.");
  module.def("decode_step", &decode_step, py::arg("logits"), py::arg("unconditional_logits"), py::arg("ids"),
             py::arg("next_count"), py::arg("seeds"), py::arg("samples"), py::arg("noise"), py::arg("step"),
             py::arg("guidance_scale"), py::arg("temperature"), py::arg("top_k"),
             "kernels/decode_step.py in C++, float32. ValueError: shapes, dtypes or a top_k that do not fit.");
}

}  // namespace
}  // namespace lf::python

PYBIND11_MODULE(_native, module) {
  module.doc() = "The C++ core of lamp_fast.";
  module.attr("__version__") = LAMP_FAST_VERSION;
  lf::python::bind_operators(module);
  bind_files(module);
  bind_model(module);
  bind_motion(module);
#if defined(LF_HAS_CUDA)
  bind_cuda(module);
#endif
}
