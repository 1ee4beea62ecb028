// Convolutions over time, channels last, as products of rows with the taps side by side.
#pragma once

#include <cstddef>

#include "linear.h"

namespace lf {

// out[t] = bias + sum over taps of weight[tap] x[stride t + dilation tap - padding], zeros outside.
// The input needs a margin of at least `padding` rows. With int8, at most kMaxTaps taps.
class Conv {
 public:
  Conv() noexcept = default;
  Conv(const Kernels& kernels, Precision precision, const ConvWeights& weights, std::size_t padding,
       const Allocator& allocator);

  // Rows out for rows in.
  std::size_t output_rows(std::size_t rows) const noexcept;

  // One sample: in (T, inputs) -> call.out (output_rows(T), outputs). Activation and residual as in a linear layer.
  void run(const Executor& executor, const LinearInput& in, const LinearCall& call) const noexcept;

  // As of a linear layer.
  std::size_t parts(const Executor& executor, const LinearInput& in) const noexcept {
    return linear_.parts(executor, output_rows(in.rows()));
  }

  std::size_t margin() const noexcept { return padding_; }
  std::size_t inputs() const noexcept { return linear_.inputs(); }
  std::size_t outputs() const noexcept { return linear_.outputs(); }
  std::size_t bytes() const noexcept { return linear_.bytes(); }

 private:
  friend class UpsampleConv;

  void run(const Executor& executor, const LinearInput& in, std::size_t rows, const LinearCall& call) const noexcept;

  Linear linear_;
  std::size_t stride_ = 1, dilation_ = 1, padding_ = 0;
};

// Nearest upsampling by two and a convolution of three taps, merged into two phases of two taps each:
// out[2t + phase] = bias + weight[phase][0] x[t + phase - 1] + weight[phase][1] x[t + phase]. The input needs a margin
// of a row.
class UpsampleConv {
 public:
  UpsampleConv() noexcept = default;
  UpsampleConv(const Kernels& kernels, Precision precision, const UpsampleWeights& weights, const Allocator& allocator);

  // in (T, inputs) -> call.out (2T, outputs). No residual.
  void run(const Executor& executor, const LinearInput& in, const LinearCall& call) const noexcept;

  // Half of them of either phase.
  std::size_t parts(const Executor& executor, const LinearInput& in) const noexcept {
    return 2 * phases_[0].parts(executor, in);
  }

  std::size_t inputs() const noexcept { return phases_[0].inputs(); }
  std::size_t outputs() const noexcept { return phases_[0].outputs(); }
  std::size_t bytes() const noexcept { return phases_[0].bytes() + phases_[1].bytes(); }

 private:
  Conv phases_[2];
};

}  // namespace lf
