#include "conv_coder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "stored.h"

namespace lf {
namespace {

Conv same_length(const Kernels& kernels, Precision precision, const ConvWeights& weights, const Allocator& allocator) {
  ConvShape shape;
  shape.dilation = weights.dilation;
  shape.padding = weights.dilation * (weights.taps - 1) / 2;
  return Conv(kernels, precision, stored(weights), shape, allocator);
}

Conv halving(const Kernels& kernels, Precision precision, const ConvWeights& weights, const Allocator& allocator) {
  ConvShape shape;
  shape.stride = weights.stride;
  shape.padding = 1;
  return Conv(kernels, precision, stored(weights), shape, allocator);
}

Vector<ConvBlock> make_blocks(const Kernels& kernels, Precision precision, const Vector<ConvBlockWeights>& weights,
                              const Allocator& allocator) {
  Vector<ConvBlock> blocks{StlAllocator<ConvBlock>(allocator)};
  blocks.reserve(weights.size());
  for (const ConvBlockWeights& block : weights) blocks.emplace_back(kernels, precision, block, allocator);
  return blocks;
}

template <class Stages>
std::size_t widest_margin(const Stages& stages) noexcept {
  std::size_t margin = 1;
  for (const auto& stage : stages) {
    for (const ConvBlock& block : stage.blocks) margin = std::max(margin, block.margin());
  }
  return margin;
}

std::size_t bytes_of(const Vector<ConvBlock>& blocks) noexcept {
  std::size_t total = 0;
  for (const ConvBlock& block : blocks) total += block.bytes();
  return total;
}

// As Conv computes: in bf16 where everything else is int8.
Precision conv_precision(Precision precision) noexcept {
  return precision == Precision::int8 ? Precision::bf16 : precision;
}

}  // namespace

ConvBlock::ConvBlock(const Kernels& kernels, Precision precision, const ConvBlockWeights& weights,
                     const Allocator& allocator)
    : conv1_(same_length(kernels, precision, weights.conv1, allocator)),
      conv2_(same_length(kernels, precision, weights.conv2, allocator)) {}

void ConvBlock::run(const Executor& executor, float* x, std::size_t rows, LinearInput& input,
                    LinearInput& hidden) const noexcept {
  const std::size_t width = conv2_.outputs();
  input.prepare(executor, x, width, rows, Preparation::relu);
  LinearCall first;
  first.activation = Activation::relu;
  first.out = hidden.target(rows);
  conv1_.run(executor, input, first);
  hidden.ready(executor);

  LinearCall second;
  second.residual = x;
  second.residual_stride = width;
  second.out = float_rows(x, width);
  conv2_.run(executor, hidden, second);
}

Decoder::Scratch::Scratch(const Decoder& decoder, std::size_t max_tokens, Arena& arena) noexcept {
  const std::size_t rows = kFramesPerToken * max_tokens, margin = widest_margin(decoder.stages_);
  const Kernels& kernels = *decoder.kernels_;
  latents = LinearInput(kernels, decoder.precision_, max_tokens, decoder.code_width_, arena, 1);
  input = LinearInput(kernels, decoder.precision_, rows, decoder.width_, arena, margin);
  hidden = LinearInput(kernels, decoder.precision_, rows, decoder.width_, arena, margin);
  gathered = arena.take<float>(max_tokens * decoder.code_width_);
  x = arena.take<float>(rows * decoder.width_);
  wider = arena.take<float>(rows * decoder.width_);
}

Decoder::Decoder(const Kernels& kernels, Precision precision, const DecoderWeights& weights, const float* codebook,
                 std::size_t codes, const Allocator& allocator)
    : kernels_(&kernels),
      precision_(conv_precision(precision)),
      code_width_(weights.code_width),
      width_(weights.width),
      features_(weights.features),
      codes_(codes),
      codebook_(codebook),
      input_(same_length(kernels, precision_, weights.input, allocator)),
      hidden_(same_length(kernels, precision_, weights.hidden, allocator)),
      output_(same_length(kernels, precision_, weights.output, allocator)),
      stages_(StlAllocator<Stage>(allocator)) {
  stages_.reserve(weights.stages.size());
  for (const DecoderWeights::Stage& stage : weights.stages) {
    stages_.push_back({make_blocks(kernels, precision_, stage.blocks, allocator),
                       UpsampleConv(kernels, precision_, stored(stage.up), allocator)});
  }
}

std::size_t Decoder::bytes() const noexcept {
  std::size_t total = input_.bytes() + hidden_.bytes() + output_.bytes();
  for (const Stage& stage : stages_) total += stage.up.bytes() + bytes_of(stage.blocks);
  return total;
}

void Decoder::begin(Scratch& scratch, const std::int64_t* ids, std::size_t tokens) const noexcept {
  scratch.rows = tokens;
  scratch.stage = 0;
  for (std::size_t n = 0; n < tokens; ++n) {
    const std::size_t code = std::min(static_cast<std::size_t>(ids[n]), codes_ - 1);
    std::memcpy(scratch.gathered + n * code_width_, codebook_ + code * code_width_, code_width_ * sizeof(float));
  }
}

bool Decoder::advance(const Executor& executor, Scratch& scratch, float* features) const noexcept {
  if (scratch.stage == 0) {
    scratch.latents.prepare(executor, scratch.gathered, code_width_, scratch.rows);
    LinearCall call;
    call.activation = Activation::relu;
    call.out = float_rows(scratch.x, width_);
    input_.run(executor, scratch.latents, call);
  }
  if (scratch.stage < stages_.size()) {
    const Stage& stage = stages_[scratch.stage++];
    for (const ConvBlock& block : stage.blocks) {
      block.run(executor, scratch.x, scratch.rows, scratch.input, scratch.hidden);
    }
    scratch.input.prepare(executor, scratch.x, width_, scratch.rows);
    LinearCall call;
    call.out = float_rows(scratch.wider, width_);
    stage.up.run(executor, scratch.input, call);
    std::swap(scratch.x, scratch.wider);
    scratch.rows *= 2;
    return true;
  }
  scratch.input.prepare(executor, scratch.x, width_, scratch.rows);
  LinearCall hidden;
  hidden.activation = Activation::relu;
  hidden.out = scratch.hidden.target(scratch.rows);
  hidden_.run(executor, scratch.input, hidden);
  scratch.hidden.ready(executor);
  LinearCall output;
  output.out = float_rows(features, features_);
  output_.run(executor, scratch.hidden, output);
  return false;
}

Encoder::Scratch::Scratch(const Encoder& encoder, std::size_t max_tokens, Arena& arena) noexcept {
  const std::size_t rows = kFramesPerToken * max_tokens, margin = widest_margin(encoder.stages_);
  const Kernels& kernels = *encoder.kernels_;
  features = LinearInput(kernels, encoder.precision_, rows, encoder.features_, arena, 1);
  input = LinearInput(kernels, encoder.precision_, rows, encoder.width_, arena, margin);
  hidden = LinearInput(kernels, encoder.precision_, rows, encoder.width_, arena, margin);
  x = arena.take<float>(rows * encoder.width_);
}

Encoder::Encoder(const Kernels& kernels, Precision precision, const EncoderWeights& weights,
                 const Allocator& allocator)
    : kernels_(&kernels),
      precision_(conv_precision(precision)),
      features_(weights.features),
      width_(weights.width),
      code_width_(weights.code_width),
      input_(same_length(kernels, precision_, weights.input, allocator)),
      output_(same_length(kernels, precision_, weights.output, allocator)),
      stages_(StlAllocator<Stage>(allocator)) {
  stages_.reserve(weights.stages.size());
  for (const EncoderWeights::Stage& stage : weights.stages) {
    stages_.push_back({halving(kernels, precision_, stage.down, allocator),
                       make_blocks(kernels, precision_, stage.blocks, allocator)});
  }
}

std::size_t Encoder::bytes() const noexcept {
  std::size_t total = input_.bytes() + output_.bytes();
  for (const Stage& stage : stages_) total += stage.down.bytes() + bytes_of(stage.blocks);
  return total;
}

void Encoder::run(const Executor& executor, Scratch& scratch, const float* features, std::size_t frames,
                  float* latents) const noexcept {
  std::size_t rows = frames;
  scratch.features.prepare(executor, features, features_, rows);
  LinearCall call;
  call.activation = Activation::relu;
  call.out = float_rows(scratch.x, width_);
  input_.run(executor, scratch.features, call);

  call.activation = Activation::none;
  for (const Stage& stage : stages_) {
    scratch.input.prepare(executor, scratch.x, width_, rows);
    stage.down.run(executor, scratch.input, call);
    rows = stage.down.output_rows(rows);
    for (const ConvBlock& block : stage.blocks) block.run(executor, scratch.x, rows, scratch.input, scratch.hidden);
  }
  scratch.input.prepare(executor, scratch.x, width_, rows);
  call.out = float_rows(latents, code_width_);
  output_.run(executor, scratch.input, call);
}

}  // namespace lf
