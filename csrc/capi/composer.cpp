#include "composer.h"

#include <algorithm>
#include <cstring>

#include "joints_to_features.h"
#include "motion_features.h"

namespace lf::capi {
namespace {

constexpr std::size_t kPassageTokens = 2;           // of the new segment, drawn again where it meets the last one
constexpr std::size_t kContextTokens = 8;           // in front, so that the decoder sees where the motion comes from
constexpr std::size_t kEdgeTokens = 2;              // around a piece of motion: it begins and ends without a jerk
constexpr std::uint32_t kPassageSample = 1u << 16;  // noise of its own

Composer::Progress going(bool good) noexcept { return good ? Composer::Progress::working : Composer::Progress::failed; }

}  // namespace

bool Composer::create(const Allocator& allocator, Error& error) {
  const ModelSizes& sizes = model_.sizes();
  if (!workspace_.create(model_, sizes.max_tokens + 2 * kEdgeTokens, allocator, error)) return false;
  const std::size_t tokens = sizes.max_tokens, frames = kFramesPerToken * tokens;
  scratch_ = Placed<SegmentScratch>(allocator, tokens);
  known_ = Buffer<std::int64_t>(tokens, allocator);
  between_ = Buffer<float>(sizes.condition_width, allocator);
  given_ = Buffer<float>((frames + 1) * 3 * sizes.joints, allocator);
  frames_ = Buffer<float>((frames + 1) * 3 * sizes.joints, allocator);
  features_ = Buffer<float>(frames * sizes.features, allocator);
  feature_scratch_ = Buffer<double>(joints_to_features_scratch(frames + 1), allocator);
  return true;
}

Composer::Progress Composer::begin(const Question& question, Answer& answer, Work& work, Error& error) noexcept {
  question_ = &question;
  answer_ = &answer;
  work_ = &work;
  if (work.has_begun) {
    work.generation.resume(work.drawn.data(), work.drawn_for.data());
    return Progress::working;
  }
  work.has_begun = true;
  work.generation = {};
  return going(question.kind == Kind::motion ? begin_motion(error) : begin_reading(error));
}

Composer::Progress Composer::advance(Error& error) noexcept {
  switch (work_->stage) {
    case Stage::reading:
    case Stage::before:
    case Stage::after:
      if (reading_.advance()) return Progress::working;
      if (!reading_.finish(error)) return Progress::failed;
      if (work_->stage == Stage::before) return going(begin_after(error));
      return work_->stage == Stage::after ? going(begin_between(error)) : Progress::done;
    case Stage::motion:
    case Stage::segment:
    case Stage::passage:
    case Stage::decoding:
      if (work_->generation.advance()) return Progress::working;
      if (work_->stage == Stage::segment) return going(begin_passage(error));
      if (work_->stage == Stage::passage) return going(begin_decoding(error));
      return going(begin_appending(error));
    case Stage::appending:
      if (question_->stream->motion.advance(segment(), scratch_.value)) return Progress::working;
      question_->stream->last.remember(*question_, work_->generation.condition());
      if (!question_->describes) return Progress::done;
      begin_describing();
      return Progress::working;
    case Stage::describing:
      break;
  }
  return describe() ? Progress::working : Progress::done;
}

float Composer::share() const noexcept {
  const float part = work_->generation.progress();
  switch (work_->stage) {
    case Stage::segment:
      return 0.6f * part;
    case Stage::passage:
      return 0.6f + 0.3f * part;
    case Stage::decoding:
      return 0.9f + 0.1f * part;
    default:
      return part;
  }
}

bool Composer::read(Stage stage, ReadingRequest request, Error& error) noexcept {
  work_->stage = stage;
  return reading_.begin(model_, workspace_, executor_, request, error);
}

bool Composer::draw(Stage stage, const float* condition, const std::int64_t* known, std::size_t tokens,
                    Error& error) noexcept {
  work_->stage = stage;
  const lf_generate_params& params = question_->params;
  GenerationRequest request;
  if (condition == nullptr && question_->has_text) {
    request.text = question_->text;
    request.text_bytes = std::strlen(question_->text);
  } else {
    request.condition = condition != nullptr ? condition : question_->condition.data();
  }
  request.tokens = tokens;
  request.known = known;
  request.decoding.steps = static_cast<std::size_t>(params.steps);
  request.decoding.guidance_scale = params.guidance;
  request.decoding.temperature = params.temperature;
  request.decoding.top_k = static_cast<std::size_t>(params.top_k);
  request.decoding.seed = params.seed;
  request.decoding.sample = stage == Stage::passage ? kPassageSample : 0;
  request.decodes = stage != Stage::segment && stage != Stage::passage;
  request.edge_tokens = kEdgeTokens;
  return work_->generation.begin(model_, workspace_, executor_, request, error);
}

bool Composer::begin_motion(Error& error) noexcept {
  const lf_generate_params& params = question_->params;
  work_->overlap = 0;
  // 0 leaves it to the model.
  work_->count =
      params.frames > 0 ? (static_cast<std::size_t>(params.frames) + kFramesPerToken - 1) / kFramesPerToken : 0;
  if (keeps_frames()) return begin_before(error);
  const lf_stream* stream = question_->stream;
  if (stream == nullptr) return draw(Stage::motion, nullptr, nullptr, work_->count, error);
  if (stream->motion.room() < kFramesPerToken * work_->count) {
    return fail(error, LF_ERROR_TOO_LONG,
                "the stream has room for %zu frames, %zu are asked for; append when it has played some",
                stream->motion.room(), kFramesPerToken * work_->count);
  }
  const bool begins = stream->motion.committed() == 0;
  if (begins) return draw(Stage::motion, nullptr, nullptr, work_->count, error);
  if (work_->count > 0 && work_->count < max_tokens() && stream->last.is_that_of(*question_)) {
    work_->overlap = stream->motion.last_tokens(known_.data(), max_tokens() - work_->count);
    std::fill_n(known_.data() + work_->overlap, work_->count, mask());
    return draw(Stage::motion, stream->last.condition.data(), known_.data(), work_->overlap + work_->count, error);
  }
  return draw(Stage::segment, nullptr, nullptr, work_->count, error);
}

bool Composer::begin_passage(Error& error) noexcept {
  const lf_stream& stream = *question_->stream;
  work_->count = work_->generation.tokens();
  std::copy_n(work_->generation.ids(), work_->count, work_->tokens.data());
  std::copy_n(work_->generation.condition(), work_->condition.size(), work_->condition.data());
  const std::size_t again = std::min(kPassageTokens, (work_->count - 1) / 2);
  if (again == 0) return begin_decoding(error);
  const std::size_t half = std::max(max_tokens() / 2, max_tokens() - std::min(work_->count, max_tokens()));
  const std::size_t before = stream.motion.last_tokens(known_.data(), half);
  const std::size_t after = std::min(work_->count, max_tokens() - before);
  std::copy_n(work_->tokens.data(), after, known_.data() + before);
  std::fill_n(known_.data() + before, again, mask());
  for (std::size_t i = 0; i < work_->condition.size(); ++i) {
    between_[i] = 0.5f * (work_->condition[i] + stream.last.condition[i]);
  }
  work_->overlap = before;
  return draw(Stage::passage, between_.data(), known_.data(), before + after, error);
}

bool Composer::begin_decoding(Error& error) noexcept {
  if (work_->stage == Stage::passage) {
    const std::size_t drawn = work_->generation.tokens() - work_->overlap;
    std::copy_n(work_->generation.ids() + work_->overlap, drawn, work_->tokens.data());
  }
  work_->overlap =
      question_->stream->motion.last_tokens(known_.data(), std::min(kContextTokens, max_tokens() - work_->count));
  std::copy_n(work_->tokens.data(), work_->count, known_.data() + work_->overlap);
  return draw(Stage::decoding, work_->condition.data(), known_.data(), work_->overlap + work_->count, error);
}

// What is made is made: a segment is appended, a motion described.
bool Composer::begin_appending(Error& error) noexcept {
  const std::size_t drawn = work_->generation.tokens(), overlap = work_->overlap;
  const lf_stream* stream = question_->stream;
  const bool whole = stream != nullptr || question_->params.frames <= 0;
  answer_->frames = whole ? kFramesPerToken * (drawn - overlap) : static_cast<std::size_t>(question_->params.frames);
  std::copy_n(work_->generation.ids() + overlap, drawn - overlap, answer_->tokens.data());
  if (stream == nullptr) {
    begin_describing();
    return true;
  }
  work_->stage = Stage::appending;
  if (stream->motion.room() < answer_->frames) {
    return fail(error, LF_ERROR_TOO_LONG,
                "the stream has room for %zu frames, %zu were made; append when it has played some",
                stream->motion.room(), answer_->frames);
  }
  return stream->motion.begin_append(segment(), scratch_.value, error);
}

Segment Composer::segment() const noexcept {
  Segment segment;
  segment.tokens = work_->generation.ids();
  segment.features = work_->generation.features();
  segment.count = work_->generation.tokens();
  segment.overlap = work_->overlap;
  segment.blend = question_->stream->blend_frames;
  return segment;
}

// --- Motions that are told by joints.

// Of the frames in `frames_`.
bool Composer::find_features(std::size_t frames, Error& error) noexcept {
  if (joints_to_features(frames_.data(), frames, body_.skeleton(), feature_scratch_.data(), features_.data()))
    return true;
  return fail(error, LF_ERROR_INVALID_ARGUMENT,
              "a bone of the given frames has no length; check the order of the joints");
}

bool Composer::begin_reading(Error& error) noexcept {
  ReadingRequest request;
  (question_->kind == Kind::condition ? request.condition : request.embedding) = answer_->numbers.data();
  if (question_->kind == Kind::motion_embedding) {
    body_.read(question_->given.data(), question_->given_frames, frames_.data());
    if (!find_features(question_->given_frames, error)) return false;
    request.features = features_.data();
    request.frames = question_->given_frames - 1;
  } else {
    request.text = question_->text;
    request.text_bytes = std::strlen(question_->text);
  }
  return read(Stage::reading, request, error);
}

void Composer::read_given() noexcept {
  body_.read(question_->given.data(), work_->around.before + work_->around.after, given_.data());
}

bool Composer::begin_before(Error& error) noexcept {
  const lf_generate_params& params = question_->params;
  GivenFrames& around = work_->around;
  around.before = static_cast<std::size_t>(params.before_frames);
  around.after = static_cast<std::size_t>(params.after_frames);
  around.between = static_cast<std::size_t>(params.frames) - around.before - around.after;
  read_given();
  std::fill_n(known_.data(), around.tokens(), mask());
  if (around.before == 0) return begin_after(error);
  frames_of_tokens_before(given_.data(), around, body_.skeleton().joints, frames_.data());
  return read_tokens(Stage::before, around.tokens_before(), known_.data(), error);
}

bool Composer::begin_after(Error& error) noexcept {
  const GivenFrames& around = work_->around;
  const std::size_t joints = body_.skeleton().joints, count = around.tokens_after();
  if (count == 0) return begin_between(error);
  frames_of_tokens_after(given_.data() + around.before * 3 * joints, around, joints, frames_.data());
  return read_tokens(Stage::after, count, known_.data() + around.tokens() - count, error);
}

bool Composer::read_tokens(Stage stage, std::size_t tokens, std::int64_t* ids, Error& error) noexcept {
  ReadingRequest request;
  request.features = features_.data();
  request.frames = kFramesPerToken * tokens;
  request.ids = ids;
  return find_features(request.frames + 1, error) && read(stage, request, error);
}

bool Composer::begin_between(Error& error) noexcept {
  return draw(Stage::motion, nullptr, known_.data(), work_->around.tokens(), error);
}

// --- What the caller wants to know of a motion.

void Composer::begin_describing() noexcept {
  work_->stage = Stage::describing;
  steps_.restart();
}

bool Composer::describe() noexcept {
  steps_.begin();
  if (steps_.due()) {
    if (keeps_frames()) {
      describe_between();
    } else {
      describe_motion();
    }
    foot_contacts(answer_->features.data(), answer_->frames, body_.skeleton(), answer_->contacts.data());
  }
  local_rotations(answer_->joints.data(), answer_->frames, 0, body_.nodes(), body_.rest(), scratch_.value.rotation,
                  answer_->rotations.data(), steps_);
  return steps_.more();
}

void Composer::describe_motion() noexcept {
  const Skeleton& skeleton = body_.skeleton();
  const std::size_t frames = answer_->frames, width = skeleton.features();
  const float* features = work_->generation.features() + kFramesPerToken * work_->overlap * width;
  std::copy_n(features, frames * width, answer_->features.data());
  RootState start;
  features_to_joints(features, frames, skeleton, start, answer_->joints.data());
  start = RootState();
  for (std::size_t t = 0; t < frames; ++t) {
    float* root = answer_->roots.data() + 4 * t;
    root[0] = static_cast<float>(start.x), root[1] = 0, root[2] = static_cast<float>(start.z);
    root[3] = static_cast<float>(start.heading());
    start.advance(features + t * width);
  }
}

void Composer::describe_between() noexcept {
  const Skeleton& skeleton = body_.skeleton();
  const std::size_t frames = answer_->frames, lead = work_->around.lead(), width = skeleton.features();
  const float* features = work_->generation.features();
  std::copy_n(features + lead * width, frames * width, answer_->features.data());
  RootState start;
  for (std::size_t t = 0; t < lead; ++t) start.advance(features + t * width);
  features_to_joints(answer_->features.data(), frames, skeleton, start, answer_->joints.data());
  read_given();
  const float* after = given_.data() + work_->around.before * 3 * skeleton.joints;
  fit_between(given_.data(), after, work_->around, skeleton, answer_->joints.data());
  for (std::size_t t = 0; t < frames; ++t) {
    const float* joints = answer_->joints.data() + t * 3 * skeleton.joints;
    float* root = answer_->roots.data() + 4 * t;
    root[0] = joints[0], root[1] = 0, root[2] = joints[2];
    root[3] = static_cast<float>(heading_of(joints, skeleton));
  }
}

}  // namespace lf::capi
