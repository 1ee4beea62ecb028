#include "call.h"
#include "session.h"

using namespace lf;
using namespace lf::capi;

namespace {

// load(model, precision, allocator) -> bool reads the file.
template <class Load>
bool make_model(const lf_model_params* given, lf_model** out, Error& error, Load&& load) {
  lf_model_params params;
  lf_model_params_init(&params);
  if (given != nullptr) {
    if (!sized(given, "lf_model_params", error)) return false;
    params = *given;
  }
  if (!is_whole(params.allocator, error)) return false;
  if (params.precision < LF_PRECISION_FLOAT32 || params.precision > LF_PRECISION_INT8) {
    return fail(error, LF_ERROR_INVALID_ARGUMENT, "precision is %d, expected one of LF_PRECISION_", params.precision);
  }
  constexpr Precision kPrecisions[] = {Precision::f32, Precision::bf16, Precision::int8};
  Host host = params.allocator != nullptr ? Host(*params.allocator) : Host();
  void* memory = host.allocate(sizeof(lf_model), alignof(lf_model));
  if (memory == nullptr) throw std::bad_alloc();
  lf_model* model = new (memory) lf_model(host);
  bool good = false;
  try {
    good = load(model->model, kPrecisions[params.precision], model->host.allocator());
  } catch (...) {
    lf_model_release(model);
    throw;
  }
  if (good) {
    *out = model;
  } else {
    lf_model_release(model);
  }
  return good;
}

}  // namespace

extern "C" {

lf_status lf_model_params_init(lf_model_params* params) {
  if (params == nullptr) return LF_ERROR_INVALID_ARGUMENT;
  *params = {};
  params->struct_size = sizeof *params;
  params->precision = LF_PRECISION_FLOAT32;
  return LF_OK;
}

lf_status lf_model_load(const char* path, const lf_model_params* params, lf_model** model, lf_error* error) {
  return call(error, [&](Error& e) {
    return given(e, "path and model", path, model) &&
           make_model(params, model, e, [&](Model& made, Precision precision, const Allocator& allocator) {
             return made.open(path, precision, allocator, e);
           });
  });
}

lf_status lf_model_load_memory(const void* data, uint64_t bytes, const lf_model_params* params, lf_model** model,
                               lf_error* error) {
  return call(error, [&](Error& e) {
    return given(e, "data and model", data, model) &&
           make_model(params, model, e, [&](Model& made, Precision precision, const Allocator& allocator) {
             return made.read(data, static_cast<std::size_t>(bytes), precision, allocator, e);
           });
  });
}

void lf_model_retain(lf_model* model) {
  if (model != nullptr) model->owners.fetch_add(1, std::memory_order_relaxed);
}

void lf_model_release(lf_model* model) {
  if (model == nullptr || model->owners.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  Host host = model->host;
  model->~lf_model();
  host.release(model);
}

lf_status lf_model_get_info(const lf_model* model, lf_model_info* info, lf_error* error) {
  return call(error, [&](Error& e) {
    if (!given(e, "model", model) || !sized(info, "lf_model_info", e)) return false;
    const ModelSizes& sizes = model->model.sizes();
    info->bytes = model->host.bytes();
    info->frames_per_second = sizes.frames_per_second;
    info->max_frames = static_cast<std::int32_t>(kFramesPerToken * sizes.max_tokens);
    info->frames_per_token = static_cast<std::int32_t>(kFramesPerToken);
    info->condition_width = static_cast<std::int32_t>(sizes.condition_width);
    info->embedding_width = static_cast<std::int32_t>(sizes.embedding_width);
    info->feature_width = static_cast<std::int32_t>(sizes.features);
    info->makes_motions = sizes.makes_motions;
    info->reads_motions = sizes.reads_motions;
    info->predicts_lengths = sizes.predicts_lengths;
    return true;
  });
}

}  // extern "C"
