// A text or a motion being read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model.h"

namespace lf {

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
  // Receives (embedding_width), a unit vector of a space that both share; of a motion longer than max_tokens the
  // beginning counts.
  float* embedding = nullptr;

  bool embeds() const noexcept { return condition == nullptr && ids == nullptr; }
};

// A text or a motion being read, in stages of a fraction of a millisecond. It uses its workspace until it is done or
// begun anew.
class Reading {
 public:
  // False, with a sentence, for input out of range and for a part that the model lacks.
  // All three must outlive the reading, and what receives its result; the rest of the request need not.
  bool begin(const Model& model, Workspace& workspace, const Executor& executor, const ReadingRequest& request,
             Error& error) noexcept;

  // One stage; false when there is nothing left to do but `finish`, which writes the result.
  bool advance() noexcept;
  bool finish(Error& error) noexcept;

  // All of it at once.
  bool run(const Model& model, Workspace& workspace, const Executor& executor, const ReadingRequest& request,
           Error& error) noexcept;

 private:
  enum class Phase : std::uint8_t { words, memory, latents, queries, done };

  bool begin_text(Error& error) noexcept;
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

}  // namespace lf
