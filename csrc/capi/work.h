// Where the work on a question stands: all that is kept of it while a more urgent one has the workspace.
#pragma once

#include "generation.h"
#include "inbetween.h"
#include "memory.h"

namespace lf::capi {

// What is being done. A condition or an embedding is read. A motion is drawn; one between frames that are kept, when
// these have been read; one that continues a stream, behind its tokens. A segment with a new prompt is drawn alone;
// then the passage to it, between known tokens; then all of it is decoded together with the tokens in front. Then a
// segment is appended to its stream, and what the caller may want to know of a motion is described.
enum class Stage : std::uint8_t { reading, before, after, motion, segment, passage, decoding, appending, describing };

struct Work {
  bool has_begun = false;
  Stage stage = Stage::reading;
  Generation generation;
  GivenFrames around;
  std::size_t overlap = 0;      // tokens in front that are committed already
  std::size_t count = 0;        // tokens of the segment
  Buffer<std::int64_t> tokens;  // (max_tokens): of the segment alone
  Buffer<float> condition;      // of the segment
  Buffer<std::int64_t> drawn;   // (max_tokens): while it is put off, of what is being drawn,
  Buffer<float> drawn_for;      // and the condition of that
};

}  // namespace lf::capi
