// A motion being made, from a text or a condition to features.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model.h"
#include "reading.h"

namespace lf {

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

  bool check(const GenerationRequest& request, Error& error) const noexcept;
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
