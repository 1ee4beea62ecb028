// The masked transformer of a model file on a GPU: a whole request, from its condition to its tokens or
// on to its joints, as one graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "attention.h"
#include "decoder.h"
#include "embed.h"
#include "error.h"
#include "linear.h"
#include "model_file.h"
#include "pack.h"
#include "runtime.h"

namespace lf::cuda {

// Weights in the GPU's memory, filled up as the kernels want them. May be used by any number of plans at a time.
class Generator {
 public:
  bool create(const GeneratorWeights& weights, Numbers numbers, Error& error);

  struct Layer {
    int qkv, attention_output, expand, contract;  // of `linears`; the first layer has no qkv
  };

  Numbers numbers = Numbers::bf16;
  int width = 0, heads = 0, head_width = 0, codes = 0, max_tokens = 0, condition_width = 0;
  int stream_stride = 0, attended_stride = 0, qkv_stride = 0, feedforward_stride = 0, row_stride = 0, logits_stride = 0;
  float scale = 1, eps = 0, head_eps = 0;
  Mask mask = Mask::full;
  bool padding_is_exact = true;
  std::size_t table = kNone, positions = kNone;  // rows of row_stride: hidden state, then queries, keys, values
  int condition = 0, dense = 0, logits = 0;      // of `linears`
  std::vector<Packed> linears;
  std::vector<Layer> layers;
  Memory memory;
};

// Where a request's results go; null: nowhere.
struct Results {
  std::int64_t* ids = nullptr;  // (samples, tokens), the pad id beyond a length
  float* features = nullptr;    // (samples, frames, features) in the data set's units, zeros beyond a length
  float* joints = nullptr;      // (samples, frames, joints, 3), the same
};

struct PlanShape {
  int samples = 1, tokens = 1, steps = 10;  // no steps: given tokens are decoded, and there may be any number of them
  bool guided = true;
  bool dependent_launch = false;  // kernels begin before those in front of them end (compute capability 9.0 and up)
};

// One shape of request: memory for what lies between the stages, and the graph of all of them. One launch at a time.
class Plan {
 public:
  // `generator` and `decoder` must outlive the plan; without a decoder it ends with the tokens.
  bool create(const Generator& generator, const Decoder* decoder, const PlanShape& shape, Error& error);

  // Behind what the stream holds. Only pointers and options of the caller's part of `request` are read.
  bool launch(const Begin& request, const Results& results, void* stream, Error& error);

  std::size_t bytes() const { return memory_.bytes() + decoding_.bytes(); }
  int codes() const { return generator_->codes; }

  // The pieces of it, for tests: `begin`, then the steps in turn. Logits are (branches, samples, limit, codes) in rows
  // of generator.logits_stride.
  bool begin(const Begin& request, void* stream, Error& error);
  bool step(int index, void* stream, Error& error);
  const float* logits() const { return memory_.at<float>(logits_); }
  int limit(int index) const { return limits_[index]; }
  const std::int64_t* ids_before(int index) const { return memory_.at<std::int64_t>(ids_[index % 2]); }

 private:
  template <typename Element>
  bool stages(int index, void* stream, Error& error);
  template <typename Element>
  bool linear(Linear linear, int which, void* stream, Error& error) const;

  const Generator* generator_ = nullptr;
  const Decoder* decoder_ = nullptr;
  Decoding decoding_;
  PlanShape shape_;
  int branches_ = 1, processors_ = 1;
  std::vector<int> limits_;
  std::size_t schedule_ = 0, options_ = 0, ids_[2] = {}, token_lengths_ = 0, row_lengths_ = 0, seeds_ = 0,
              counters_ = 0, next_counts_ = 0, rows_ = 0, arrivals_ = 0, confidence_ = 0, stored_condition_ = 0,
              conditions_ = 0, embedded_ = 0, qkv_ = 0, attended_ = 0, hidden_ = 0, streams_[2] = {}, segments_[2] = {},
              dense_ = 0, dense_segments_ = 0, logits_ = 0;
  Memory memory_;
  Graph graph_;
};

}  // namespace lf::cuda
