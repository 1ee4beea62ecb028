#include "text.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace lf {

void to_unit(float* x, std::size_t width) noexcept {
  double sum = 0;
  for (std::size_t i = 0; i < width; ++i) sum += static_cast<double>(x[i]) * x[i];
  const float length = std::max(static_cast<float>(std::sqrt(sum)), 1e-12f);
  for (std::size_t i = 0; i < width; ++i) x[i] /= length;
}

TextEncoder::Scratch::Scratch(const TextEncoder& encoder, Arena& arena) noexcept
    : stream(*encoder.kernels_, encoder.precision_, encoder.max_tokens_, encoder.width_, encoder.heads_,
             encoder.feedforward_, encoder.epsilon_, arena),
      position(arena.take<float>(encoder.width_)),
      embedding(arena.take<float>(encoder.embedding_.outputs())),
      attention(arena.take<unsigned char>(attention_scratch(*encoder.kernels_, 1, encoder.max_tokens_, encoder.heads_,
                                                            encoder.width_ / encoder.heads_))) {}

TextEncoder::TextEncoder(const Kernels& kernels, Precision precision, const TextWeights& weights,
                         const Allocator& allocator)
    : kernels_(&kernels),
      precision_(precision),
      width_(weights.width),
      heads_(weights.heads),
      feedforward_(weights.feedforward),
      max_tokens_(weights.max_tokens),
      epsilon_(weights.eps),
      words_(weights.words),
      positions_(weights.positions),
      layers_(transformer_layers(kernels, precision, weights.layers, heads_, allocator)),
      memory_(kernels, precision, weights.memory, allocator) {
  if (weights.embedding.matrix.rows > 0) {
    embedding_ = Linear(kernels, precision, weights.embedding, allocator);
  }
}

std::size_t TextEncoder::bytes() const noexcept { return bytes_of(layers_) + memory_.bytes() + embedding_.bytes(); }

void TextEncoder::begin(Scratch& scratch, const std::int32_t* ids, std::size_t count) const noexcept {
  scratch.rows = count;
  scratch.layer = 0;
  scratch.steps.restart();
  for (std::size_t row = 0; row < count; ++row) {
    float* x = scratch.stream.x + row * width_;
    widened_row(words_, static_cast<std::size_t>(ids[row]), x);
    widened_row(positions_, row, scratch.position);
    for (std::size_t i = 0; i < width_; ++i) x[i] += scratch.position[i];
  }
}

bool TextEncoder::advance(const Executor& executor, Scratch& scratch) const noexcept {
  if (scratch.layer == layers_.size()) return false;
  const TransformerLayer& layer = layers_[scratch.layer];
  scratch.steps.begin();
  layer.attention.run(executor, scratch.stream, 1, scratch.rows, AttentionMode::full, scratch.attention, scratch.steps);
  layer.feed_forward.run(executor, scratch.stream, scratch.stream.x, scratch.rows, scratch.steps);
  if (!scratch.steps.more()) ++scratch.layer;
  return scratch.layer < layers_.size();
}

bool TextEncoder::memory(const Executor& executor, Scratch& scratch, const Rows& out) const noexcept {
  scratch.steps.begin();
  if (scratch.steps.starts()) scratch.stream.normalise(executor, scratch.stream.x, scratch.rows);
  LinearCall call;
  call.out = out;
  scratch.steps.run(executor, memory_, scratch.stream.input, call);
  return scratch.steps.more();
}

void TextEncoder::embedding(const Executor& executor, Scratch& scratch, float* out) const noexcept {
  scratch.stream.normalise(executor, scratch.stream.x, 1);
  LinearCall call;
  call.out = float_rows(scratch.embedding, embedding_.outputs());
  embedding_.run(executor, scratch.stream.input, call);
  to_unit(scratch.embedding, embedding_.outputs());
  std::memcpy(out, scratch.embedding, embedding_.outputs() * sizeof(float));
}

Queries::Scratch::Scratch(const Queries& queries, std::size_t max_memory, Arena& arena) noexcept
    : stream(*queries.kernels_, queries.precision_, queries.count_, queries.width_, queries.heads_,
             queries.feedforward_, queries.epsilon_, arena) {
  const Format format = stream.qkv.format;
  const std::size_t memory_width = 2 * queries.cross_attentions_ * queries.width_;
  memory = {arena.take<unsigned char>(max_memory * memory_width * format_size(format)), memory_width, format};
  asking = {arena.take<unsigned char>(queries.count_ * queries.width_ * format_size(format)), queries.width_, format};
  attention = arena.take<unsigned char>(attention_scratch(*queries.kernels_, 1, std::max(max_memory, queries.count_),
                                                          queries.heads_, queries.width_ / queries.heads_));
}

