#include "queue.h"

namespace lf::capi {

// A number is the slot and how often it was used: index in the low byte.
constexpr unsigned kIndexBits = 8;
static_assert(kMaxRequests < 1u << kIndexBits, "a slot's index fits into its bits");

bool Slot::is_unwanted(Error& error) const noexcept {
  if (cancelled_.load(std::memory_order_relaxed) || (question.revoked != nullptr && question.revoked->load())) {
    fail(error, LF_ERROR_CANCELLED, "the request was cancelled");
    return true;
  }
  const std::uint64_t limit = question.params.deadline_microseconds;
  if (limit == 0) return false;
  const auto passed = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - question.submitted).count();
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
      slot.cancelled_.store(false, std::memory_order_relaxed);
      slot.abandoned_.store(false, std::memory_order_relaxed);
      slot.set_share(0);
      slot.answer.error = Error();
      slot.answer.frames = 0;
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
  slot.abandoned_.store(!kept);
  slot.held_.store(kept ? number : 0);
  slot.turn_.store(turns_.fetch_add(1));
  slot.state_.store(Slot::State::waiting);
  return number;
}

Slot* Queue::next() noexcept {
  Slot* first = nullptr;
  for (Slot& slot : slots_) {
    if (slot.state_.load() != Slot::State::waiting) continue;
    if (first == nullptr || slot.turn_.load() < first->turn_.load()) first = &slot;
  }
  if (first != nullptr) first->state_.store(Slot::State::running);
  return first;
}

Slot* Queue::next_unwanted(Error& why) noexcept {
  for (Slot& slot : slots_) {
    if (slot.state_.load() != Slot::State::waiting || !slot.is_unwanted(why)) continue;
    slot.state_.store(Slot::State::running);
    return &slot;
  }
  return nullptr;
}

void Queue::finish(Slot& slot) noexcept {
  slot.state_.store(Slot::State::done);
  // Whoever releases sets `abandoned` before looking at the state: one of the two sees the other, and only one frees.
  Slot::State expected = Slot::State::done;
  if (slot.abandoned_.load()) slot.state_.compare_exchange_strong(expected, Slot::State::free);
}

Slot* Queue::find(lf_request request) noexcept {
  const std::size_t index = request & ((1u << kIndexBits) - 1);
  if (request == 0 || index >= slots_.size()) return nullptr;
  return slots_[index].held_.load() == request ? &slots_[index] : nullptr;
}

bool Queue::release(lf_request request) noexcept {
  Slot* slot = find(request);
  if (slot == nullptr || !slot->held_.compare_exchange_strong(request, 0)) return false;
  slot->cancel();
  slot->abandoned_.store(true);
  Slot::State expected = Slot::State::done;
  slot->state_.compare_exchange_strong(expected, Slot::State::free);
  return true;
}

}  // namespace lf::capi
