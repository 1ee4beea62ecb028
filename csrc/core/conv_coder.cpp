#include "conv_coder.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace lf {
namespace {

Conv same_length(const Kernels& kernels, Precision precision, const ConvWeights& weights, const Allocator& allocator) {
  return Conv(kernels, precision, weights, weights.dilation * (weights.taps - 1) / 2, allocator);
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

}  // namespace

ConvBlock::ConvBlock(const Kernels& kernels, Precision precision, const ConvBlockWeights& weights,
                     const Allocator& allocator)
    : conv1_(same_length(kernels, precision, weights.conv1, allocator)),
      conv2_(same_length(kernels, precision, weights.conv2, allocator)) {}

void ConvBlock::run(const Executor& executor, float* x, std::size_t rows, LinearInput& input, LinearInput& hidden,
                    Steps& steps) const noexcept {
  const std::size_t width = conv2_.outputs();
  if (steps.starts()) input.prepare(executor, x, width, rows, Preparation::relu);
  LinearCall first;
  first.activation = Activation::relu;
  first.out = hidden.target(rows);
  steps.run(executor, conv1_, input, first);
  if (steps.starts()) hidden.ready(executor);

  LinearCall second;
  second.residual = x;
  second.residual_stride = width;
  second.out = float_rows(x, width);
  steps.run(executor, conv2_, hidden, second);
}

Decoder::Scratch::Scratch(const Decoder& decoder, std::size_t max_tokens, Arena& arena) noexcept {
  const std::size_t max_rows = kFramesPerToken * max_tokens, margin = widest_margin(decoder.stages_);
  const Kernels& kernels = *decoder.kernels_;
  latents = LinearInput(kernels, decoder.precision_, max_tokens, decoder.code_width_, arena, 1);
  input = LinearInput(kernels, decoder.precision_, max_rows, decoder.width_, arena, margin);
  hidden = LinearInput(kernels, decoder.precision_, max_rows, decoder.width_, arena, margin);
  gathered = arena.take<float>(max_tokens * decoder.code_width_);
  x = arena.take<float>(max_rows * decoder.width_);
  wider = arena.take<float>(max_rows * decoder.width_);
}

Decoder::Decoder(const Kernels& kernels, Precision precision, const DecoderWeights& weights, const float* codebook,
                 std::size_t codes, const Allocator& allocator)
    : kernels_(&kernels),
      precision_(precision),
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
                       UpsampleConv(kernels, precision_, stage.up, allocator)});
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
  scratch.steps.restart();
  for (std::size_t n = 0; n < tokens; ++n) {
    const std::size_t code = std::min(static_cast<std::size_t>(ids[n]), codes_ - 1);
    std::memcpy(scratch.gathered + n * code_width_, codebook_ + code * code_width_, code_width_ * sizeof(float));
  }
}

bool Decoder::advance(const Executor& executor, Scratch& scratch, float* features) const noexcept {
  Steps& steps = scratch.steps;
  steps.begin();
  if (scratch.stage == 0) {
    if (steps.starts()) scratch.latents.prepare(executor, scratch.gathered, code_width_, scratch.rows);
    LinearCall call;
    call.activation = Activation::relu;
    call.out = float_rows(scratch.x, width_);
    steps.run(executor, input_, scratch.latents, call);
  }
  if (scratch.stage < stages_.size()) {
    const Stage& stage = stages_[scratch.stage];
    for (const ConvBlock& block : stage.blocks) {
      block.run(executor, scratch.x, scratch.rows, scratch.input, scratch.hidden, steps);
    }
    if (steps.starts()) scratch.input.prepare(executor, scratch.x, width_, scratch.rows);
    LinearCall call;
    call.out = float_rows(scratch.wider, width_);
    steps.run(executor, stage.up, scratch.input, call);
    if (!steps.more()) {
      std::swap(scratch.x, scratch.wider);
      scratch.rows *= 2;
      ++scratch.stage;
    }
    return true;
  }
  if (steps.starts()) scratch.input.prepare(executor, scratch.x, width_, scratch.rows);
  LinearCall hidden;
  hidden.activation = Activation::relu;
  hidden.out = scratch.hidden.target(scratch.rows);
  steps.run(executor, hidden_, scratch.input, hidden);
  if (steps.starts()) scratch.hidden.ready(executor);
  LinearCall output;
  output.out = float_rows(features, features_);
  steps.run(executor, output_, scratch.hidden, output);
  return steps.more();
}

Encoder::Scratch::Scratch(const Encoder& encoder, std::size_t max_tokens, Arena& arena) noexcept {
  const std::size_t max_rows = kFramesPerToken * max_tokens, margin = widest_margin(encoder.stages_);
  const Kernels& kernels = *encoder.kernels_;
  features = LinearInput(kernels, encoder.precision_, max_rows, encoder.features_, arena, 1);
  input = LinearInput(kernels, encoder.precision_, max_rows, encoder.width_, arena, margin);
  hidden = LinearInput(kernels, encoder.precision_, max_rows, encoder.width_, arena, margin);
  x = arena.take<float>(max_rows * encoder.width_);
}

Encoder::Encoder(const Kernels& kernels, Precision precision, const EncoderWeights& weights, const Allocator& allocator)
    : kernels_(&kernels),
      precision_(precision == Precision::int8 ? Precision::bf16 : precision),
      features_(weights.features),
      width_(weights.width),
      code_width_(weights.code_width),
      input_(same_length(kernels, precision_, weights.input, allocator)),
      output_(same_length(kernels, precision_, weights.output, allocator)),
      stages_(StlAllocator<Stage>(allocator)) {
  stages_.reserve(weights.stages.size());
  for (const EncoderWeights::Stage& stage : weights.stages) {
    stages_.push_back({Conv(kernels, precision_, stage.down, 1, allocator),  // halves the rows
                       make_blocks(kernels, precision_, stage.blocks, allocator)});
  }
}

std::size_t Encoder::bytes() const noexcept {
  std::size_t total = input_.bytes() + output_.bytes();
  for (const Stage& stage : stages_) total += stage.down.bytes() + bytes_of(stage.blocks);
  return total;
}

void Encoder::begin(const Executor& executor, Scratch& scratch, const float* features,
                    std::size_t frames) const noexcept {
  scratch.rows = frames;
  scratch.stage = 0;
  scratch.steps.restart();
  scratch.features.prepare(executor, features, features_, frames);
}

bool Encoder::advance(const Executor& executor, Scratch& scratch, float* latents) const noexcept {
  Steps& steps = scratch.steps;
  steps.begin();
  LinearCall call;
  call.out = float_rows(scratch.x, width_);
  if (scratch.stage == 0) {
    LinearCall enter = call;
    enter.activation = Activation::relu;
    steps.run(executor, input_, scratch.features, enter);
  }
  if (scratch.stage < stages_.size()) {
    const Stage& stage = stages_[scratch.stage];
    const std::size_t rows = stage.down.output_rows(scratch.rows);
    if (steps.starts()) scratch.input.prepare(executor, scratch.x, width_, scratch.rows);
    steps.run(executor, stage.down, scratch.input, call);
    for (const ConvBlock& block : stage.blocks) {
      block.run(executor, scratch.x, rows, scratch.input, scratch.hidden, steps);
    }
    if (!steps.more()) {
      scratch.rows = rows;
      ++scratch.stage;
    }
    return true;
  }
  if (steps.starts()) scratch.input.prepare(executor, scratch.x, width_, scratch.rows);
  call.out = float_rows(latents, code_width_);
  steps.run(executor, output_, scratch.input, call);
  return steps.more();
}

}  // namespace lf
