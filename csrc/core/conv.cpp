#include "conv.h"

namespace lf {

Conv::Conv(const Kernels& kernels, Precision precision, const StoredWeight& weight, const ConvShape& shape,
           const Allocator& allocator)
    : linear_(kernels, precision, weight, allocator), shape_(shape) {}

std::size_t Conv::output_rows(std::size_t rows) const noexcept {
  const std::size_t reach = shape_.dilation * (linear_.taps_ - 1) + 1, covered = rows + 2 * shape_.padding;
  return covered < reach ? 0 : (covered - reach) / shape_.stride + 1;
}

void Conv::run(const Executor& executor, const LinearInput& in, const LinearCall& call) const noexcept {
  run(executor, in, output_rows(in.rows_), call);
}

void Conv::run(const Executor& executor, const LinearInput& in, std::size_t rows,
               const LinearCall& call) const noexcept {
  linear_.run(executor, in, {in.margin_ - shape_.padding, shape_.stride, shape_.dilation, rows}, call);
}

UpsampleConv::UpsampleConv(const Kernels& kernels, Precision precision, const StoredWeight& weight,
                           const Allocator& allocator) {
  const std::size_t size = size_of(weight.type);
  for (std::size_t phase = 0; phase < 2; ++phase) {
    StoredWeight part = weight;
    part.data =
        static_cast<const unsigned char*>(weight.data) + phase * weight.outputs * weight.taps * weight.inputs * size;
    if (weight.scale != nullptr) part.scale = weight.scale + phase * weight.outputs;
    // An even row sees x[t - 1] and x[t], an odd one x[t] and x[t + 1].
    phases_[phase] = Conv(kernels, precision, part, {1, 1, 1 - phase}, allocator);
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
