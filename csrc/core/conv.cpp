#include "conv.h"

namespace lf {

Conv::Conv(const Kernels& kernels, Precision precision, const ConvWeights& weights, std::size_t padding,
           const Allocator& allocator)
    : linear_(kernels, precision, weights.linear, allocator, {}, weights.taps),
      stride_(weights.stride),
      dilation_(weights.dilation),
      padding_(padding) {}

std::size_t Conv::output_rows(std::size_t rows) const noexcept {
  const std::size_t reach = dilation_ * (linear_.taps_ - 1) + 1, covered = rows + 2 * padding_;
  return covered < reach ? 0 : (covered - reach) / stride_ + 1;
}

void Conv::run(const Executor& executor, const LinearInput& in, const LinearCall& call) const noexcept {
  run(executor, in, output_rows(in.rows_), call);
}

void Conv::run(const Executor& executor, const LinearInput& in, std::size_t rows,
               const LinearCall& call) const noexcept {
  linear_.run(executor, in, {in.margin_ - padding_, stride_, dilation_, rows}, call);
}

// An even row sees x[t - 1] and x[t], an odd one x[t] and x[t + 1].
UpsampleConv::UpsampleConv(const Kernels& kernels, Precision precision, const UpsampleWeights& weights,
                           const Allocator& allocator) {
  const LinearWeights* const phases[] = {&weights.even, &weights.odd};
  for (std::size_t phase = 0; phase < 2; ++phase) {
    const ConvWeights conv = {*phases[phase], phases[phase]->matrix.columns / 2, 2, 1, 1};
    phases_[phase] = Conv(kernels, precision, conv, 1 - phase, allocator);
  }
}

void UpsampleConv::run(const Executor& executor, const LinearInput& in, const LinearCall& call) const noexcept {
  const std::size_t of_a_phase = call.parts / 2;
  for (std::size_t phase = 0; phase < 2; ++phase) {
    LinearCall part = call;
    if (of_a_phase > 0) {
      if (call.part / of_a_phase != phase) continue;
      part.part = call.part % of_a_phase;
      part.parts = of_a_phase;
    }
    part.out = call.out.from_row(phase);
    part.out.stride = 2 * call.out.stride;
    phases_[phase].run(executor, in, in.rows(), part);
  }
}

}  // namespace lf
