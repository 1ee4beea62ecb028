#include "session.h"

#include <algorithm>
#include <cstdio>
#include <exception>

#include "call.h"
#include "utf8.h"

namespace lf::capi {
namespace {

// An engine's parallel loop as the core calls it.
struct EngineTask {
  Task task;
  void* context;
};

void run_on_engine(void* user, std::size_t tasks, Task task, void* context) {
  const auto& params = *static_cast<const lf_session_params*>(user);
  EngineTask work{task, context};
  params.parallel_for(
      static_cast<std::uint32_t>(tasks),
      [](void* of_task, std::uint32_t index) {
        const auto& one = *static_cast<const EngineTask*>(of_task);
        one.task(one.context, index);
      },
      &work, params.parallel_for_user_data);
}

Executor make_executor(const lf_session_params& params, const Allocator& allocator) {
  const auto threads = static_cast<std::size_t>(params.threads);
  if (params.parallel_for != nullptr) {
    return Executor(ParallelFor{run_on_engine, const_cast<lf_session_params*>(&params), threads});
  }
  return Executor::pool(threads, allocator);
}

// Bytes in front of the zero byte, `limit` where it has none within so many.
std::size_t bounded_length(const char* text, std::size_t limit) noexcept {
  std::size_t n = 0;
  while (n < limit && text[n] != '\0') ++n;
  return n;
}

}  // namespace

bool check_session(const lf_session_params& params, Error& error) noexcept {
  if (params.arena != nullptr && params.allocator != nullptr) {
    return fail(error, LF_ERROR_INVALID_ARGUMENT, "both arena and allocator are given; give one of them");
  }
  if (params.arena == nullptr && params.arena_bytes != 0) {
    return fail(error, LF_ERROR_INVALID_ARGUMENT, "the arena is NULL, and arena_bytes %llu",
                static_cast<unsigned long long>(params.arena_bytes));
  }
  return is_whole(params.allocator, error) &&
         in_range(params.threading, LF_THREADING_WORKER, LF_THREADING_CALLER, "threading", error) &&
         in_range(params.threads, 1, 256, "threads", error) &&
         in_range(params.coordinates, LF_COORDINATES_GLTF, LF_COORDINATES_BLENDER, "coordinates", error) &&
         (params.units_per_metre == 0 ||
          in_range(params.units_per_metre, kMinNumber, kMaxNumber, "units_per_metre", error)) &&
         in_range(params.root_mode, LF_ROOT_IN_POSE, LF_ROOT_SEPARATE, "root_mode", error) &&
         in_range(params.skeleton, LF_SKELETON_EXACT, LF_SKELETON_PLAIN, "skeleton", error) &&
         in_range(params.max_requests, 1, kMaxRequests, "max_requests", error) &&
         in_range(params.max_streams, 0, 1024, "max_streams", error) &&
         in_range(params.stream_seconds, 1, 3600, "stream_seconds", error);
}

}  // namespace lf::capi

using namespace lf;
using namespace lf::capi;

lf_session::lf_session(lf_model& model, const lf_session_params& params, const Host& memory)
    : host(memory),
      queue(static_cast<std::size_t>(params.max_requests), host.allocator()),
      model_(model),
      params_(params),
      body_(*skeleton_of_features(model.model.sizes().features), params),
      executor_(make_executor(params_, host.allocator())),
      composer_(model.model, body_, executor_) {
  lf_model_retain(&model_);
}

lf_session::~lf_session() {
  stopping_.store(true);
  submitted_.raise();
  if (worker_.joinable()) worker_.join();
  for (lf_stream& stream : streams_) stream.~lf_stream();
  lf_model_release(&model_);
}

