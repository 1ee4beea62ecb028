#include "generation.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace lf {

bool Generation::begin(const Model& model, Workspace& workspace, const Executor& executor,
                       const GenerationRequest& request, Error& error) noexcept {
  phase_ = Phase::none;
  model_ = &model;
  workspace_ = &workspace;
  executor_ = &executor;
  decoding_ = request.decoding;
  decodes_ = request.decodes;
  edge_ = decodes_ ? request.edge_tokens : 0;
  tokens_ = request.tokens;
  has_known_ = request.known != nullptr;
  if (!check(request, error)) return false;
  if (has_known_) std::copy_n(request.known, tokens_, workspace.ids_);

  if (request.condition != nullptr) {
    std::copy_n(request.condition, model.sizes_.condition_width, workspace.condition_);
    begin_drawing();
    return true;
  }
  ReadingRequest reading;
  reading.text = request.text;
  reading.text_bytes = request.text_bytes;
  reading.condition = workspace.condition_;
  if (!reading_.begin(model, workspace, executor, reading, error)) return false;
  phase_ = Phase::reading;
  return true;
}

bool Generation::check(const GenerationRequest& request, Error& error) const noexcept {
  const ModelSizes& sizes = model_->sizes_;
  const DecodingOptions& options = request.decoding;
  if (!sizes.makes_motions) return fail(error, status::unsupported, Model::kMakesNone);
  if (tokens_ == 0 && has_known_) {
    return fail(error, status::invalid_argument, "known tokens are given, but not how many there are");
  }
  if (tokens_ == 0 && !sizes.predicts_lengths) return fail(error, status::unsupported, Model::kPredictsNone);
  if (tokens_ > sizes.max_tokens) {
    return fail(error, status::invalid_argument, "%zu tokens are wanted, expected 1 to %zu", tokens_, sizes.max_tokens);
  }
  if ((tokens_ == 0 ? sizes.max_tokens : tokens_) + 2 * edge_ > workspace_->max_tokens_) {
    return fail(error, status::invalid_argument,
                "%zu tokens at either end are decoded besides, the workspace has %zu in all", edge_,
                workspace_->max_tokens_);
  }
  if (options.steps < 1 || options.steps > std::numeric_limits<std::uint32_t>::max() - 1) {
    return fail(error, status::invalid_argument, "the number of steps is %zu, expected at least 1", options.steps);
  }
  if (!std::isfinite(options.guidance_scale) || !(options.temperature > 0) || !std::isfinite(options.temperature)) {
    return fail(error, status::invalid_argument,
                "the guidance scale is %g and the temperature %g, expected finite numbers, the latter above 0",
                static_cast<double>(options.guidance_scale), static_cast<double>(options.temperature));
  }
  if (options.top_k > sizes.codes) {
    return fail(error, status::invalid_argument, "top_k is %zu, expected 1 to %zu", options.top_k, sizes.codes);
  }
  if (request.condition == nullptr && request.text == nullptr) {
    return fail(error, status::invalid_argument, "a text or its condition is needed");
  }
  return !has_known_ || model_->check_known(request.known, tokens_, error);
}

void Generation::begin_drawing() noexcept {
  Workspace& workspace = *workspace_;
  if (tokens_ == 0) {
    tokens_ = model_->length_.predict(*executor_, workspace.reading_.length, workspace.condition_);
    tokens_ = std::min(tokens_, model_->sizes_.max_tokens);
  }
  if (!has_known_) std::fill_n(workspace.ids_, tokens_, static_cast<std::int64_t>(model_->sizes_.codes));
  model_->generator_.begin(*executor_, workspace.drawing_, decoding_, workspace.condition_, workspace.ids_, tokens_);
  phase_ = Phase::drawing;
}

void Generation::pause(std::int64_t* ids, float* condition) noexcept {
  std::copy_n(workspace_->ids_, tokens_, ids);
  std::copy_n(workspace_->condition_, model_->sizes_.condition_width, condition);
  step_ = workspace_->drawing_.step;
  wanted_ = workspace_->drawing_.wanted;
}

void Generation::resume(const std::int64_t* ids, const float* condition) noexcept {
  std::copy_n(ids, tokens_, workspace_->ids_);
  std::copy_n(condition, model_->sizes_.condition_width, workspace_->condition_);
  model_->generator_.begin(*executor_, workspace_->drawing_, decoding_, condition, ids, tokens_);
  workspace_->drawing_.step = step_;
  workspace_->drawing_.wanted = wanted_;
}

void Generation::begin_decoding() noexcept {
  std::int64_t* const ids = workspace_->ids_;
  std::memmove(ids + edge_, ids, tokens_ * sizeof *ids);
  std::fill_n(ids, edge_, ids[edge_]);
  std::fill_n(ids + edge_ + tokens_, edge_, ids[edge_ + tokens_ - 1]);
  model_->decoder_.begin(workspace_->decoding_, ids, tokens_ + 2 * edge_);
  phase_ = Phase::decoding;
}

bool Generation::advance() noexcept {
  Workspace& workspace = *workspace_;
  const Executor& executor = *executor_;
  switch (phase_) {
    case Phase::reading: {
      if (reading_.advance()) break;
      Error none;  // a text cannot fail any more
      reading_.finish(none);
      begin_drawing();
      break;
    }
    case Phase::drawing:
      if (model_->generator_.advance(executor, workspace.drawing_, workspace.first_step_, workspace.ids_)) break;
      if (decodes_) {
        begin_decoding();
      } else {
        phase_ = Phase::done;
      }
      break;
    case Phase::decoding:
      if (model_->decoder_.advance(executor, workspace.decoding_, workspace.features_)) break;
      model_->to_units(workspace.features_, (tokens_ + 2 * edge_) * kFramesPerToken);
      phase_ = Phase::done;
      break;
    case Phase::none:
    case Phase::done:
      break;
  }
  return phase_ != Phase::none && phase_ != Phase::done;
}

float Generation::progress() const noexcept {
  switch (phase_) {
    case Phase::drawing:
      return 0.05f + 0.9f * static_cast<float>(workspace_->drawing_.step) / static_cast<float>(decoding_.steps);
    case Phase::decoding:
      return 0.95f;
    case Phase::done:
      return 1.0f;
    default:
      return 0.0f;
  }
}

}  // namespace lf
