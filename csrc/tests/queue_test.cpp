// Which of a session's requests comes next.
#include "queue.h"
#include "expect.h"

#include "character.h"

namespace {

using lf::capi::Clock;
using lf::capi::Queue;
using lf::capi::Slot;

Slot& ask(Queue& queue, lf_stream* stream, std::chrono::milliseconds limit = {}) {
  Slot& slot = *queue.claim();
  slot.question.stream = stream;
  slot.question.params.deadline_microseconds = static_cast<std::uint64_t>(limit.count()) * 1000;
  queue.hand_in(slot, true);
  return slot;
}

void who_is_due_first_comes_first() {
  using std::chrono::milliseconds;
  Queue queue(8, lf::system_allocator());
  lf_stream dry, other;
  Slot& patient = ask(queue, nullptr);
  Slot& long_limit = ask(queue, nullptr, milliseconds(3'600'000));
  Slot& short_limit = ask(queue, nullptr, milliseconds(500));
  Slot& segment = ask(queue, &dry);
  Slot& follower = ask(queue, &dry);
  Slot& other_segment = ask(queue, &other);
  expect(queue.has_more_urgent(patient), "a stream without motion does not wait for a request");
  expect(!queue.has_more_urgent(segment), "nor takes turns with another one");
  expect(queue.next() == &segment, "the stream that asked first");
  expect(!queue.has_more_urgent(segment), "what follows a segment does not overtake it");
  queue.put_off(segment);
  expect(queue.next() == &segment && queue.next() == &follower, "segments of a stream keep their order");
  expect(queue.next() == &other_segment, "the other stream");
  expect(queue.next() == &short_limit, "little time");
  expect(queue.next() == &patient && queue.next() == &long_limit, "those that have time, in turn");
  expect(queue.next() == nullptr, "no more");
}

void nobody_waits_for_ever() {
  Queue queue(3, lf::system_allocator());
  lf_stream dry;
  Slot& segment = ask(queue, &dry);
  Slot& patient = ask(queue, nullptr);
  Slot& too = ask(queue, nullptr);
  expect(queue.has_more_urgent(patient), "at first the stream goes before the requests");
  patient.question.submitted -= std::chrono::minutes(1);
  too.question.submitted -= std::chrono::minutes(1);
  expect(queue.next() == &patient, "one that has waited long goes before the stream");
  expect(!queue.has_more_urgent(patient), "and does not give way");
  queue.finish(patient);
  expect(queue.next() == &segment, "then the stream, before those that have waited with it");
  expect(queue.next() == &too, "then they");
}

}  // namespace

int main() {
  who_is_due_first_comes_first();
  nobody_waits_for_ever();
  return failures == 0 ? 0 : 1;
}