bool lf_session::create(Error& error) {
  const Allocator allocator = host.allocator();
  const ModelSizes& size = sizes();
  const std::size_t nodes = body_.nodes().nodes, frames = kFramesPerToken * size.max_tokens;
  if (!composer_.create(allocator, error)) return false;
  for (Slot& slot : queue) {
    slot.question.condition = Buffer<float>(size.condition_width, allocator);
    slot.question.given = Buffer<float>((frames + 1) * nodes * 3, allocator);
    slot.answer.features = Buffer<float>(frames * size.features, allocator);
    slot.answer.joints = Buffer<float>(frames * size.joints * 3, allocator);
    slot.answer.rotations = Buffer<float>(frames * nodes * 4, allocator);
    slot.answer.roots = Buffer<float>(frames * 4, allocator);
    slot.answer.contacts = Buffer<std::uint8_t>(frames * kContacts, allocator);
    slot.answer.tokens = Buffer<std::int64_t>(size.max_tokens, allocator);
    slot.answer.numbers = Buffer<float>(std::max(size.condition_width, size.embedding_width), allocator);
    slot.work.tokens = Buffer<std::int64_t>(size.max_tokens, allocator);
    slot.work.condition = Buffer<float>(size.condition_width, allocator);
    slot.work.drawn = Buffer<std::int64_t>(size.max_tokens, allocator);
    slot.work.drawn_for = Buffer<float>(size.condition_width, allocator);
  }
  Buffer<lf_stream> streams(static_cast<std::size_t>(params_.max_streams), allocator);
  for (lf_stream& stream : streams) new (&stream) lf_stream();
  streams_ = std::move(streams);
  StreamOptions options = stream_options({});
  for (lf_stream& stream : streams_) {
    Arena measure;
    stream.motion.lay_out(measure, options);
    stream.memory = Buffer<unsigned char>(measure.used(), allocator);
    stream.last.text = Buffer<char>(kMaxTextBytes, allocator);
    stream.last.condition = Buffer<float>(size.condition_width, allocator);
    stream.session = this;
  }
  return true;
}

bool lf_session::start(Error& error) noexcept {
  char text[160];
  std::snprintf(text, sizeof text, "lamp_fast %s: %s, %zu threads, %.1f MB", lf_version(), isa_name(model_.model.isa()),
                executor_.threads(), static_cast<double>(host.bytes()) * 1e-6);
  log(LF_LOG_INFO, text);
  if (params_.threading == LF_THREADING_CALLER) return true;
  try {
    worker_ = std::thread([this] {
      working_.store(true);
      while (!stopping_.load()) {
        if (!work()) submitted_.wait();
      }
    });
  } catch (const std::exception&) {
    return fail(error, LF_ERROR_OUT_OF_MEMORY, "the system gives no thread for the session; pump it yourself");
  }
  return true;
}

// --- Asking.

Slot* lf_session::claim(Error& error) noexcept {
  Slot* slot = queue.claim();
  if (slot == nullptr) {
    fail(error, LF_ERROR_FULL, "all %d requests of the session are in use; release some, or ask for more at creation",
         params_.max_requests);
    return nullptr;
  }
  Question& question = slot->question;
  question.stream = nullptr;
  question.revoked = nullptr;
  question.describes = true;
  question.given_frames = 0;
  question.params = {};
  return slot;
}

lf_request lf_session::hand_in(Slot& slot, bool kept) noexcept {
  const lf_request request = queue.hand_in(slot, kept);
  submitted_.raise();
  return request;
}

bool lf_session::submit(const lf_generate_params& params, lf_stream* stream, lf_request* request,
                        Error& error) noexcept {
  Slot* slot = claim(error);
  if (slot == nullptr) return false;
  Question& question = slot->question;
  question.kind = Kind::motion;
  question.stream = stream;
  if (!read_params(params, question, error)) {
    queue.put_back(*slot);
    return false;
  }
  if (stream != nullptr) {
    question.revoked = &stream->revoked;
    question.describes = request != nullptr;
    stream->waiting.fetch_add(1);
  }
  const lf_request number = hand_in(*slot, request != nullptr);
  if (request != nullptr) *request = number;
  return true;
}

