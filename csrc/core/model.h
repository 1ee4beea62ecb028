// A model ready to run, what one caller needs to run it, and one motion being made.
//
//   Model model;                      // shared by all threads
//   model.open(path, Precision::int8, system_allocator(), error);
//   Workspace workspace;              // one for each caller at a time
//   workspace.create(model, {}, system_allocator(), error);
//   Generation generation;
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

// Immutable: any number of threads may use it at a time, each with a Workspace of its own. What reads is a Reading done
// in one go.
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

  // text: UTF-8 -> the generator's condition, (condition_width).
  bool condition(Workspace& workspace, const Executor& executor, const char* text, std::size_t bytes, float* condition,
                 Error& error) const noexcept;

  // The same of word pieces.
  bool condition(Workspace& workspace, const Executor& executor, const std::int32_t* pieces, std::size_t count,
                 float* condition, Error& error) const noexcept;

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

  // features (frames, features) in the data set's units -> ids (frames / 4).
  bool encode(Workspace& workspace, const Executor& executor, const float* features, std::size_t frames,
              std::int64_t* ids, Error& error) const noexcept;

  // Unit vectors (embedding_width) of one space; of a motion longer than max_tokens the beginning counts.
  bool embed_text(Workspace& workspace, const Executor& executor, const char* text, std::size_t bytes, float* embedding,
                  Error& error) const noexcept;
  bool embed_text(Workspace& workspace, const Executor& executor, const std::int32_t* pieces, std::size_t count,
                  float* embedding, Error& error) const noexcept;
  bool embed_motion(Workspace& workspace, const Executor& executor, const float* features, std::size_t frames,
                    float* embedding, Error& error) const noexcept;

 private:
  friend class Workspace;
  friend class Reading;
  friend class Generation;

  bool load(ModelFile& file, Precision precision, const Allocator& allocator, Error& error, const Kernels& kernels);
  bool read_words(Workspace& workspace, const char* text, std::size_t bytes, Error& error) const noexcept;
  bool check_known(const std::int64_t* ids, std::size_t tokens, Error& error) const noexcept;
  bool check_pieces(const std::int32_t* pieces, std::size_t count, Error& error) const noexcept;
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

struct WorkspaceOptions {
  std::size_t max_tokens = 0;  // that are decoded or encoded in one piece; 0, or fewer than the model's: the model's
};

// All the memory that calls of one caller need: nothing is allocated after it is made. Not for two threads at a time.
class Workspace {
 public:
  Workspace() noexcept = default;
  Workspace(Workspace&&) noexcept = default;
  Workspace& operator=(Workspace&&) noexcept = default;

  // Bytes that `create` will ask the allocator for, in one piece.
  static std::size_t bytes(const Model& model, const WorkspaceOptions& options) noexcept;

  bool create(const Model& model, const WorkspaceOptions& options, const Allocator& allocator, Error& error) noexcept;

 private:
  friend class Model;
  friend class Reading;
  friend class Generation;

  void lay_out(const Model& model, std::size_t max_tokens, Arena& arena) noexcept;

  Buffer<unsigned char> memory_;
  std::size_t max_tokens_ = 0, used_ = 0;

  // These stay from one stage of a motion to the next...
  std::int32_t* pieces_ = nullptr;  // (max_text_tokens)
  std::size_t piece_count_ = 0;
  float* condition_ = nullptr;   // (condition_width)
  std::int64_t* ids_ = nullptr;  // (max_tokens)
  float* features_ = nullptr;    // (4 max_tokens, features)
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

// What is read, and what is wanted of it: the condition of a text, the ids of a motion, or the embedding of either.
struct ReadingRequest {
  const char* text = nullptr;  // UTF-8, text_bytes of it
  std::size_t text_bytes = 0;
  const std::int32_t* pieces = nullptr;  // instead of text: piece_count word pieces
  std::size_t piece_count = 0;
  const float* features = nullptr;  // (frames, features) in the data set's units
  std::size_t frames = 0;

