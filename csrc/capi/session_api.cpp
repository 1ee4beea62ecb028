#include <cstdio>

#include "call.h"
#include "session.h"

using namespace lf;
using namespace lf::capi;

namespace {

void destroy(lf_session* session) noexcept {
  Host host = session->host;
  session->~lf_session();
  host.release(session);
}

// A session without a thread yet. Null with a sentence in `error`; throws std::bad_alloc.
lf_session* make_session(lf_model& model, const lf_session_params& params, Host host, Error& error) {
  void* memory = host.allocate(sizeof(lf_session), alignof(lf_session));
  if (memory == nullptr) throw std::bad_alloc();
  lf_session* session = nullptr;
  try {
    session = new (memory) lf_session(model, params, host);
  } catch (...) {
    host.release(memory);
    throw;
  }
  try {
    if (session->create(error)) return session;
  } catch (...) {
    destroy(session);
    throw;
  }
  destroy(session);
  return nullptr;
}

bool read_params(const lf_session_params* given, lf_session_params& params, Error& error) noexcept {
  lf_session_params_init(&params);
  if (given == nullptr) return true;
  if (!sized(given, "lf_session_params", error)) return false;
  params = *given;
  return check_session(params, error);
}

bool has_room(lf_motion& motion, std::size_t frames, Error& error) noexcept {
  const auto needed = static_cast<std::int32_t>(frames);
  if (motion.frame_capacity < needed) {
    motion.frames = needed;
    return fail(error, LF_ERROR_TOO_SMALL, "the motion has %d frames, its arrays have room for %d", needed,
                motion.frame_capacity);
  }
  return true;
}

bool write_motion(const lf_session& session, const Slot& slot, lf_motion& motion, Error& error) noexcept {
  if (!has_room(motion, slot.answer.frames, error)) return false;
  session.body().write(slot.question, slot.answer, motion);
  motion.frames = static_cast<std::int32_t>(slot.answer.frames);
  return true;
}

bool reads_motions(const lf_session& session, Error& error) noexcept {
  if (session.sizes().embedding_width > 0) return true;
  return fail(error, LF_ERROR_UNSUPPORTED, "this model has no embeddings for search; use one that reads motions");
}

}  // namespace