Queries::Queries(const Kernels& kernels, Precision precision, const QueryWeights& weights, const Allocator& allocator)
    : kernels_(&kernels),
      precision_(precision),
      count_(weights.count),
      width_(weights.width),
      heads_(weights.heads),
      feedforward_(weights.feedforward),
      cross_attentions_(weights.cross_attentions),
      epsilon_(weights.eps),
      start_(weights.start),
      norm_(weights.norm),
      layers_(StlAllocator<Layer>(allocator)) {
  layers_.reserve(weights.layers.size());
  for (const QueryWeights::Layer& stored_layer : weights.layers) {
    Layer layer;
    layer.attends_to_itself = stored_layer.qkv.matrix.rows > 0;
    layer.reads_memory = stored_layer.has_cross_attention;
    if (layer.attends_to_itself) {
      layer.attention = SelfAttention(kernels, precision, stored_layer, heads_, allocator);
    }
    if (layer.reads_memory) {
      layer.cross_query = Linear(kernels, precision, stored_layer.cross_query, allocator);
      layer.cross_output = Linear(kernels, precision, stored_layer.cross_output, allocator);
    }
    layer.feed_forward = FeedForward(kernels, precision, stored_layer.feed_forward, allocator);
    layers_.push_back(std::move(layer));
  }
}

std::size_t Queries::bytes() const noexcept {
  std::size_t total = 0;
  for (const Layer& layer : layers_) {
    total +=
        layer.attention.bytes() + layer.feed_forward.bytes() + layer.cross_query.bytes() + layer.cross_output.bytes();
  }
  return total;
}

void Queries::begin(Scratch& scratch, std::size_t rows) const noexcept {
  scratch.memory_rows = rows;
  scratch.layer = 0;
  scratch.steps.restart();
  scratch.cross_attention = 0;
  std::memcpy(scratch.stream.x, start_, count_ * width_ * sizeof(float));
}

bool Queries::advance(const Executor& executor, Scratch& scratch) const noexcept {
  if (scratch.layer == layers_.size()) return false;
  const Layer& layer = layers_[scratch.layer];
  ResidualStream& stream = scratch.stream;
  scratch.steps.begin();
  if (layer.attends_to_itself) {
    layer.attention.run(executor, stream, 1, count_, AttentionMode::full, scratch.attention, scratch.steps);
  }
  if (layer.reads_memory) read(executor, scratch, layer);
  layer.feed_forward.run(executor, stream, stream.x, count_, scratch.steps);
  if (!scratch.steps.more()) {
    ++scratch.layer;
    scratch.cross_attention += layer.reads_memory;
  }
  return scratch.layer < layers_.size();
}

void Queries::read(const Executor& executor, Scratch& scratch, const Layer& layer) const noexcept {
  ResidualStream& stream = scratch.stream;
  Steps& steps = scratch.steps;
  if (steps.starts()) stream.normalise(executor, stream.x, count_);
  LinearCall ask;
  ask.out = scratch.asking;
  steps.run(executor, layer.cross_query, stream.input, ask);

  const std::size_t first = 2 * width_ * scratch.cross_attention;
  AttentionCall call;
  call.queries = count_;
  call.keys = scratch.memory_rows;
  call.heads = heads_;
  call.head_width = width_ / heads_;
  call.q = scratch.asking;
  call.k = scratch.memory.from_column(first);
  call.v = scratch.memory.from_column(first + width_);
  call.out = stream.attended.target(count_);
  if (steps.due()) {
    attention(*kernels_, executor, call, scratch.attention);
    stream.attended.ready(executor);
  }

  LinearCall add;
  add.residual = stream.x;
  add.residual_stride = width_;
  add.stats = stream.stats;
  add.out = float_rows(stream.x, width_);
  steps.run(executor, layer.cross_output, stream.attended, add);
}

void Queries::mean(const Executor& executor, Scratch& scratch, float* out) const noexcept {
  ResidualStream& stream = scratch.stream;
  stream.normalise(executor, stream.x, count_);
  for (std::size_t i = 0; i < width_; ++i) {
    float sum = 0;
    for (std::size_t query = 0; query < count_; ++query) {
      const float* stats = stream.stats + 2 * query;
      sum += (stream.x[query * width_ + i] - stats[0]) * stats[1];
    }
    out[i] = sum / static_cast<float>(count_) * norm_.scale[i] + norm_.shift[i];
  }
}

}  // namespace lf