bool lf_session::ask_numbers(Kind kind, const char* text, const float* positions, std::size_t frames, float* numbers,
                             std::size_t count, Error& error) noexcept {
  Slot* slot = claim(error);
  if (slot == nullptr) return false;
  Question& question = slot->question;
  question.kind = kind;
  question.has_text = text != nullptr;
  question.text[0] = '\0';
  if (text != nullptr && !read_text(text, question, error)) {
    queue.put_back(*slot);
    return false;
  }
  if (text == nullptr) {
    question.given_frames = frames;
    std::copy_n(positions, frames * body_.nodes().nodes * 3, question.given.data());
  }
  return wait(hand_in(*slot, true), error, [&](const Slot& done) {
    std::copy_n(done.answer.numbers.data(), count, numbers);
    return true;
  });
}

bool lf_session::read_text(const char* text, Question& question, Error& error) const noexcept {
  const std::size_t bytes = bounded_length(text, kMaxTextBytes);
  if (bytes == kMaxTextBytes) {
    return fail(error, LF_ERROR_TEXT, "the text has more than %zu bytes; shorten it", kMaxTextBytes - 1);
  }
  if (!is_utf8({text, bytes})) return fail(error, LF_ERROR_TEXT, "the text is not UTF-8");
  std::copy_n(text, bytes + 1, question.text);
  return true;
}

bool lf_session::read_params(const lf_generate_params& params, Question& question, Error& error) const noexcept {
  const ModelSizes& size = sizes();
  const int longest = static_cast<int>(kFramesPerToken * size.max_tokens);
  question.params = params;
  question.has_text = params.prompt != nullptr;
  question.text[0] = '\0';
  if (!size.makes_motions) {
    return fail(error, LF_ERROR_UNSUPPORTED, "this model makes no motions, it only searches; use one with a generator");
  }
  if ((params.prompt != nullptr) == (params.condition != nullptr)) {
    return fail(error, LF_ERROR_INVALID_ARGUMENT, "give either a prompt or a condition, %s",
                params.prompt != nullptr ? "not both" : "both are NULL");
  }
  if (params.prompt != nullptr && !read_text(params.prompt, question, error)) return false;
  if (params.condition != nullptr) {
    if (!all_finite(params.condition, size.condition_width)) {
      return fail(error, LF_ERROR_NOT_FINITE, "the condition holds NaN or an infinity");
    }
    std::copy_n(params.condition, size.condition_width, question.condition.data());
  }
  const bool is_predicted = params.frames == LF_FRAMES_FROM_PROMPT;
  if (is_predicted && !size.predicts_lengths) {
    return fail(error, LF_ERROR_UNSUPPORTED, "this model predicts no lengths; give the number of frames");
  }
  if (!is_predicted && params.frames < 1) {
    return fail(error, LF_ERROR_INVALID_ARGUMENT, "frames is %d, expected 1 to %d, or LF_FRAMES_FROM_PROMPT",
                params.frames, longest);
  }
  if (params.frames > longest) {
    return fail(error, LF_ERROR_TOO_LONG, "frames is %d, this model makes at most %d at a time", params.frames,
                longest);
  }
  if (!in_range(params.steps, 1, 1000, "steps", error) ||
      !in_range(params.guidance, -kMaxNumber, kMaxNumber, "guidance", error) ||
      !in_range(params.temperature, kMinNumber, kMaxNumber, "temperature", error) ||
      !in_range(params.top_k, 0, static_cast<double>(size.codes), "top_k", error)) {
    return false;
  }
  const bool keeps = params.before_frames != 0 || params.after_frames != 0;
  return !keeps || read_given(params, question, error);
}