extern "C" {

lf_status lf_session_params_init(lf_session_params* params) {
  if (params == nullptr) return LF_ERROR_INVALID_ARGUMENT;
  *params = {};
  params->struct_size = sizeof *params;
  params->threads = 1;
  params->max_requests = 8;
  params->max_streams = 4;
  params->stream_seconds = 30;
  return LF_OK;
}

lf_status lf_session_memory(lf_model* model, const lf_session_params* params, uint64_t* bytes, uint64_t* alignment,
                            lf_error* error) {
  return call(error, [&](Error& e) {
    lf_session_params read;
    if (!given(e, "model, bytes and alignment", model, bytes, alignment) || !read_params(params, read, e)) return false;
    // A session made and thrown away tells exactly what it takes.
    lf_session* session = make_session(*model, read, Host(), e);
    if (session == nullptr) return false;
    *bytes = session->host.bytes();
    *alignment = kAlignment;
    destroy(session);
    return true;
  });
}

lf_status lf_session_create(lf_model* model, const lf_session_params* params, lf_session** session, lf_error* error) {
  return call(error, [&](Error& e) {
    lf_session_params read;
    if (!given(e, "model and session", model, session) || !read_params(params, read, e)) return false;
    const Host host = read.arena != nullptr       ? Host(read.arena, read.arena_bytes)
                      : read.allocator != nullptr ? Host(*read.allocator)
                                                  : Host();
    lf_session* made = make_session(*model, read, host, e);
    if (made == nullptr) return false;
    if (!made->start(e)) {
      destroy(made);
      return false;
    }
    *session = made;
    return true;
  });
}

void lf_session_destroy(lf_session* session) {
  if (session != nullptr) destroy(session);
}

lf_status lf_session_pump(lf_session* session, uint64_t max_microseconds) {
  return session == nullptr ? LF_ERROR_INVALID_ARGUMENT : session->pump(max_microseconds);
}

int32_t lf_session_joint_count(const lf_session* session) {
  return session == nullptr ? 0 : static_cast<std::int32_t>(session->body().nodes().nodes);
}

lf_status lf_session_joint(const lf_session* session, int32_t index, lf_joint* joint, lf_error* error) {
  return call(error, [&](Error& e) {
    if (!given(e, "session", session) || !sized(joint, "lf_joint", e)) return false;
    const Body& body = session->body();
    const std::int32_t count = lf_session_joint_count(session);
    if (index < 0 || index >= count) {
      return fail(e, LF_ERROR_INVALID_ARGUMENT, "joint %d does not exist, there are 0 to %d", index, count - 1);
    }
    const auto node = static_cast<std::size_t>(index);
    std::snprintf(joint->name, sizeof joint->name, "%s", body.nodes().names[node]);
    joint->parent = body.nodes().parents[node];
    float rest[3];
    store(body.rest().offsets[node], rest);
    body.coordinates().position(rest, joint->rest);
    return true;
  });
}

lf_status lf_session_get_stats(const lf_session* session, lf_stats* stats, lf_error* error) {
  return call(error, [&](Error& e) {
    if (!given(e, "session", session) || !sized(stats, "lf_stats", e)) return false;
    session->fill(*stats);
    return true;
  });
}

// --- Motions.

lf_status lf_generate_params_init(lf_generate_params* params) {
  if (params == nullptr) return LF_ERROR_INVALID_ARGUMENT;
  *params = {};
  params->struct_size = sizeof *params;
  params->frames = 80;
  params->steps = 10;
  params->guidance = 4;
  params->temperature = 1;
  return LF_OK;
}

lf_status lf_generate(lf_session* session, const lf_generate_params* params, lf_motion* motion, lf_error* error) {
  return call(error, [&](Error& e) {
    if (!given(e, "session", session) || !sized(params, "lf_generate_params", e) || !sized(motion, "lf_motion", e)) {
      return false;
    }
    // Told before the work is done; a length that the model cannot make is told by `submit`.
    const auto frames = static_cast<std::size_t>(params->frames);
    const bool is_known = params->frames > 0 && frames <= kFramesPerToken * session->sizes().max_tokens;
    if (is_known && !has_room(*motion, frames, e)) return false;
    return session->ask(*params, e, [&](const Slot& slot) { return write_motion(*session, slot, *motion, e); });
  });
}

lf_status lf_encode_prompt(lf_session* session, const char* prompt, float* condition, lf_error* error) {
  return call(error, [&](Error& e) {
    return given(e, "session, prompt and condition", session, prompt, condition) &&
           session->ask_numbers(Kind::condition, prompt, nullptr, 0, condition, session->sizes().condition_width, e);
  });
}

// --- Requests.

lf_status lf_request_submit(lf_session* session, const lf_generate_params* params, lf_request* request,
                            lf_error* error) {
  return call(error, [&](Error& e) {
    return given(e, "session and request", session, request) && sized(params, "lf_generate_params", e) &&
           session->submit(*params, nullptr, request, e);
  });
}

lf_status lf_request_poll(lf_session* session, lf_request request, float* share) {
  if (session == nullptr) return LF_ERROR_INVALID_ARGUMENT;
  const Slot* slot = session->queue.find(request);
  if (slot == nullptr) return LF_ERROR_NO_REQUEST;
  const lf_status status = slot->is_done() ? slot->status() : LF_PENDING;
  const float known = slot->share();
  if (session->queue.find(request) != slot) return LF_ERROR_NO_REQUEST;
  if (share != nullptr) *share = known;
  return status;
}

lf_status lf_request_cancel(lf_session* session, lf_request request) {
  if (session == nullptr) return LF_ERROR_INVALID_ARGUMENT;
  Slot* slot = session->queue.find(request);
  if (slot == nullptr) return LF_ERROR_NO_REQUEST;
  slot->cancel(request);
  return LF_OK;
}

lf_status lf_request_result(lf_session* session, lf_request request, lf_motion* motion, lf_error* error) {
  bool is_pending = false;
  const lf_status status = call(error, [&](Error& e) {
    if (!given(e, "session", session) || !sized(motion, "lf_motion", e)) return false;
    const Slot* slot = session->queue.find(request);
    if (slot == nullptr) {
      return fail(e, LF_ERROR_NO_REQUEST, "there is no request %llu; it was released, or never was",
                  static_cast<unsigned long long>(request));
    }
    is_pending = !slot->is_done();
    if (is_pending) return true;
    e = slot->answer.error;
    return e.status == LF_OK && write_motion(*session, *slot, *motion, e);
  });
  return is_pending ? LF_PENDING : status;
}

lf_status lf_request_release(lf_session* session, lf_request request) {
  if (session == nullptr) return LF_ERROR_INVALID_ARGUMENT;
  return session->queue.release(request) ? LF_OK : LF_ERROR_NO_REQUEST;
}

// --- Search.

lf_status lf_embed_text(lf_session* session, const char* text, float* embedding, lf_error* error) {
  return call(error, [&](Error& e) {
    return given(e, "session, text and embedding", session, text, embedding) && reads_motions(*session, e) &&
           session->ask_numbers(Kind::text_embedding, text, nullptr, 0, embedding, session->sizes().embedding_width, e);
  });
}

lf_status lf_embed_motion(lf_session* session, const float* positions, int32_t frames, float* embedding,
                          lf_error* error) {
  return call(error, [&](Error& e) {
    if (!given(e, "session, positions and embedding", session, positions, embedding) || !reads_motions(*session, e)) {
      return false;
    }
    const auto longest = static_cast<std::int32_t>(kFramesPerToken * session->sizes().max_tokens) + 1;
    constexpr auto shortest = static_cast<std::int32_t>(kFramesPerToken) + 1;
    if (frames < shortest) {
      return fail(e, LF_ERROR_INVALID_ARGUMENT, "frames is %d, expected %d to %d", frames, shortest, longest);
    }
    if (frames > longest) {
      return fail(e, LF_ERROR_TOO_LONG, "frames is %d, this model reads at most %d at a time", frames, longest);
    }
    const std::size_t count = static_cast<std::size_t>(frames) * session->body().nodes().nodes * 3;
    if (!all_finite(positions, count)) {
      return fail(e, LF_ERROR_NOT_FINITE, "the positions hold NaN or an infinity");
    }
    return session->ask_numbers(Kind::motion_embedding, nullptr, positions, static_cast<std::size_t>(frames), embedding,
                                session->sizes().embedding_width, e);
  });
}

}  // extern "C"
