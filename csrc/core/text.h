// LaMP's language-motion model: word pieces to hidden states, and the queries that read a text or a motion.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model_file.h"
#include "transformer.h"

namespace lf {

// x (width) at length 1; one of zeros stays.
void to_unit(float* x, std::size_t width) noexcept;

// Words alone.
class TextEncoder {
 public:
  struct Scratch {
    Scratch() noexcept = default;
    Scratch(const TextEncoder& encoder, Arena& arena) noexcept;

    ResidualStream stream;
    float* position = nullptr;   // (D)
    float* embedding = nullptr;  // (E)
    void* attention = nullptr;
    std::size_t rows = 0, layer = 0;
    Steps steps;  // of the layer
  };

  TextEncoder() noexcept = default;
  TextEncoder(const Kernels& kernels, Precision precision, const TextWeights& weights, const Allocator& allocator);

  // ids (count): word pieces, 1 .. max_tokens of them.
  void begin(Scratch& scratch, const std::int32_t* ids, std::size_t count) const noexcept;

  // A part of a layer; false when all have run.
  bool advance(const Executor& executor, Scratch& scratch) const noexcept;

  // Then, in steps: what the queries read, (count, memory_width). False when it is done.
  bool memory(const Executor& executor, Scratch& scratch, const Rows& out) const noexcept;

  // Or the unit vector of the text, (embedding_width).
  void embedding(const Executor& executor, Scratch& scratch, float* out) const noexcept;

  std::size_t bytes() const noexcept;

 private:
  const Kernels* kernels_ = nullptr;
  Precision precision_ = Precision::f32;
  std::size_t width_ = 0, heads_ = 0, feedforward_ = 0, max_tokens_ = 0;
  float epsilon_ = 0;
  WeightMatrix words_, positions_;
  Vector<TransformerLayer> layers_;
  Linear memory_, embedding_;
};

// The queries, which read the keys and values of a memory.
class Queries {
 public:
  struct Scratch {
    Scratch() noexcept = default;
    Scratch(const Queries& queries, std::size_t max_memory, Arena& arena) noexcept;

    ResidualStream stream;
    Rows memory;  // (max_memory, 2XD): keys, then values, of each cross-attention in turn
    Rows asking;  // (Q, D)
    void* attention = nullptr;
    std::size_t memory_rows = 0, layer = 0, cross_attention = 0;
    Steps steps;  // of the layer
  };

  Queries() noexcept = default;
  Queries(const Kernels& kernels, Precision precision, const QueryWeights& weights, const Allocator& allocator);

  // The first `rows` of scratch.memory have been written.
  void begin(Scratch& scratch, std::size_t rows) const noexcept;

  // A part of a layer; false when all have run. Then scratch.stream.x (Q, D) is what the last LayerNorm reads.
  bool advance(const Executor& executor, Scratch& scratch) const noexcept;

  // The mean of the queries behind their LayerNorm, (D): the generator's condition.
  void mean(const Executor& executor, Scratch& scratch, float* out) const noexcept;

  std::size_t count() const noexcept { return count_; }
  std::size_t bytes() const noexcept;

 private:
  struct Layer {
    bool attends_to_itself = false, reads_memory = false;
    SelfAttention attention;
    Linear cross_query, cross_output;
    FeedForward feed_forward;
  };

  void read(const Executor& executor, Scratch& scratch, const Layer& layer) const noexcept;

  const Kernels* kernels_ = nullptr;
  Precision precision_ = Precision::f32;
  std::size_t count_ = 0, width_ = 0, heads_ = 0, feedforward_ = 0, cross_attentions_ = 0;
  float epsilon_ = 0;
  const float* start_ = nullptr;
  NormWeights norm_;
  Vector<Layer> layers_;
};

}  // namespace lf