bool lf_session::read_given(const lf_generate_params& params, Question& question, Error& error) const noexcept {
  if (question.stream != nullptr) {
    return fail(error, LF_ERROR_INVALID_ARGUMENT,
                "a stream keeps its own frames; leave before_frames and after_frames 0");
  }
  if (params.before_frames < 0 || params.after_frames < 0 || params.frames == LF_FRAMES_FROM_PROMPT ||
      params.before_frames >= params.frames - params.after_frames) {
    return fail(error, LF_ERROR_INVALID_ARGUMENT,
                "before_frames is %d and after_frames %d, expected less than frames, %d", params.before_frames,
                params.after_frames, params.frames);
  }
  if ((params.before_frames > 0 && params.before == nullptr) || (params.after_frames > 0 && params.after == nullptr)) {
    return fail(error, LF_ERROR_INVALID_ARGUMENT, "before or after is NULL, and its number of frames is not 0");
  }
  GivenFrames given;
  given.before = static_cast<std::size_t>(params.before_frames);
  given.after = static_cast<std::size_t>(params.after_frames);
  given.between = static_cast<std::size_t>(params.frames) - given.before - given.after;
  if (given.tokens() > sizes().max_tokens) {
    return fail(error, LF_ERROR_TOO_LONG, "frames to be kept begin a token of %zu frames: frames can be %zu here",
                kFramesPerToken, kFramesPerToken * sizes().max_tokens - given.lead());
  }
  const std::size_t width = body_.nodes().nodes * 3;
  if (!all_finite(params.before, given.before * width) || !all_finite(params.after, given.after * width)) {
    return fail(error, LF_ERROR_NOT_FINITE, "the frames to be kept hold NaN or an infinity");
  }
  std::copy_n(params.before, given.before * width, question.given.data());
  std::copy_n(params.after, given.after * width, question.given.data() + given.before * width);
  return true;
}

// --- Working.

bool lf_session::work() noexcept {
  Error error;
  if (Slot* slot = queue.next_unwanted(error)) {
    finish(*slot, error);
    return true;
  }
  if (slot_ != nullptr && composer_.can_pause() && queue.has_more_urgent(*slot_)) {
    composer_.pause();
    queue.put_off(*slot_);
    slot_ = nullptr;
  }
  const Clock::time_point begin = Clock::now();
  auto progress = Composer::Progress::failed;
  if (slot_ == nullptr) {
    slot_ = queue.next();
    if (slot_ == nullptr) return false;
    progress = composer_.begin(slot_->question, slot_->answer, slot_->work, error);
  } else if (!slot_->is_unwanted(error)) {
    progress = composer_.advance(error);
  }
  slot_->worked += Clock::now() - begin;
  Slot& slot = *slot_;
  if (progress != Composer::Progress::working) {
    slot_ = nullptr;
    finish(slot, error);
    return true;
  }
  slot.set_share(composer_.share());
  if (params_.callbacks.progress != nullptr) {
    params_.callbacks.progress(slot.number(), slot.share(), params_.callbacks.user_data);
  }
  return true;
}

void lf_session::finish(Slot& slot, const Error& error) noexcept {
  const lf_request number = slot.number();
  lf_stream* stream = slot.question.stream;
  const bool is_told = slot.question.describes;
  slot.answer.error = error;
  if (error.status == LF_OK) {
    const auto spent = std::chrono::duration_cast<std::chrono::microseconds>(slot.worked).count();
    const auto microseconds = static_cast<std::uint64_t>(spent);
    last_microseconds_.store(microseconds, std::memory_order_relaxed);
    if (microseconds > longest_microseconds_.load(std::memory_order_relaxed)) longest_microseconds_.store(microseconds);
    done_.fetch_add(1, std::memory_order_relaxed);
    slot.set_share(1);
  } else {
    failed_.fetch_add(1, std::memory_order_relaxed);
    if (!is_told && error.status != LF_ERROR_CANCELLED) log(LF_LOG_WARNING, error.text);
  }
  queue.finish(slot);
  if (stream != nullptr) stream->waiting.fetch_sub(1);
  {
    std::lock_guard<std::mutex> lock(finished_mutex_);
  }
  finished_.notify_all();
  if (params_.callbacks.done != nullptr) params_.callbacks.done(number, error.status, params_.callbacks.user_data);
}

void lf_session::wait_until_done(const Slot& slot) noexcept {
  const auto is_done = [&] { return slot.is_done(); };
  if (params_.threading == LF_THREADING_WORKER) {
    std::unique_lock<std::mutex> lock(finished_mutex_);
    finished_.wait(lock, is_done);
    return;
  }
  while (!is_done()) {
    if (work_if_nobody_does()) continue;
    // Another thread is pumping; it may stop at any time.
    std::unique_lock<std::mutex> lock(finished_mutex_);
    finished_.wait_for(lock, std::chrono::milliseconds(1), is_done);
  }
}

