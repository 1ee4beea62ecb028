// The masked transformer that fills in motion tokens, as the engine runs it: the first layer's inputs and its queries,
// keys and values are table rows, and the last layer and the head run for masked tokens only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "decode_step.h"
#include "model_file.h"
#include "transformer.h"

namespace lf {

// One motion to be drawn.
struct DecodingOptions {
  std::size_t steps = 10;
  float guidance_scale = 4.0f;  // 1: without the unconditional branch
  float temperature = 1.0f;
  std::size_t top_k = 0;  // 0: a tenth of the codes, rounded up
  std::uint64_t seed = 0;
  std::uint32_t sample = 0;  // tells apart motions of one seed

  bool guided() const noexcept { return guidance_scale != 1.0f; }
};

class Generator {
 public:
  // What one motion's decoding needs, and where it stands. Rows: the condition, then the tokens, of each branch.
  struct Scratch {
    Scratch() noexcept = default;
    Scratch(const Generator& generator, Arena& arena) noexcept;

    ResidualStream stream;
    LinearInput condition;
    float* embedded = nullptr;  // (rows, D): what enters the first layer
    Rows embedded_qkv;          // (rows, 3D)
    float* row = nullptr;       // (2, 4D)
    float* gathered = nullptr;  // (rows, D): the last layer's stream, of masked tokens
    Rows queries;               // (rows, D): the last layer's, of masked tokens
    float* dense = nullptr;     // (rows, D)
    LinearInput dense_input;
    float* logits = nullptr;              // (2, masked, K)
    float* confidence = nullptr;          // (N)
    std::int64_t* shown = nullptr;        // (N): the ids that `embedded` holds
    std::int32_t* masked = nullptr;       // (N): positions of masked tokens, rising
    std::int32_t* masked_rows = nullptr;  // (2N): their rows
    std::int32_t* asking = nullptr;       // (2N): their places among the keys
    void* attention = nullptr;

    DecodingOptions options;
    std::size_t tokens = 0, wanted = 0, step = 0, layer = 0, branches = 0, count = 0;
    Steps steps;  // of the layer
    bool all_masked = false;

    // Whether nothing has been computed yet of the step of decoding that comes next.
    bool is_between_steps() const noexcept { return layer == 0 && steps.at_start(); }
  };

  // Logits of the unconditional branch of motions that are masked altogether: they depend on the length alone. Those of
  // a few lengths are kept, each in the place of one that was needed before.
  struct FirstStep {
    static constexpr std::size_t kPlaces = 8;

    FirstStep() noexcept = default;
    FirstStep(const Generator& generator, Arena& arena) noexcept;

    float* of(const Generator& generator, std::size_t tokens) const noexcept {
      return logits + tokens % kPlaces * generator.max_tokens_ * generator.codes_;
    }
    std::size_t& length_kept(std::size_t tokens) noexcept { return lengths[tokens % kPlaces]; }

    float* logits = nullptr;            // (places, max_tokens, K)
    std::size_t lengths[kPlaces] = {};  // 0: none is kept
  };

  Generator() noexcept = default;
  Generator(const Kernels& kernels, Precision precision, const GeneratorWeights& weights, const Allocator& allocator);

  // ids (tokens): the mask id where a code is wanted, else codes. condition (condition_width).
  void begin(const Executor& executor, Scratch& scratch, const DecodingOptions& options, const float* condition,
             const std::int64_t* ids, std::size_t tokens) const noexcept;

  // A part of a layer, of the head or of the drawing of codes; false when every id is a code.
  bool advance(const Executor& executor, Scratch& scratch, FirstStep& first, std::int64_t* ids) const noexcept;

  // Logits of one pass, for comparisons: scratch.logits (branches, masked, K) of scratch.masked, both branches if
  // guided.
  void score(const Executor& executor, Scratch& scratch, bool guided, const float* condition, const std::int64_t* ids,
             std::size_t tokens) const noexcept;

  std::size_t bytes() const noexcept;

 private:
  void begin_step(Scratch& scratch, FirstStep* first, const std::int64_t* ids) const noexcept;
  void embed(Scratch& scratch, std::size_t row, const float* values) const noexcept;
  void add_row(Scratch& scratch, std::int64_t id, std::size_t position) const noexcept;
  bool run_layer(const Executor& executor, Scratch& scratch) const noexcept;
  bool run_head(const Executor& executor, Scratch& scratch) const noexcept;
  void draw(const Executor& executor, Scratch& scratch, FirstStep& first, std::int64_t* ids) const noexcept;

  const Kernels* kernels_ = nullptr;
  Precision precision_ = Precision::f32;
  std::size_t width_ = 0, feedforward_ = 0, heads_ = 0, max_tokens_ = 0, codes_ = 0, condition_width_ = 0;
  AttentionMode mode_ = AttentionMode::full;
  float epsilon_ = 0, head_epsilon_ = 0;
  WeightMatrix table_, positions_;
  const float* no_condition_ = nullptr;
  Linear condition_;
  Vector<TransformerLayer> layers_;
  Linear dense_, logits_;
};

}  // namespace lf
