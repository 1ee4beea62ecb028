// A model ready to run, and what one caller needs to run it.
//
//   Model model;                      // shared by all threads
//   model.open(path, Precision::int8, system_allocator(), error);
//   Workspace workspace;              // one for each caller at a time
//   workspace.create(model, 0, system_allocator(), error);
//   Generation generation;            // generation.h; texts and motions are read by a Reading, reading.h
//   generation.begin(model, workspace, executor, request, error);
//   while (generation.advance()) {}   // as much at a time as the caller likes, or no more: that cancels it
//   generation.features();
#pragma once

#include <cstddef>
#include <cstdint>

#include "conv_coder.h"
#include "error.h"
#include "executor.h"
#include "generator.h"
#include "length.h"
#include "linear.h"
#include "memory.h"
#include "model_file.h"
#include "text.h"
#include "word_pieces.h"

namespace lf {

struct ModelSizes {
  std::size_t max_tokens = 0;       // of a motion that is made or read in one piece; a token stands for 4 frames
  std::size_t max_text_tokens = 0;  // word pieces of a prompt, [CLS] and [SEP] among them
  std::size_t codes = 0;            // ids are 0 .. codes - 1; `codes` asks for one, `codes + 1` is padding
  std::size_t features = 0;         // of a frame
  std::size_t joints = 0;
  std::size_t condition_width = 0;
  std::size_t embedding_width = 0;  // 0 where the model reads no motions
  float frames_per_second = 0;
  bool makes_motions = false, predicts_lengths = false, reads_motions = false, has_motion_encoder = false;
};

class Workspace;

// Immutable: any number of threads may use it at a time, each with a Workspace of its own.
class Model {
 public:
  Model() noexcept = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // Once, with a file of `lamp-fast export native`; weights are packed for `precision` and this machine.
  // path: UTF-8. kernels: of another instruction set than the machine's best, for tests.
  bool open(const char* path, Precision precision, const Allocator& allocator, Error& error,
            const Kernels& kernels = best_kernels()) noexcept;

  // The same of a file in memory, which is not needed afterwards.
  bool read(const void* data, std::size_t bytes, Precision precision, const Allocator& allocator, Error& error,
            const Kernels& kernels = best_kernels()) noexcept;

  const ModelSizes& sizes() const noexcept { return sizes_; }
  Isa isa() const noexcept { return kernels_->isa; }
  std::size_t bytes() const noexcept;  // of packed weights and tables

  // What follows returns false, with a sentence, for input out of range and for a part that the model lacks.

  // condition (condition_width) -> the most likely length, in tokens.
  bool length(Workspace& workspace, const Executor& executor, const float* condition, std::size_t& tokens,
              Error& error) const noexcept;

  // The generator asked once, for comparisons: ids (tokens), the mask id where a code is wanted -> logits (branches,
  // tokens, codes), both branches if guided; those of tokens that are not masked stay as they are.
  bool score(Workspace& workspace, const Executor& executor, const float* condition, const std::int64_t* ids,
             std::size_t tokens, bool guided, float* logits, Error& error) const noexcept;

  // ids (tokens), all codes -> features (4 tokens, features) in the data set's units.
  bool decode(Workspace& workspace, const Executor& executor, const std::int64_t* ids, std::size_t tokens,
              float* features, Error& error) const noexcept;

 private:
  friend class Workspace;
  friend class Reading;
  friend class Generation;

  static constexpr char kMakesNone[] = "this model has no generator: it reads motions and texts but makes none";
  static constexpr char kPredictsNone[] = "this model does not predict lengths: give the number of tokens";

  bool load(ModelFile& file, Precision precision, const Allocator& allocator, Error& error, const Kernels& kernels);
  bool check_known(const std::int64_t* ids, std::size_t tokens, Error& error) const noexcept;
  void to_units(float* features, std::size_t frames) const noexcept;

  Buffer<unsigned char> tables_;  // of the file, what the members look up
  const float *codebook_ = nullptr, *mean_ = nullptr, *deviation_ = nullptr;
  ModelSizes sizes_;
  Precision precision_ = Precision::f32;
  const Kernels* kernels_ = &best_kernels();
  WordPieces words_;
  TextEncoder text_;
  Queries queries_;
  Generator generator_;
  Decoder decoder_;
  Encoder encoder_, motion_encoder_;
  Linear motion_memory_, motion_embedding_;
  LengthPredictor length_;
};

// All the memory that calls of one caller need: nothing is allocated after it is made. Not for two threads at a time.
class Workspace {
 public:
  Workspace() noexcept = default;
  Workspace(Workspace&&) noexcept = default;
  Workspace& operator=(Workspace&&) noexcept = default;

  // max_tokens: that are decoded or encoded in one piece; 0, or fewer than the model's: the model's.
  bool create(const Model& model, std::size_t max_tokens, const Allocator& allocator, Error& error) noexcept;

  // Bytes that `create` will ask the allocator for, in one piece.
  static std::size_t bytes(const Model& model, std::size_t max_tokens) noexcept;

 private:
  friend class Model;
  friend class Reading;
  friend class Generation;

  void lay_out(const Model& model, std::size_t max_tokens, Arena& arena) noexcept;

  Buffer<unsigned char> memory_;
  std::size_t max_tokens_ = 0, used_ = 0;

  // These stay from one stage of a motion to the next...
  std::int32_t* pieces_ = nullptr;  // (max_text_tokens)
  float* condition_ = nullptr;      // (condition_width)
  std::int64_t* ids_ = nullptr;     // (max_tokens)
  float* features_ = nullptr;       // (4 max_tokens, features)
  Generator::FirstStep first_step_;

  // ... and these share their memory: reading, drawing, decoding, encoding.
  struct Reading {
    TextEncoder::Scratch text;
    Queries::Scratch queries;
    LengthPredictor::Scratch length;
    LinearInput latents;
    float* embeddings = nullptr;  // (Q, E)
  } reading_;
  Generator::Scratch drawing_;
  Decoder::Scratch decoding_;
  struct Encoding {
    Encoder::Scratch encoder, motion_encoder;
    float* normal = nullptr;  // (4 max_tokens, features)
  } encoding_;
  float* latents_ = nullptr;  // (max_tokens, code width); stays too
};

}  // namespace lf
