// Layers of a post-norm transformer, in steps: each is called until all of its steps are done. Its stream carries sums
// before their LayerNorm: who reads one normalises it, and hands mean and deviation on to the next residual, which adds
// the LayerNorm of the stream.
#pragma once

#include <cstddef>
#include <cstdint>

#include "attention.h"
#include "linear.h"
#include "memory.h"
#include "model_file.h"
#include "steps.h"

namespace lf {

// Scratch of a stack of layers, for at most so many rows of all samples together.
struct ResidualStream {
  ResidualStream() noexcept = default;
  ResidualStream(const Kernels& kernels, Precision precision, std::size_t max_rows, std::size_t width,
                 std::size_t heads, std::size_t feedforward, float epsilon, Arena& arena) noexcept;

  // `input` becomes the LayerNorm of x, `stats` its means and deviations.
  void normalise(const Executor& executor, const float* x, std::size_t rows) noexcept;

  std::size_t width = 0;
  float epsilon = 0;
  float* x = nullptr;      // (max_rows, width)
  float* stats = nullptr;  // (max_rows, 2)
  LinearInput input, attended, hidden;
  Rows qkv;  // (max_rows, 3 width): queries, keys, values
};

// Where self-attention finds its rows, and which of them ask.
struct SelfAttentionCall {
  std::size_t batch = 1, rows = 0;  // of each sample
  AttentionMode mode = AttentionMode::full;
  Rows qkv;                                 // (batch * rows, 3 width)
  Rows queries;                             // data nullptr: those of qkv; else (batch * asking, width)
  std::size_t asking = 0;                   // with queries
  const std::int32_t* positions = nullptr;  // (batch * asking), with queries
};

struct SelfAttention {
  SelfAttention() noexcept = default;
  // qkv may be empty: then another stage writes queries, keys and values.
  SelfAttention(const Kernels& kernels, Precision precision, const LayerWeights& weights, std::size_t heads,
                const Allocator& allocator);

  // stream.attended = attention of the call's rows. One step.
  void attend(const Executor& executor, ResidualStream& stream, const SelfAttentionCall& call, void* scratch,
              Steps& steps) const noexcept;

  // One sample after the other: stream.x becomes its LayerNorm + attention, for the `rows` of each of the `batch`.
  void run(const Executor& executor, ResidualStream& stream, std::size_t batch, std::size_t rows, AttentionMode mode,
           void* scratch, Steps& steps) const noexcept;

  std::size_t bytes() const noexcept { return qkv.bytes() + output.bytes(); }

  const Kernels* kernels = nullptr;
  std::size_t heads = 0;
  Linear qkv, output;
};

struct FeedForward {
  FeedForward() noexcept = default;
  FeedForward(const Kernels& kernels, Precision precision, const FeedForwardWeights& weights,
              const Allocator& allocator);

  // x (rows, width) becomes its LayerNorm + feed-forward of it.
  void run(const Executor& executor, ResidualStream& stream, float* x, std::size_t rows, Steps& steps) const noexcept;

  std::size_t bytes() const noexcept { return expand.bytes() + contract.bytes(); }

  Linear expand, contract;
};

struct TransformerLayer {
  SelfAttention attention;
  FeedForward feed_forward;
};

Vector<TransformerLayer> transformer_layers(const Kernels& kernels, Precision precision,
                                            const Vector<LayerWeights>& weights, std::size_t heads,
                                            const Allocator& allocator);
std::size_t bytes_of(const Vector<TransformerLayer>& layers) noexcept;

}  // namespace lf
