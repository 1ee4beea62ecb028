#include "queue.h"

#include <algorithm>
#include <cmath>

#include "character.h"

namespace lf::capi {

using std::chrono::microseconds;

// However many streams run dry, one of the other requests is due so long after the last one.
constexpr microseconds kPatience{2'000'000};
// Two that are due at about the same time do not take turns.
constexpr std::chrono::milliseconds kClearly{100};

// A number is the slot and how often it was used: index in the low byte.
constexpr unsigned kIndexBits = 8;
static_assert(kMaxRequests < 1u << kIndexBits, "a slot's index fits into its bits");

bool Slot::is_unwanted(Error& error) const noexcept {
  if (cancelled_.load(std::memory_order_relaxed) == number_ ||
      (question.revoked != nullptr && question.revoked->load())) {
    fail(error, LF_ERROR_CANCELLED, "the request was cancelled");
    return true;
  }
  const std::uint64_t limit = question.params.deadline_microseconds;
  if (limit == 0) return false;
  const auto passed = std::chrono::duration_cast<microseconds>(Clock::now() - question.submitted).count();
  if (passed <= 0 || static_cast<std::uint64_t>(passed) <= limit) return false;
  fail(error, LF_ERROR_DEADLINE, "the request was not done within its %llu microseconds",
       static_cast<unsigned long long>(limit));
  return true;
}

Queue::Queue(std::size_t slots, const Allocator& allocator) : slots_(slots, allocator) {
  for (Slot& slot : slots_) new (&slot) Slot();
}

Queue::~Queue() {
  for (Slot& slot : slots_) slot.~Slot();
}

std::size_t Queue::waiting() const noexcept {
  std::size_t count = 0;
  for (const Slot& slot : slots_) {
    const Slot::State state = slot.state_.load(std::memory_order_relaxed);
    count += state == Slot::State::waiting || state == Slot::State::running;
  }
  return count;
}

Slot* Queue::claim() noexcept {
  for (Slot& slot : slots_) {
    Slot::State expected = Slot::State::free;
    if (slot.state_.compare_exchange_strong(expected, Slot::State::filling)) {
      slot.set_share(0);
      slot.answer.error = Error();
      slot.answer.frames = 0;
      slot.work.has_begun = false;
      slot.worked = {};
      return &slot;
    }
  }
  return nullptr;
}

void Queue::put_back(Slot& slot) noexcept { slot.state_.store(Slot::State::free); }

lf_request Queue::hand_in(Slot& slot, bool kept) noexcept {
  const lf_request number = ++slot.uses_ << kIndexBits | static_cast<lf_request>(&slot - slots_.data());
  slot.number_ = number;
  slot.question.submitted = Clock::now();
  slot.owners_.store(kept ? 2 : 1);
  slot.held_.store(kept ? number : 0);
  slot.turn_.store(turns_.fetch_add(1));
  slot.state_.store(Slot::State::waiting);
  return number;
}

Clock::time_point Queue::due(const Slot& slot, Clock::time_point now) const noexcept {
  const Question& question = slot.question;
  const auto limit =
      static_cast<std::int64_t>(std::min<std::uint64_t>(question.params.deadline_microseconds, INT32_MAX));
  const Clock::time_point end = question.submitted + microseconds(limit == 0 ? INT32_MAX : limit);
  const Clock::time_point due = question.stream == nullptr
                                    ? std::max(question.submitted, last_finished_) + kPatience
                                    : now + microseconds(std::llround(1e6 * question.stream->motion.seconds_left()));
  return std::min(due, end);
}

const Slot* Queue::first_due(Clock::time_point now) const noexcept {
  const Slot* first = nullptr;
  Clock::time_point first_due;
  const auto waits = [](const Slot& slot) { return slot.state_.load() == Slot::State::waiting; };
  for (const Slot& slot : slots_) {
    if (!waits(slot)) continue;
    const Clock::time_point due = this->due(slot, now);
    if (first == nullptr || due < first_due || (due == first_due && slot.turn_ < first->turn_)) {
      first = &slot;
      first_due = due;
    }
  }
  if (first == nullptr || first->question.stream == nullptr) return first;
  for (const Slot& slot : slots_) {
    if (waits(slot) && slot.question.stream == first->question.stream && slot.turn_ < first->turn_) first = &slot;
  }
  return first;
}

Slot* Queue::next() noexcept {
  const Slot* first = first_due(Clock::now());
  if (first == nullptr) return nullptr;
  Slot& slot = slots_[static_cast<std::size_t>(first - slots_.data())];
  slot.state_.store(Slot::State::running);
  return &slot;
}

bool Queue::has_more_urgent(const Slot& slot) const noexcept {
  const Clock::time_point now = Clock::now();
  const Slot* first = first_due(now);
  if (first == nullptr) return false;
  const lf_stream* stream = first->question.stream;
  return (stream == nullptr || stream != slot.question.stream) && due(*first, now) + kClearly < due(slot, now);
}

void Queue::put_off(Slot& slot) noexcept { slot.state_.store(Slot::State::waiting); }

Slot* Queue::next_unwanted(Error& why) noexcept {
  for (Slot& slot : slots_) {
    if (slot.state_.load() != Slot::State::waiting || !slot.is_unwanted(why)) continue;
    slot.state_.store(Slot::State::running);
    return &slot;
  }
  return nullptr;
}

void Queue::finish(Slot& slot) noexcept {
  slot.status_.store(slot.answer.error.status, std::memory_order_relaxed);
  if (slot.question.stream == nullptr) last_finished_ = Clock::now();
  slot.state_.store(Slot::State::done);
  leave(slot);
}

// The last of its owners frees a slot. Until then it is in no one else's hands, however late one of them comes.
void Queue::leave(Slot& slot) noexcept {
  if (slot.owners_.fetch_sub(1) == 1) slot.state_.store(Slot::State::free);
}

Slot* Queue::find(lf_request request) noexcept {
  const std::size_t index = request & ((1u << kIndexBits) - 1);
  if (request == 0 || index >= slots_.size()) return nullptr;
  return slots_[index].held_.load() == request ? &slots_[index] : nullptr;
}

bool Queue::release(lf_request request) noexcept {
  Slot* slot = find(request);
  lf_request held = request;
  if (slot == nullptr || !slot->held_.compare_exchange_strong(held, 0)) return false;
  slot->cancel(request);
  leave(*slot);
  return true;
}

}  // namespace lf::capi
