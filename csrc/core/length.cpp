#include "length.h"

#include <algorithm>
#include <cmath>

namespace lf {

LengthPredictor::Scratch::Scratch(const LengthPredictor& predictor, Arena& arena) noexcept
    : condition(*predictor.kernels_, Precision::f32, 1, predictor.condition_width_, arena),
      hidden(*predictor.kernels_, Precision::f32, 1, predictor.hidden_, arena),
      row(arena.take<float>(predictor.hidden_)),
      logits(arena.take<float>(predictor.max_tokens_)) {}

LengthPredictor::LengthPredictor(const Kernels& kernels, const LengthWeights& weights, const Allocator& allocator)
    : kernels_(&kernels),
      condition_width_(weights.condition_width),
      hidden_(weights.hidden),
      max_tokens_(weights.max_tokens),
      epsilon_(weights.eps),
      first_norm_(weights.first_norm),
      second_norm_(weights.second_norm),
      first_(kernels, Precision::f32, weights.first, allocator),
      second_(kernels, Precision::f32, weights.second, allocator),
      logits_(kernels, Precision::f32, weights.logits, allocator) {}

std::size_t LengthPredictor::predict(const Executor& executor, Scratch& scratch,
                                     const float* condition) const noexcept {
  score(executor, scratch, condition);
  return static_cast<std::size_t>(std::max_element(scratch.logits, scratch.logits + max_tokens_) - scratch.logits) + 1;
}

void LengthPredictor::score(const Executor& executor, Scratch& scratch, const float* condition) const noexcept {
  LinearCall hidden, logits;
  hidden.out = float_rows(scratch.row, hidden_);
  logits.out = float_rows(scratch.logits, max_tokens_);
  scratch.condition.prepare(executor, condition, condition_width_, 1);
  first_.run(executor, scratch.condition, hidden);
  normalise(scratch.row, first_norm_);
  scratch.hidden.prepare(executor, scratch.row, hidden_, 1);
  second_.run(executor, scratch.hidden, hidden);
  normalise(scratch.row, second_norm_);
  scratch.hidden.prepare(executor, scratch.row, hidden_, 1);
  logits_.run(executor, scratch.hidden, logits);
}

// LayerNorm and GELU.
void LengthPredictor::normalise(float* x, const NormWeights& norm) const noexcept {
  double mean = 0, square = 0;
  for (std::size_t i = 0; i < hidden_; ++i) mean += x[i];
  mean /= static_cast<double>(hidden_);
  for (std::size_t i = 0; i < hidden_; ++i) square += (x[i] - mean) * (x[i] - mean);
  const double deviation = 1.0 / std::sqrt(square / static_cast<double>(hidden_) + epsilon_);
  for (std::size_t i = 0; i < hidden_; ++i) {
    x[i] = static_cast<float>((x[i] - mean) * deviation) * norm.scale[i] + norm.shift[i];
  }
  kernels_->gelu(x, hidden_, x);
}

}  // namespace lf
