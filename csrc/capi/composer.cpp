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

}  // namespace

bool Composer::create(const Allocator& allocator, Error& error) {
  const ModelSizes& sizes = model_.sizes();
  if (!workspace_.create(model_, {sizes.max_tokens + 2 * kEdgeTokens}, allocator, error)) return false;
  const std::size_t tokens = sizes.max_tokens, frames = kFramesPerToken * tokens;
  Arena measure;
  scratch_.lay_out(measure, tokens);
  memory_ = Buffer<unsigned char>(measure.used(), allocator);
  Arena arena(memory_.data(), memory_.size());
  scratch_.lay_out(arena, tokens);
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
  const std::size_t bytes = std::strlen(question.text);
  float* numbers = answer.numbers.data();
  const auto done = [](bool good) { return good ? Progress::done : Progress::failed; };
  switch (question.kind) {
    case Kind::condition:
      return done(model_.condition(workspace_, executor_, question.text, bytes, numbers, error));
    case Kind::text_embedding:
      return done(model_.embed_text(workspace_, executor_, question.text, bytes, numbers, error));
    case Kind::motion_embedding:
      return done(embed_motion(error));
    case Kind::motion:
      break;
  }
  return begin_motion(error) ? Progress::working : Progress::failed;
}

Composer::Progress Composer::advance(Error& error) noexcept {
  if (work_->generation.advance()) return Progress::working;
  if (work_->drawing == Draw::segment) return begin_passage(error) ? Progress::working : Progress::failed;
  if (work_->drawing == Draw::passage) return begin_decoding(error) ? Progress::working : Progress::failed;
  return finish(error) ? Progress::done : Progress::failed;
}

float Composer::share() const noexcept {
  const float part = work_->generation.progress();
  switch (work_->drawing) {
    case Draw::segment:
      return 0.6f * part;
    case Draw::passage:
      return 0.6f + 0.3f * part;
    case Draw::decoding:
      return 0.9f + 0.1f * part;
    default:
      return part;
  }
}

bool Composer::draw(Draw what, const float* condition, const std::int64_t* known, std::size_t tokens,
                    Error& error) noexcept {
  work_->drawing = what;
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
  request.decoding.sample = what == Draw::passage ? kPassageSample : 0;
  request.decodes = what != Draw::segment && what != Draw::passage;
  request.edge_tokens = kEdgeTokens;
  return work_->generation.begin(model_, workspace_, executor_, request, error);
}

bool Composer::begin_motion(Error& error) noexcept {
  const lf_generate_params& params = question_->params;
  work_->overlap = 0;
  // 0 leaves it to the model.
  work_->count = params.frames > 0 ? (static_cast<std::size_t>(params.frames) + kFramesPerToken - 1) / kFramesPerToken : 0;
  if (params.before_frames + params.after_frames > 0) return begin_between(error);
  const lf_stream* stream = question_->stream;
  if (stream == nullptr) return draw(Draw::motion, nullptr, nullptr, work_->count, error);
  if (stream->motion.room() < kFramesPerToken * work_->count) {
    return fail(error, LF_ERROR_TOO_LONG,
                "the stream has room for %zu frames, %zu are asked for; append when it has played some",
                stream->motion.room(), kFramesPerToken * work_->count);
  }
  const bool begins = stream->motion.committed() == 0;
  if (begins) return draw(Draw::motion, nullptr, nullptr, work_->count, error);
  if (work_->count > 0 && work_->count < max_tokens() && stream->last.is_that_of(*question_)) {
    work_->overlap = stream->motion.last_tokens(known_.data(), max_tokens() - work_->count);
    std::fill_n(known_.data() + work_->overlap, work_->count, mask());
    return draw(Draw::continuation, stream->last.condition.data(), known_.data(), work_->overlap + work_->count, error);
  }
  return draw(Draw::segment, nullptr, nullptr, work_->count, error);
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
  return draw(Draw::passage, between_.data(), known_.data(), before + after, error);
}

bool Composer::begin_decoding(Error& error) noexcept {
  if (work_->drawing == Draw::passage) {
    const std::size_t drawn = work_->generation.tokens() - work_->overlap;
    std::copy_n(work_->generation.ids() + work_->overlap, drawn, work_->tokens.data());
  }
  work_->overlap = question_->stream->motion.last_tokens(known_.data(), std::min(kContextTokens, max_tokens() - work_->count));
  std::copy_n(work_->tokens.data(), work_->count, known_.data() + work_->overlap);
  return draw(Draw::decoding, work_->condition.data(), known_.data(), work_->overlap + work_->count, error);
}

