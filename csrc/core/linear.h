// Linear layers over packed weights, and the rows they read.
//
//   LinearInput in(kernels, Precision::bf16, rows, width, arena);   // once, when scratch is laid out
//   in.prepare(executor, x, stride, rows, Preparation::normalise, {.stats = stats});
//   linear.run(executor, in, {.activation = Activation::gelu, .out = hidden.target()});
//   hidden.ready(executor);                                         // hidden is the LinearInput of the next layer
#pragma once

#include <cstddef>
#include <cstdint>

#include "executor.h"
#include "kernels.h"
#include "memory.h"
#include "weights.h"

namespace lf {

// What a product is computed in. bf16: products of bfloat16, sums in float32; in float32 altogether where the machine
// has no instruction for it. int8: weights with a scale for each output, activations with a scale and an offset for
// each row, sums exact.
enum class Precision : std::uint8_t { f32, bf16, int8 };

// Rows that a layer writes or attention reads, all within one piece of memory.
struct Rows {
  void* data = nullptr;
  std::size_t stride = 0;  // in elements
  Format format = Format::f32;

  Rows from_row(std::size_t row) const noexcept { return from_column(row * stride); }
  Rows from_column(std::size_t column) const noexcept {
    return {static_cast<unsigned char*>(data) + column * format_size(format), stride, format};
  }
};

inline Rows float_rows(float* data, std::size_t stride) noexcept { return {data, stride, Format::f32}; }

// Rows of activations as the linear layers of one precision read them. Holds no memory of its own.
class LinearInput {
 public:
  struct Options {
    const std::int32_t* rows = nullptr;  // row m is x[rows[m]]; nullptr: x[m]
    float* stats = nullptr;              // (count, 2), with normalise: receives each row's mean and 1/deviation
    float epsilon = 1e-5f;               // with normalise
  };

  LinearInput() noexcept = default;

  // max_rows of `width`. margin: rows of zeros that stand before and behind them, for convolutions.
  LinearInput(const Kernels& kernels, Precision precision, std::size_t max_rows, std::size_t width, Arena& arena,
              std::size_t margin = 0) noexcept;

  // Fills the rows from `count` float rows. x is what is normalised or rectified.
  void prepare(const Executor& executor, const float* x, std::size_t stride, std::size_t count, Preparation preparation,
               const Options& options) noexcept;
  void prepare(const Executor& executor, const float* x, std::size_t stride, std::size_t count,
               Preparation preparation = Preparation::plain) noexcept {
    prepare(executor, x, stride, count, preparation, Options());
  }

  // Instead of prepare: where another stage writes `count` rows itself, and what must follow once it has.
  Rows target(std::size_t count) noexcept;
  void ready(const Executor& executor) noexcept;

  std::size_t rows() const noexcept { return rows_; }

 private:
  friend class Linear;
  friend class Conv;

  void clear_margins() noexcept;
  void clear_padding() noexcept;

  const Kernels* kernels_ = nullptr;
  Format format_ = Format::f32;
  std::size_t rows_ = 0, width_ = 0, stride_ = 0, margin_ = 0;
  unsigned char* data_ = nullptr;  // (margin + max_rows + margin, stride)
  float* scale_ = nullptr;         // int8: (margin + max_rows + margin)
  float* offset_ = nullptr;        // int8: the same
  float* staging_ = nullptr;       // int8: (max_rows, width), what `target` gives
};

// What is done with the product of a row: bias, then activation, then the residual is added.
struct LinearCall {
  Activation activation = Activation::none;
  const float* residual = nullptr;
  std::size_t residual_stride = 0;
  const std::int32_t* residual_rows = nullptr;  // row m adds residual[residual_rows[m]]; nullptr: residual[m]
  // Of the residual's rows, from prepare: their LayerNorm with norm_scale, norm_shift is added.
  const float* stats = nullptr;
  Rows out;                         // may be the residual itself where residual_rows is nullptr
  std::size_t part = 0, parts = 1;  // only this part of the outputs, out of so many of about the same size
};

// A weight packed for one instruction set and precision. Immutable: any number of threads may use it at a time.
class Linear {
 public:
  Linear() noexcept = default;

  // Copies what it needs of the weights; of a convolution, the inputs of several taps. Throws std::bad_alloc.
  Linear(const Kernels& kernels, Precision precision, const LinearWeights& weights, const Allocator& allocator,
         const NormWeights& norm = {}, std::size_t taps = 1);
  Linear(const Kernels& kernels, Precision precision, const ResidualWeights& weights, const Allocator& allocator)
      : Linear(kernels, precision, weights.linear, allocator, weights.norm) {}

  // in (rows, inputs) -> call.out (rows, outputs).
  void run(const Executor& executor, const LinearInput& in, const LinearCall& call) const noexcept;

  // Into how many parts `run` is best cut so that each takes a fraction of a millisecond.
  std::size_t parts(const Executor& executor, const LinearInput& in) const noexcept {
    return parts(executor, in.rows());
  }

  std::size_t inputs() const noexcept { return inputs_; }
  std::size_t outputs() const noexcept { return outputs_; }
  std::size_t bytes() const noexcept;  // of memory held

 private:
  friend class Conv;

  std::size_t parts(const Executor& executor, std::size_t rows) const noexcept;

  // The rows of an input that are multiplied: row m and a tap read row first + m row_step + tap tap_step, counted from
  // the margin's first.
  struct Window {
    std::size_t first, row_step, tap_step, rows;
  };
  void run(const Executor& executor, const LinearInput& in, const Window& window,
           const LinearCall& call) const noexcept;

  // What is done with the tile whose first row and column are these; `from` is that row among the input's.
  Finish finishing(const LinearInput& in, const LinearCall& call, const Taps* taps, std::size_t from, std::size_t row,
                   std::size_t column) const noexcept;

  const Kernels* kernels_ = nullptr;
  Format format_ = Format::f32;
  std::size_t inputs_ = 0, outputs_ = 0, taps_ = 1, groups_ = 0, panel_bytes_ = 0;
  Buffer<unsigned char> panels_;                                 // (panels, taps, groups, panel, group)
  Buffer<float> bias_, scale_, fold_, norm_scale_, norm_shift_;  // padded to whole panels; fold (taps, columns)
};

}  // namespace lf
