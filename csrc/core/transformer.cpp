#include "transformer.h"

namespace lf {

ResidualStream::ResidualStream(const Kernels& kernels, Precision precision, std::size_t max_rows,
                               std::size_t stream_width, std::size_t heads, std::size_t feedforward,
                               float stream_epsilon, Arena& arena) noexcept
    : width(stream_width),
      epsilon(stream_epsilon),
      x(arena.take<float>(max_rows * stream_width)),
      stats(arena.take<float>(max_rows * 2)),
      input(kernels, precision, max_rows, stream_width, arena),
      attended(kernels, precision, max_rows, stream_width, arena),
      hidden(kernels, precision, max_rows, feedforward, arena) {
  const Format format = attention_format(kernels, precision, width / heads);
  qkv = {arena.take<unsigned char>(max_rows * 3 * width * format_size(format)), 3 * width, format};
}

void ResidualStream::normalise(const Executor& executor, const float* from, std::size_t rows) noexcept {
  LinearInput::Options options;
  options.stats = stats;
  options.epsilon = epsilon;
  input.prepare(executor, from, width, rows, Preparation::normalise, options);
}

SelfAttention::SelfAttention(const Kernels& chosen, Precision precision, const LayerWeights& weights,
                             std::size_t head_count, const Allocator& allocator)
    : kernels(&chosen), heads(head_count), output(chosen, precision, weights.attention_output, allocator) {
  if (weights.qkv.matrix.rows > 0) qkv = Linear(chosen, precision, weights.qkv, allocator);
}

void SelfAttention::attend(const Executor& executor, ResidualStream& stream, const SelfAttentionCall& call,
                           void* scratch, Steps& steps) const noexcept {
  if (!steps.due()) return;
  const std::size_t width = stream.width;
  AttentionCall attended;
  attended.batch = call.batch;
  attended.keys = call.rows;
  attended.queries = call.queries.data != nullptr ? call.asking : call.rows;
  attended.heads = heads;
  attended.head_width = width / heads;
  attended.q = call.queries.data != nullptr ? call.queries : call.qkv;
  attended.k = call.qkv.from_column(width);
  attended.v = call.qkv.from_column(2 * width);
  attended.mode = call.mode;
  attended.positions = call.positions;
  attended.out = stream.attended.target(attended.batch * attended.queries);
  attention(*kernels, executor, attended, scratch);
  stream.attended.ready(executor);
}

void SelfAttention::run(const Executor& executor, ResidualStream& stream, std::size_t batch, std::size_t rows,
                        AttentionMode mode, void* scratch, Steps& steps) const noexcept {
  if (steps.starts()) stream.normalise(executor, stream.x, batch * rows);
  LinearCall project;
  project.out = stream.qkv;
  steps.run(executor, qkv, stream.input, project);

  SelfAttentionCall call;
  call.batch = batch;
  call.rows = rows;
  call.mode = mode;
  call.qkv = stream.qkv;
  attend(executor, stream, call, scratch, steps);

  LinearCall add;
  add.residual = stream.x;
  add.residual_stride = stream.width;
  add.stats = stream.stats;
  add.out = float_rows(stream.x, stream.width);
  steps.run(executor, output, stream.attended, add);
}

FeedForward::FeedForward(const Kernels& kernels, Precision precision, const FeedForwardWeights& weights,
                         const Allocator& allocator)
    : expand(kernels, precision, weights.expand, allocator),
      contract(kernels, precision, weights.contract, allocator) {}

void FeedForward::run(const Executor& executor, ResidualStream& stream, float* x, std::size_t rows,
                      Steps& steps) const noexcept {
  if (steps.starts()) stream.normalise(executor, x, rows);
  LinearCall widen;
  widen.activation = Activation::gelu;
  widen.out = stream.hidden.target(rows);
  steps.run(executor, expand, stream.input, widen);
  if (steps.starts()) stream.hidden.ready(executor);

  LinearCall add;
  add.residual = x;
  add.residual_stride = stream.width;
  add.stats = stream.stats;
  add.out = float_rows(x, stream.width);
  steps.run(executor, contract, stream.hidden, add);
}

Vector<TransformerLayer> transformer_layers(const Kernels& kernels, Precision precision,
                                            const Vector<LayerWeights>& weights, std::size_t heads,
                                            const Allocator& allocator) {
  Vector<TransformerLayer> layers{StlAllocator<TransformerLayer>(allocator)};
  layers.reserve(weights.size());
  for (const LayerWeights& layer : weights) {
    layers.push_back({SelfAttention(kernels, precision, layer, heads, allocator),
                      FeedForward(kernels, precision, layer.feed_forward, allocator)});
  }
  return layers;
}

std::size_t bytes_of(const Vector<TransformerLayer>& layers) noexcept {
  std::size_t total = 0;
  for (const TransformerLayer& layer : layers) total += layer.attention.bytes() + layer.feed_forward.bytes();
  return total;
}

}  // namespace lf
