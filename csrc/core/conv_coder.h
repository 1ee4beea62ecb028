// The convolutions of the motion tokenizer, channels last: codes to features, and features to latents.
#pragma once

#include <cstddef>
#include <cstdint>

#include "conv.h"
#include "memory.h"
#include "model_file.h"
#include "skeleton.h"
#include "steps.h"

namespace lf {

// x + conv2 relu(conv1 relu(x)).
class ConvBlock {
 public:
  ConvBlock(const Kernels& kernels, Precision precision, const ConvBlockWeights& weights, const Allocator& allocator);

  // x (rows, width) in place, in steps; input and hidden are scratch.
  void run(const Executor& executor, float* x, std::size_t rows, LinearInput& input, LinearInput& hidden,
           Steps& steps) const noexcept;

  std::size_t margin() const noexcept { return conv1_.margin(); }
  std::size_t bytes() const noexcept { return conv1_.bytes() + conv2_.bytes(); }

 private:
  Conv conv1_, conv2_;
};

// Codes to normalised features.
class Decoder {
 public:
  struct Scratch {
    Scratch() noexcept = default;
    Scratch(const Decoder& decoder, std::size_t max_tokens, Arena& arena) noexcept;

    LinearInput latents, input, hidden;
    float* gathered = nullptr;  // (N, C)
    float* x = nullptr;         // (4N, W)
    float* wider = nullptr;     // (4N, W)
    std::size_t rows = 0, stage = 0;
    Steps steps;  // of the stage
  };

  Decoder() noexcept = default;
  // codebook (codes, code_width) stays where it is.
  Decoder(const Kernels& kernels, Precision precision, const DecoderWeights& weights, const float* codebook,
          std::size_t codes, const Allocator& allocator);

  // ids (tokens); what is no code, such as padding, is decoded as the last one.
  void begin(Scratch& scratch, const std::int64_t* ids, std::size_t tokens) const noexcept;

  // A part of a stage; false when the last has written features (4 tokens, features), normalised.
  bool advance(const Executor& executor, Scratch& scratch, float* features) const noexcept;

  std::size_t bytes() const noexcept;

 private:
  struct Stage {
    Vector<ConvBlock> blocks;
    UpsampleConv up;
  };

  const Kernels* kernels_ = nullptr;
  Precision precision_ = Precision::f32;
  std::size_t code_width_ = 0, width_ = 0, features_ = 0, codes_ = 0;
  const float* codebook_ = nullptr;
  Conv input_, hidden_, output_;
  Vector<Stage> stages_;
};

// Normalised features to latents. In bf16 with int8: what it gives is looked up in a codebook.
class Encoder {
 public:
  struct Scratch {
    Scratch() noexcept = default;
    Scratch(const Encoder& encoder, std::size_t max_tokens, Arena& arena) noexcept;

    LinearInput features, input, hidden;
    float* x = nullptr;  // (4N, W)
    std::size_t rows = 0, stage = 0;
    Steps steps;  // of the stage
  };

  Encoder() noexcept = default;
  Encoder(const Kernels& kernels, Precision precision, const EncoderWeights& weights, const Allocator& allocator);

  // features (frames, features), normalised, frames a multiple of 4.
  void begin(const Executor& executor, Scratch& scratch, const float* features, std::size_t frames) const noexcept;

  // A part of a stage; false when the last has written latents (frames / 4, code_width).
  bool advance(const Executor& executor, Scratch& scratch, float* latents) const noexcept;

  std::size_t code_width() const noexcept { return code_width_; }
  std::size_t bytes() const noexcept;

 private:
  struct Stage {
    Conv down;
    Vector<ConvBlock> blocks;
  };

  const Kernels* kernels_ = nullptr;
  Precision precision_ = Precision::f32;
  std::size_t features_ = 0, width_ = 0, code_width_ = 0;
  Conv input_, output_;
  Vector<Stage> stages_;
};

}  // namespace lf
