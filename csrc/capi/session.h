// A session: the queue, the thread that works on it or the callers that pump, and the streams.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "body.h"
#include "character.h"
#include "composer.h"
#include "executor.h"
#include "host.h"
#include "model.h"
#include "queue.h"

struct lf_model {
  explicit lf_model(const lf::capi::Host& memory) noexcept : host(memory) {}

  lf::capi::Host host;
  std::atomic<std::uint64_t> owners{1};
  lf::Model model;
};

namespace lf::capi {

// Tells a sleeper that something has happened since it last slept.
class Signal {
 public:
  void raise() noexcept {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      raised_ = true;
    }
    changed_.notify_one();
  }
  void wait() noexcept {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return raised_; });
    raised_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool raised_ = false;
};

// In ranges, enums and pointers.
bool check_session(const lf_session_params& params, Error& error) noexcept;

}  // namespace lf::capi

struct lf_session {
 public:
  // Throws std::bad_alloc. The params were checked.
  lf_session(lf_model& model, const lf_session_params& params, const lf::capi::Host& memory);
  ~lf_session();
  lf_session(const lf_session&) = delete;

  bool create(lf::Error& error);
  bool start(lf::Error& error) noexcept;
  lf_status pump(std::uint64_t max_microseconds) noexcept;

  // What is asked is checked, copied and put into the queue.
  bool submit(const lf_generate_params& params, lf_stream* stream, lf_request* request, lf::Error& error) noexcept;

  // The same and wait for the answer, which read(slot) -> bool copies.
  template <class Read>
  bool ask(const lf_generate_params& params, lf::Error& error, Read&& read) noexcept {
    lf_request request = 0;
    return submit(params, nullptr, &request, error) && wait(request, error, read);
  }

  // Of a text, or of a motion (frames, K, 3) where text is NULL: `count` numbers.
  bool ask_numbers(lf::capi::Kind kind, const char* text, const float* positions, std::size_t frames, float* numbers,
                   std::size_t count, lf::Error& error) noexcept;

  lf_stream* open_stream(const lf_stream_params& params, lf::Error& error) noexcept;
  void close_stream(lf_stream& stream) noexcept;

  const lf::ModelSizes& sizes() const noexcept { return model_.model.sizes(); }
  const lf::capi::Body& body() const noexcept { return body_; }
  void fill(lf_stats& stats) const noexcept;

  lf::capi::Host host;
  lf::capi::Queue queue;

 private:
  using Slot = lf::capi::Slot;

  Slot* claim(lf::Error& error) noexcept;
  lf_request hand_in(Slot& slot, bool kept) noexcept;
  template <class Read>
  bool wait(lf_request request, lf::Error& error, Read&& read) noexcept;
  void wait_until_done(const Slot& slot) noexcept;
  bool read_text(const char* text, lf::capi::Question& question, lf::Error& error) const noexcept;
  bool read_params(const lf_generate_params& params, lf::capi::Question& question, lf::Error& error) const noexcept;
  bool read_given(const lf_generate_params& params, lf::capi::Question& question, lf::Error& error) const noexcept;

  lf::StreamOptions stream_options(const lf_stream_params& params) const noexcept;

  // One stage of work; false when there is none. For whoever holds `working_`.
  bool work() noexcept;
  bool work_if_nobody_does() noexcept;
  void finish(Slot& slot, const lf::Error& error) noexcept;
  void log(lf_log_level level, const char* text) const noexcept;

  lf_model& model_;
  lf_session_params params_;
  lf::capi::Body body_;
  lf::Executor executor_;
  lf::capi::Composer composer_;
  lf::Buffer<lf_stream> streams_;

  Slot* slot_ = nullptr;  // in work

  std::atomic<bool> working_{false}, stopping_{false};
  std::atomic<std::uint64_t> done_{0}, failed_{0}, last_microseconds_{0}, longest_microseconds_{0};
  lf::capi::Signal submitted_;
  std::mutex finished_mutex_;
  std::condition_variable finished_;
  std::thread worker_;
};

// Waits for a request that only the caller holds, lets read(slot) -> bool copy the answer, and releases it.
template <class Read>
bool lf_session::wait(lf_request request, lf::Error& error, Read&& read) noexcept {
  Slot* slot = queue.find(request);
  wait_until_done(*slot);
  error = slot->answer.error;
  const bool good = error.status == LF_OK && read(*slot);
  queue.release(request);
  return good;
}