bool Composer::finish(Error& error) noexcept {
  const std::size_t drawn = work_->generation.tokens();
  const bool is_segment = question_->stream != nullptr;
  const bool whole = is_segment || question_->params.frames <= 0;
  answer_->frames = whole ? kFramesPerToken * (drawn - work_->overlap) : static_cast<std::size_t>(question_->params.frames);
  std::copy_n(work_->generation.ids() + work_->overlap, drawn - work_->overlap, answer_->tokens.data());
  if (is_segment && !commit(error)) return false;
  if (work_->drawing == Draw::between) {
    describe_between();
  } else if (question_->describes) {
    describe(work_->generation.features() + kFramesPerToken * work_->overlap * model_.sizes().features);
  }
  return true;
}

bool Composer::commit(Error& error) noexcept {
  lf_stream& stream = *question_->stream;
  if (stream.motion.room() < answer_->frames) {
    return fail(error, LF_ERROR_TOO_LONG,
                "the stream has room for %zu frames, %zu were made; append when it has played some",
                stream.motion.room(), answer_->frames);
  }
  Segment segment;
  segment.tokens = work_->generation.ids();
  segment.features = work_->generation.features();
  segment.count = work_->generation.tokens();
  segment.overlap = work_->overlap;
  segment.blend = stream.blend_frames;
  if (!stream.motion.append(segment, scratch_, error)) return false;
  stream.last.remember(*question_, work_->drawing == Draw::decoding ? work_->condition.data() : work_->generation.condition());
  return true;
}

// --- Motions that are told by joints.

bool Composer::embed_motion(Error& error) noexcept {
  const std::size_t frames = question_->given_frames;
  body_.read(question_->given.data(), frames, frames_.data());
  const std::size_t tokens = (frames - 1) / kFramesPerToken;
  if (!joints_to_features(frames_.data(), frames, body_.skeleton(), feature_scratch_.data(), features_.data())) {
    return fail(error, LF_ERROR_INVALID_ARGUMENT, "a bone of the motion has no length; check the order of the joints");
  }
  return model_.embed_motion(workspace_, executor_, features_.data(), kFramesPerToken * tokens, answer_->numbers.data(),
                             error);
}

void Composer::read_given() noexcept {
  body_.read(question_->given.data(), work_->around.before + work_->around.after, given_.data());
}

// Of the frames in `frames_`, one more than the tokens hold.
bool Composer::tokens_of_frames(std::size_t tokens, std::int64_t* ids, Error& error) noexcept {
  const std::size_t frames = kFramesPerToken * tokens;
  if (!joints_to_features(frames_.data(), frames + 1, body_.skeleton(), feature_scratch_.data(), features_.data())) {
    return fail(error, LF_ERROR_INVALID_ARGUMENT,
                "a bone of the given frames has no length; check the order of the joints");
  }
  return model_.encode(workspace_, executor_, features_.data(), frames, ids, error);
}

bool Composer::begin_between(Error& error) noexcept {
  const lf_generate_params& params = question_->params;
  work_->around.before = static_cast<std::size_t>(params.before_frames);
  work_->around.after = static_cast<std::size_t>(params.after_frames);
  work_->around.between = static_cast<std::size_t>(params.frames) - work_->around.before - work_->around.after;
  const std::size_t joints = body_.skeleton().joints, tokens = work_->around.tokens();
  read_given();
  std::fill_n(known_.data(), tokens, mask());
  if (work_->around.before > 0) {
    frames_of_tokens_before(given_.data(), work_->around, joints, frames_.data());
    if (!tokens_of_frames(work_->around.tokens_before(), known_.data(), error)) return false;
  }
  if (work_->around.tokens_after() > 0) {
    frames_of_tokens_after(given_.data() + work_->around.before * 3 * joints, work_->around, joints, frames_.data());
    const std::size_t first = tokens - work_->around.tokens_after();
    if (!tokens_of_frames(work_->around.tokens_after(), known_.data() + first, error)) return false;
  }
  return draw(Draw::between, nullptr, known_.data(), tokens, error);
}

// --- What the caller wants to know of a motion.

void Composer::describe(const float* features) noexcept {
  const Skeleton& skeleton = body_.skeleton();
  const std::size_t frames = answer_->frames;
  std::copy_n(features, frames * skeleton.features(), answer_->features.data());
  RootState start;
  features_to_joints(features, frames, skeleton, start, answer_->joints.data());
  start = RootState();
  for (std::size_t t = 0; t < frames; ++t) {
    float* root = answer_->roots.data() + 4 * t;
    root[0] = static_cast<float>(start.x), root[1] = 0, root[2] = static_cast<float>(start.z);
    root[3] = static_cast<float>(start.heading());
    start.advance(features + t * skeleton.features());
  }
  foot_contacts(features, frames, skeleton, answer_->contacts.data());
  find_rotations();
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
  foot_contacts(answer_->features.data(), frames, skeleton, answer_->contacts.data());
  find_rotations();
}

void Composer::find_rotations() noexcept {
  local_rotations(answer_->joints.data(), answer_->frames, 0, body_.nodes(), body_.rest(), scratch_.rotation,
                  answer_->rotations.data());
}

}  // namespace lf::capi