bool lf_session::work_if_nobody_does() noexcept {
  if (working_.exchange(true, std::memory_order_acquire)) return false;
  const bool did = work();
  working_.store(false, std::memory_order_release);
  return did;
}

lf_status lf_session::pump(std::uint64_t max_microseconds) noexcept {
  if (params_.threading != LF_THREADING_CALLER) return LF_ERROR_INVALID_ARGUMENT;
  if (working_.exchange(true, std::memory_order_acquire)) return LF_PENDING;
  const Clock::time_point begin = Clock::now();
  bool more = work();
  while (more) {
    const auto spent = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count();
    if (static_cast<std::uint64_t>(spent) >= max_microseconds) break;
    more = work();
  }
  more = more && (slot_ != nullptr || queue.waiting() > 0);
  working_.store(false, std::memory_order_release);
  return more ? LF_PENDING : LF_OK;
}

// --- Streams.

StreamOptions lf_session::stream_options(const lf_stream_params& params) const noexcept {
  StreamOptions options;
  options.hierarchy = &body_.nodes();
  options.rest = body_.rest();
  options.coordinates = body_.coordinates();
  options.fps = sizes().frames_per_second;
  options.frames =
      std::max(static_cast<std::size_t>(params_.stream_seconds * options.fps), kFramesPerToken * sizes().max_tokens);
  options.known_tokens = sizes().max_tokens;
  options.in_place = body_.root_is_separate();
  options.idle_seconds = params.idle_seconds;
  options.resume_seconds = static_cast<float>(params.blend_frames) / options.fps;
  float place[3];
  options.coordinates.position_back(params.position, place);
  options.x = place[0];
  options.z = place[2];
  options.heading = options.coordinates.heading(params.heading);
  return options;
}

lf_stream* lf_session::open_stream(const lf_stream_params& params, Error& error) noexcept {
  for (lf_stream& stream : streams_) {
    lf_stream::State state = stream.state.load();
    if (state == lf_stream::State::closing ? stream.waiting.load() > 0 : state != lf_stream::State::free) continue;
    if (!stream.state.compare_exchange_strong(state, lf_stream::State::opening)) continue;
    stream.motion.~Stream();
    new (&stream.motion) Stream();
    Arena arena(stream.memory.data(), stream.memory.size());
    stream.motion.lay_out(arena, stream_options(params));
    stream.last.known = false;
    stream.blend_frames = static_cast<std::size_t>(params.blend_frames);
    stream.samples.store(0);
    stream.underruns.store(0);
    stream.revoked.store(false);
    stream.state.store(lf_stream::State::open);
    return &stream;
  }
  fail(error, LF_ERROR_FULL, "all %d streams of the session are in use; destroy some, or ask for more at creation",
       params_.max_streams);
  return nullptr;
}

void lf_session::close_stream(lf_stream& stream) noexcept {
  stream.revoked.store(true);
  stream.state.store(lf_stream::State::closing);
  submitted_.raise();
}

// --- Telling.

void lf_session::fill(lf_stats& stats) const noexcept {
  stats.bytes = host.bytes();
  stats.requests_done = done_.load(std::memory_order_relaxed);
  stats.requests_failed = failed_.load(std::memory_order_relaxed);
  stats.microseconds_last = last_microseconds_.load(std::memory_order_relaxed);
  stats.microseconds_longest = longest_microseconds_.load(std::memory_order_relaxed);
  stats.requests_waiting = static_cast<std::int32_t>(queue.waiting());
  stats.threads = static_cast<std::int32_t>(executor_.threads());
  std::snprintf(stats.instructions, sizeof stats.instructions, "%s", isa_name(model_.model.isa()));
}

void lf_session::log(lf_log_level level, const char* text) const noexcept {
  if (params_.callbacks.log != nullptr) params_.callbacks.log(level, text, params_.callbacks.user_data);
}