  float* condition = nullptr;   // receives (condition_width)
  std::int64_t* ids = nullptr;  // receives (frames / 4)
  float* embedding = nullptr;   // receives (embedding_width)

  bool embeds() const noexcept { return condition == nullptr && ids == nullptr; }
};

// A text or a motion being read, in stages of a fraction of a millisecond. It uses its workspace until it is done or
// begun anew.
class Reading {
 public:
  // All three must outlive the reading, and what receives its result; the rest of the request need not.
  bool begin(const Model& model, Workspace& workspace, const Executor& executor, const ReadingRequest& request,
             Error& error) noexcept;

  // One stage; false when there is nothing left to do but `finish`, which writes the result.
  bool advance() noexcept;
  bool finish(Error& error) noexcept;

 private:
  enum class Phase : std::uint8_t { words, memory, latents, queries, done };

  bool begin_motion(Error& error) noexcept;
  void read_latents() noexcept;
  void embed_queries() noexcept;

  const Model* model_ = nullptr;
  Workspace* workspace_ = nullptr;
  const Executor* executor_ = nullptr;
  ReadingRequest request_;
  const Encoder* encoder_ = nullptr;
  Encoder::Scratch* encoding_ = nullptr;
  Phase phase_ = Phase::done;
};

struct GenerationRequest {
  const char* text = nullptr;  // UTF-8, text_bytes of it; read by `begin` only
  std::size_t text_bytes = 0;
  const float* condition = nullptr;     // instead of text
  std::size_t tokens = 0;               // 0: as many as the length predictor says
  const std::int64_t* known = nullptr;  // (tokens): the mask id where a code is wanted; nullptr: everywhere
  DecodingOptions decoding;
  bool decodes = true;  // whether features are wanted
  // So many times the first token is decoded again in front of the motion, and the last one behind it, and left out of
  // the result: the decoder takes what lies outside for zeros, which gives the first and last frames a jerk. For a
  // piece of a longer motion; the workspace must have room for these tokens, too.
  std::size_t edge_tokens = 0;
};

// One motion, made in stages of a fraction of a millisecond. It uses its workspace until it is done or begun anew.
class Generation {
 public:
  Generation() noexcept = default;

  // All three must outlive the generation; the request need not.
  bool begin(const Model& model, Workspace& workspace, const Executor& executor, const GenerationRequest& request,
             Error& error) noexcept;

  // One stage; false when there is nothing left to do.
  bool advance() noexcept;

  // Between two steps of drawing another motion may have the workspace: `pause` copies what is kept of this one, ids
  // (tokens) and condition (condition_width), and `resume` goes on from there, to the same bits.
  bool can_pause() const noexcept { return phase_ == Phase::drawing && workspace_->drawing_.is_between_steps(); }
  void pause(std::int64_t* ids, float* condition) noexcept;
  void resume(const std::int64_t* ids, const float* condition) noexcept;

  // Of the whole, about how much is done: 0 .. 1.
  float progress() const noexcept;

  // When it is done; they stay until the workspace is used again.
  std::size_t tokens() const noexcept { return tokens_; }
  const std::int64_t* ids() const noexcept { return workspace_->ids_ + edge_; }  // (tokens)
  const float* features() const noexcept {                                       // (4 tokens, features)
    return workspace_->features_ + edge_ * kFramesPerToken * model_->sizes().features;
  }
  const float* condition() const noexcept { return workspace_->condition_; }  // (condition_width)

 private:
  enum class Phase : std::uint8_t { none, reading, drawing, decoding, done };

  void begin_drawing() noexcept;
  void begin_decoding() noexcept;

  const Model* model_ = nullptr;
  Workspace* workspace_ = nullptr;
  const Executor* executor_ = nullptr;
  Phase phase_ = Phase::none;
  Reading reading_;
  std::size_t tokens_ = 0, edge_ = 0;
  std::size_t step_ = 0, wanted_ = 0;  // of the drawing, while it pauses
  bool has_known_ = false, decodes_ = true;
  DecodingOptions decoding_;
};

}  // namespace lf
