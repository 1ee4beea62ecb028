// What a session's worker does: questions become answers, in pieces of a fraction of a millisecond.
#pragma once

#include "body.h"
#include "character.h"
#include "executor.h"
#include "inbetween.h"
#include "memory.h"
#include "model.h"
#include "queue.h"
#include "reading.h"

namespace lf::capi {

class Composer {
 public:
  Composer(const Model& model, const Body& body, const Executor& executor) noexcept
      : model_(model), body_(body), executor_(executor) {}

  // Once. Throws std::bad_alloc.
  bool create(const Allocator& allocator, Error& error);

  // One question at a time: `begin`, then `advance` until the answer is done or failed, or no more. Where it may pause,
  // another one can be begun; `begin` it again to go on.
  enum class Progress : std::uint8_t { working, done, failed };
  Progress begin(const Question& question, Answer& answer, Work& work, Error& error) noexcept;
  Progress advance(Error& error) noexcept;
  bool can_pause() const noexcept { return work_->generation.can_pause(); }
  void pause() noexcept { work_->generation.pause(work_->drawn.data(), work_->drawn_for.data()); }
  float share() const noexcept;

 private:
  bool read(Stage stage, ReadingRequest request, Error& error) noexcept;
  bool draw(Stage stage, const float* condition, const std::int64_t* known, std::size_t tokens, Error& error) noexcept;
  bool begin_reading(Error& error) noexcept;
  bool begin_motion(Error& error) noexcept;
  bool begin_before(Error& error) noexcept;
  bool begin_after(Error& error) noexcept;
  bool begin_between(Error& error) noexcept;
  bool begin_passage(Error& error) noexcept;
  bool begin_decoding(Error& error) noexcept;
  bool begin_appending(Error& error) noexcept;
  void begin_describing() noexcept;
  bool read_tokens(Stage stage, std::size_t tokens, std::int64_t* ids, Error& error) noexcept;
  bool find_features(std::size_t frames, Error& error) noexcept;
  void read_given() noexcept;
  bool describe() noexcept;
  void describe_motion() noexcept;
  void describe_between() noexcept;
  Segment segment() const noexcept;
  bool keeps_frames() const noexcept { return question_->params.before_frames + question_->params.after_frames > 0; }

  std::size_t max_tokens() const noexcept { return model_.sizes().max_tokens; }
  std::int64_t mask() const noexcept { return static_cast<std::int64_t>(model_.sizes().codes); }

  const Model& model_;
  const Body& body_;
  const Executor& executor_;
  Workspace workspace_;
  Placed<SegmentScratch> scratch_;
  Buffer<std::int64_t> known_;    // (max_tokens): what the drawing is given
  Buffer<float> between_;         // the mean of the segment's condition and the last one's
  Buffer<float> given_, frames_;  // (4 max_tokens + 1, J, 3)
  Buffer<float> features_;        // (4 max_tokens, F)
  Buffer<double> feature_scratch_;

  // The question in work.
  const Question* question_ = nullptr;
  Answer* answer_ = nullptr;
  Work* work_ = nullptr;
  Reading reading_;
  Steps steps_;  // of the description
};

}  // namespace lf::capi
