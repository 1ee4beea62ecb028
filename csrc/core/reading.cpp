#include "reading.h"

#include <algorithm>
#include <cmath>

#include "codebook.h"

namespace lf {

bool Reading::begin(const Model& model, Workspace& workspace, const Executor& executor, const ReadingRequest& request,
                    Error& error) noexcept {
  model_ = &model;
  workspace_ = &workspace;
  executor_ = &executor;
  request_ = request;
  phase_ = Phase::done;
  if (request.embeds() && !model.sizes_.reads_motions) {
    return fail(error, status::unsupported, "this model makes motions but reads none");
  }
  return request.features != nullptr ? begin_motion(error) : begin_text(error);
}

bool Reading::begin_text(Error& error) noexcept {
  const WordPieces& words = model_->words_;
  const std::size_t most = model_->sizes_.max_text_tokens;
  if (request_.text != nullptr) {
    if (!words.encode({request_.text, request_.text_bytes}, most, workspace_->pieces_, request_.piece_count, error)) {
      return false;
    }
    request_.pieces = workspace_->pieces_;
  }
  const std::int32_t* const pieces = request_.pieces;
  const std::size_t count = request_.piece_count;
  if (count < 1 || count > most) {
    return fail(error, status::text, "the text has %zu word pieces, expected 1 to %zu", count, most);
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (pieces[i] < 0 || static_cast<std::size_t>(pieces[i]) >= words.size()) {
      return fail(error, status::text, "word piece %zu is %d, expected 0 to %zu", i, pieces[i], words.size() - 1);
    }
  }
  model_->text_.begin(workspace_->reading_.text, pieces, count);
  phase_ = Phase::words;
  return true;
}

bool Reading::begin_motion(Error& error) noexcept {
  Workspace::Encoding& encoding = workspace_->encoding_;
  const bool is_embedded = request_.embeds(), own = is_embedded && model_->sizes_.has_motion_encoder;
  const std::size_t most = is_embedded ? model_->sizes_.max_tokens : workspace_->max_tokens_;
  std::size_t tokens = request_.frames / kFramesPerToken;
  if (is_embedded) tokens = std::min(tokens, most);
  if (tokens < 1 || tokens > most) {
    return fail(error, status::invalid_argument, "the motion has %zu frames, expected %zu to %zu", request_.frames,
                kFramesPerToken, most * kFramesPerToken);
  }
  request_.frames = tokens * kFramesPerToken;
  const std::size_t width = model_->sizes_.features, count = request_.frames * width;
  bool finite = true;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t f = i % width;
    encoding.normal[i] = (request_.features[i] - model_->mean_[f]) / model_->deviation_[f];
    finite = finite && std::isfinite(encoding.normal[i]);
  }
  if (!finite) return fail(error, status::not_finite, "the motion's features hold NaN or infinite values");
  encoder_ = own ? &model_->motion_encoder_ : &model_->encoder_;
  encoding_ = own ? &encoding.motion_encoder : &encoding.encoder;
  encoder_->begin(*executor_, *encoding_, encoding.normal, request_.frames);
  phase_ = Phase::latents;
  return true;
}

bool Reading::advance() noexcept {
  const Executor& executor = *executor_;
  Workspace::Reading& reading = workspace_->reading_;
  switch (phase_) {
    case Phase::words:
      if (model_->text_.advance(executor, reading.text)) break;
      phase_ = request_.embeds() ? Phase::done : Phase::memory;
      break;
    case Phase::memory:
      if (model_->text_.memory(executor, reading.text, reading.queries.memory)) break;
      model_->queries_.begin(reading.queries, request_.piece_count);
      phase_ = Phase::queries;
      break;
    case Phase::latents:
      if (encoder_->advance(executor, *encoding_, workspace_->latents_)) break;
      phase_ = request_.ids != nullptr ? Phase::done : Phase::queries;
      if (phase_ == Phase::queries) read_latents();
      break;
    case Phase::queries:
      if (!model_->queries_.advance(executor, reading.queries)) phase_ = Phase::done;
      break;
    case Phase::done:
      break;
  }
  return phase_ != Phase::done;
}

bool Reading::finish(Error& error) noexcept {
  Workspace::Reading& reading = workspace_->reading_;
  if (request_.condition != nullptr) {
    model_->queries_.mean(*executor_, reading.queries, request_.condition);
  } else if (request_.ids != nullptr) {
    if (!codebook_lookup(workspace_->latents_, request_.frames / kFramesPerToken, model_->codebook_,
                         model_->sizes_.codes, encoder_->code_width(), request_.ids)) {
      return fail(error, status::not_finite, "the motion's features are too large to be encoded");
    }
  } else if (request_.features != nullptr) {
    embed_queries();
  } else {
    model_->text_.embedding(*executor_, reading.text, request_.embedding);
  }
  return true;
}

bool Reading::run(const Model& model, Workspace& workspace, const Executor& executor, const ReadingRequest& request,
                  Error& error) noexcept {
  if (!begin(model, workspace, executor, request, error)) return false;
  while (advance()) {
  }
  return finish(error);
}

void Reading::read_latents() noexcept {
  Workspace::Reading& reading = workspace_->reading_;
  const std::size_t tokens = request_.frames / kFramesPerToken;
  reading.latents.prepare(*executor_, workspace_->latents_, model_->motion_memory_.inputs(), tokens);
  LinearCall memory;
  memory.out = reading.queries.memory;
  model_->motion_memory_.run(*executor_, reading.latents, memory);
  model_->queries_.begin(reading.queries, tokens);
}

void Reading::embed_queries() noexcept {
  Workspace::Reading& reading = workspace_->reading_;
  const std::size_t width = model_->sizes_.embedding_width, count = model_->queries_.count();
  reading.queries.stream.normalise(*executor_, reading.queries.stream.x, count);
  LinearCall embed;
  embed.out = float_rows(reading.embeddings, width);
  model_->motion_embedding_.run(*executor_, reading.queries.stream.input, embed);
  float* const embedding = request_.embedding;
  std::fill_n(embedding, width, 0.0f);
  for (std::size_t query = 0; query < count; ++query) {
    float* row = reading.embeddings + query * width;
    to_unit(row, width);
    for (std::size_t i = 0; i < width; ++i) embedding[i] += row[i];
  }
  to_unit(embedding, width);
}

}  // namespace lf
