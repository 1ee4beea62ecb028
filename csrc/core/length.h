// How long a motion should be, from its condition.
#pragma once

#include <cstddef>
#include <cstdint>

#include "linear.h"
#include "memory.h"
#include "model_file.h"

namespace lf {

class LengthPredictor {
 public:
  struct Scratch {
    Scratch() noexcept = default;
    Scratch(const LengthPredictor& predictor, Arena& arena) noexcept;

    LinearInput condition, hidden;
    float* row = nullptr;     // (H)
    float* logits = nullptr;  // (max_tokens)
  };

  LengthPredictor() noexcept = default;
  LengthPredictor(const Kernels& kernels, const LengthWeights& weights, const Allocator& allocator);

  // condition (condition_width) -> the most likely length in tokens.
  std::size_t predict(const Executor& executor, Scratch& scratch, const float* condition) const noexcept;

  std::size_t bytes() const noexcept { return first_.bytes() + second_.bytes() + logits_.bytes(); }

 private:
  void score(const Executor& executor, Scratch& scratch, const float* condition) const noexcept;
  void normalise(float* x, const NormWeights& norm) const noexcept;

  const Kernels* kernels_ = nullptr;
  std::size_t condition_width_ = 0, hidden_ = 0, max_tokens_ = 0;
  float epsilon_ = 0;
  NormWeights first_norm_, second_norm_;
  Linear first_, second_, logits_;
};

}  // namespace lf
