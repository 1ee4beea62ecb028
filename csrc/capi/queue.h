// The requests of a session: a fixed number of slots, filled by any thread, worked on by one at a time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "error.h"
#include "lamp_fast.h"
#include "memory.h"
#include "work.h"

namespace lf::capi {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxTextBytes = 4096;  // with the zero byte
constexpr std::size_t kMaxRequests = 64;

enum class Kind : std::uint8_t { motion, condition, text_embedding, motion_embedding };

// What is asked.
struct Question {
  Kind kind = Kind::motion;
  bool has_text = false;
  lf_generate_params params{};  // but for its pointers
  Clock::time_point submitted;
  lf_stream* stream = nullptr;
  const std::atomic<bool>* revoked = nullptr;  // turns true when nobody wants it any more
  bool describes = true;                       // whether somebody may want the motion, or only the stream
  char text[kMaxTextBytes];
  Buffer<float> condition;
  std::size_t given_frames = 0;
  Buffer<float> given;  // (frames, K, 3) as the caller gave them: those before, then those after
};

// What came of it: a motion, or the numbers of a condition or an embedding. In the axes and the unit of the core.
struct Answer {
  Error error;
  std::size_t frames = 0;
  Buffer<float> features;         // (frames, F)
  Buffer<float> joints;           // (frames, J, 3)
  Buffer<float> rotations;        // (frames, K, 4)
  Buffer<float> roots;            // (frames, 4): where the root is, and its heading
  Buffer<std::uint8_t> contacts;  // (frames, 4)
  Buffer<std::int64_t> tokens;
  Buffer<float> numbers;
};

class Slot {
 public:
  Question question;
  Answer answer;
  Work work;
  Clock::duration worked{};

  lf_request number() const noexcept { return number_; }
  bool is_done() const noexcept { return state_.load(std::memory_order_acquire) == State::done; }
  // Of the answer, when it is done. Unlike the answer it can be read while another thread releases the slot.
  lf_status status() const noexcept { return status_.load(std::memory_order_relaxed); }
  // Whoever comes too late cancels nothing, not even somebody else's cancel: the slot has a greater number by then.
  void cancel(lf_request number) noexcept {
    lf_request last = cancelled_.load(std::memory_order_relaxed);
    while (last < number && !cancelled_.compare_exchange_weak(last, number, std::memory_order_relaxed)) {
    }
  }
  float share() const noexcept { return share_.load(std::memory_order_relaxed); }
  void set_share(float share) noexcept { share_.store(share, std::memory_order_relaxed); }

  // The worker's: whether there is a reason not to go on.
  bool is_unwanted(Error& error) const noexcept;

 private:
  friend class Queue;
  enum class State : std::uint32_t { free, filling, waiting, running, done };

  std::atomic<State> state_{State::free};
  std::atomic<lf_request> held_{0};  // the number, as long as somebody holds it
  std::atomic<std::uint64_t> turn_{0};
  std::atomic<float> share_{0};
  std::atomic<lf_status> status_{LF_OK};
  std::atomic<lf_request> cancelled_{0};
  std::atomic<int> owners_{0};  // the worker until it is done, whoever holds the number until it is released
  lf_request number_ = 0;
  std::uint64_t uses_ = 0;
};

// Threads that submit claim a slot, fill it and hand it in; the one that works takes the most urgent one and finishes
// it, or puts it off for another one. Nobody waits for anybody.
class Queue {
 public:
  Queue(std::size_t slots, const Allocator& allocator);
  ~Queue();
  Queue(const Queue&) = delete;

  Slot* begin() noexcept { return slots_.begin(); }
  Slot* end() noexcept { return slots_.end(); }
  std::size_t waiting() const noexcept;

  // A slot to be filled, then handed in or put back; null where all are in use.
  Slot* claim() noexcept;
  void put_back(Slot& slot) noexcept;

  // kept: whether somebody holds the number and will release it; else the slot is free as soon as it is finished.
  lf_request hand_in(Slot& slot, bool kept) noexcept;

  // The worker's: the slot that is due first, and of those of one stream the first; one that is due clearly before
  // `slot` and does not follow it; one that need not wait any more, and why. Null where there is none.
  Slot* next() noexcept;
  bool has_more_urgent(const Slot& slot) const noexcept;
  Slot* next_unwanted(Error& why) noexcept;
  void put_off(Slot& slot) noexcept;
  void finish(Slot& slot) noexcept;

  // Null for a number that was released or never was.
  Slot* find(lf_request request) noexcept;
  bool release(lf_request request) noexcept;

 private:
  void leave(Slot& slot) noexcept;

  // A segment is due when its stream's committed motion ends, what is of no stream a while after the last such one;
  // both at their deadline if that is sooner.
  Clock::time_point due(const Slot& slot, Clock::time_point now) const noexcept;
  const Slot* first_due(Clock::time_point now) const noexcept;

  Buffer<Slot> slots_;
  std::atomic<std::uint64_t> turns_{0};
  Clock::time_point last_finished_;  // of those of no stream
};

}  // namespace lf::capi
