#include <cstring>
#include <memory>
#include <new>

#include "../include/lamp_fast_cuda.h"
#include "codebook_lookup.h"
#include "decode_step.h"
#include "generator.h"
#include "model_file.h"
#include "runtime.h"

struct lf_cuda_generator {
  lf::cuda::Generator generator;
  lf::cuda::Decoder decoder;
};

struct lf_cuda_plan {
  lf::cuda::Plan plan;
};

namespace {

using lf::Error;
using lf::fail;
namespace cuda = lf::cuda;
namespace status = lf::status;

static_assert(LF_CUDA_ERROR_NO_DEVICE == status::no_device && LF_CUDA_ERROR_DEVICE == status::device, "one numbering");

// body(Error&) -> bool, behind a border that nothing crosses.
template <typename Body>
std::int32_t guarded(lf_cuda_error* out, Body body) noexcept {
  Error error;
  bool good = false;
  try {
    good = body(error);
  } catch (const std::bad_alloc&) {
    fail(error, status::out_of_memory, "The host's memory does not suffice.");
  } catch (...) {
    fail(error, status::device, "An error that should not be possible; please report it.");
  }
  if (good) return status::ok;
  if (out != nullptr) {
    out->status = error.status;
    std::memcpy(out->text, error.text, sizeof out->text);
  }
  return error.status;
}

template <typename Struct>
bool fits(const Struct* given, Error& error) {
  if (given == nullptr) return fail(error, status::invalid_argument, "A struct is missing: a pointer is NULL.");
  return given->struct_size == sizeof(Struct) ||
         fail(error, LF_CUDA_ERROR_STRUCT_SIZE, "struct_size is %llu, expected %llu; set it to sizeof the struct.",
              static_cast<unsigned long long>(given->struct_size), static_cast<unsigned long long>(sizeof(Struct)));
}

bool present(const char* what, const void* pointer, Error& error) {
  return pointer != nullptr || fail(error, status::invalid_argument, "%s is NULL.", what);
}

bool known_numbers(std::int32_t numbers, Error& error) {
  return numbers == LF_CUDA_FLOAT32 || numbers == LF_CUDA_BFLOAT16 ||
         fail(error, status::invalid_argument, "numbers is %d; give LF_CUDA_FLOAT32 or LF_CUDA_BFLOAT16.", numbers);
}

bool create(lf::ModelFile& file, std::int32_t numbers, lf_cuda_generator** generator, Error& error) {
  if (!file.makes_motions) {
    return fail(error, status::unsupported, "This model file has no generator; export a model that makes motions.");
  }
  std::unique_ptr<lf_cuda_generator> made(new lf_cuda_generator);
  const cuda::Numbers wanted = numbers == LF_CUDA_BFLOAT16 ? cuda::Numbers::bf16 : cuda::Numbers::f32;
  if (!made->generator.create(file.generator, wanted, error) || !made->decoder.create(file, wanted, error))
    return false;
  *generator = made.release();
  return true;
}

}  // namespace

extern "C" {

int32_t lf_cuda_find_device(lf_cuda_error* error) {
  return guarded(error, [](Error& e) { return cuda::find_device(e); });
}

int32_t lf_cuda_use_device(int32_t device, lf_cuda_error* error) {
  return guarded(error, [=](Error& e) { return cuda::use_device(device, e); });
}

uint64_t lf_cuda_codebook_lookup_workspace(int64_t rows, int32_t codes, int32_t width) {
  cuda::CodebookLookup p;
  p.rows = rows, p.codes = codes, p.width = width;
  return rows > 0 && codes > 0 && width > 0 ? cuda::workspace_bytes(p) : 0;
}

int32_t lf_cuda_codebook_lookup(const float* x, int64_t rows, const float* codebook, int32_t codes, int32_t width,
                                int64_t* indices, void* workspace, void* stream, lf_cuda_error* error) {
  return guarded(error, [=](Error& e) {
    if (rows == 0) return true;
    if (rows < 0 || rows > 1ll << 36 || codes < 1 || width < 1) {
      return fail(e, status::invalid_argument,
                  "%lld rows, %d codes and a width of %d cannot be; each must be positive.",
                  static_cast<long long>(rows), codes, width);
    }
    cuda::CodebookLookup p;
    p.x = x, p.codebook = codebook, p.rows = rows, p.codes = codes, p.width = width;
    p.indices = indices, p.workspace = workspace;
    return present("x", x, e) && present("codebook", codebook, e) && present("indices", indices, e) &&
           present("workspace", workspace, e) && cuda::run(p, stream, e);
  });
}

int32_t lf_cuda_decode_step(const lf_cuda_decode_step_params* params, void* stream, lf_cuda_error* error) {
  return guarded(error, [=](Error& e) {
    if (!fits(params, e) || !known_numbers(params->logits_numbers, e)) return false;
    const lf_cuda_decode_step_params& given = *params;
    if (given.samples == 0 || given.positions == 0) return true;
    if (given.samples < 0 || given.samples > 65535 || given.positions < 0 || given.codes < 1 || given.scored < 1 ||
        given.scored > given.positions) {
      return fail(e, status::invalid_argument,
                  "%d samples (at most 65535), %d positions, %d codes, %d scored do not fit.", given.samples,
                  given.positions, given.codes, given.scored);
    }
    if (given.top_k < 1 || given.top_k > given.codes || !(given.temperature > 0)) {
      return fail(e, status::invalid_argument, "temperature must be positive and top_k 1 to %d.", given.codes);
    }
    cuda::DecodeStep p;
    p.logits = given.logits, p.unconditional = given.unconditional;
    p.ids = given.ids, p.next_count = given.next_count, p.seeds = given.seeds, p.samples_of = given.sample_numbers;
    p.noise = given.noise, p.out_ids = given.out_ids, p.confidence = given.confidence, p.arrivals = given.arrivals;
    p.samples = given.samples, p.positions = given.positions, p.codes = given.codes, p.scored = given.scored;
    p.logits_stride = given.codes, p.step = given.step;
    p.options = {given.guidance_scale, given.temperature, given.top_k};
    const bool whole =
        present("logits", p.logits, e) && present("ids", p.ids, e) && present("next_count", p.next_count, e) &&
        (p.noise != nullptr || (present("seeds", p.seeds, e) && present("sample_numbers", p.samples_of, e))) &&
        present("out_ids", p.out_ids, e) && present("confidence", p.confidence, e) &&
        present("arrivals", p.arrivals, e);
    if (!whole) return false;
    return given.logits_numbers == LF_CUDA_BFLOAT16 ? cuda::run<cuda::bf16>(p, stream, false, e)
                                                    : cuda::run<float>(p, stream, false, e);
  });
}

int32_t lf_cuda_generator_create(const void* file, uint64_t bytes, int32_t numbers, lf_cuda_generator** generator,
                                 lf_cuda_error* error) {
  return guarded(error, [=](Error& e) {
    lf::ModelFile model;
    return present("file", file, e) && present("generator", generator, e) && known_numbers(numbers, e) &&
           cuda::find_device(e) &&
           lf::ModelFile::read(file, static_cast<std::size_t>(bytes), lf::system_allocator(), model, e) &&
           create(model, numbers, generator, e);
  });
}

int32_t lf_cuda_generator_open(const char* path, int32_t numbers, lf_cuda_generator** generator, lf_cuda_error* error) {
  return guarded(error, [=](Error& e) {
    lf::ModelFile model;
    return present("path", path, e) && present("generator", generator, e) && known_numbers(numbers, e) &&
           cuda::find_device(e) && lf::ModelFile::open(path, lf::system_allocator(), model, e) &&
           create(model, numbers, generator, e);
  });
}

void lf_cuda_generator_destroy(lf_cuda_generator* generator) { delete generator; }

int32_t lf_cuda_generator_get_info(const lf_cuda_generator* generator, lf_cuda_generator_info* info,
                                   lf_cuda_error* error) {
  return guarded(error, [=](Error& e) {
    if (!present("generator", generator, e) || !fits(info, e)) return false;
    info->codes = generator->generator.codes;
    info->max_tokens = generator->generator.max_tokens;
    info->condition_width = generator->generator.condition_width;
    info->features = generator->decoder.features;
    info->joints = generator->decoder.joints;
    info->frames_of_token = 1 << generator->decoder.stages.size();
    info->bytes = generator->generator.memory.bytes() + generator->decoder.memory.bytes();
    return true;
  });
}

int32_t lf_cuda_generator_prepare(const lf_cuda_generator* generator, const lf_cuda_plan_params* params,
                                  lf_cuda_plan** plan, lf_cuda_error* error) {
  return guarded(error, [=](Error& e) {
    if (!present("generator", generator, e) || !present("plan", plan, e) || !fits(params, e)) return false;
    std::unique_ptr<lf_cuda_plan> made(new lf_cuda_plan);
    const cuda::PlanShape shape{params->samples, params->tokens, params->steps, params->guided != 0,
                                params->dependent_launch != 0};
    const cuda::Decoder* const decoder = params->decodes != 0 ? &generator->decoder : nullptr;
    if (!made->plan.create(generator->generator, decoder, shape, e)) return false;
    *plan = made.release();
    return true;
  });
}

void lf_cuda_plan_destroy(lf_cuda_plan* plan) { delete plan; }

uint64_t lf_cuda_plan_bytes(const lf_cuda_plan* plan) { return plan == nullptr ? 0 : plan->plan.bytes(); }

int32_t lf_cuda_plan_launch(lf_cuda_plan* plan, const lf_cuda_request* request, void* stream, lf_cuda_error* error) {
  return guarded(error, [=](Error& e) {
    if (!present("plan", plan, e) || !fits(request, e)) return false;
    cuda::Begin p;
    p.condition = request->condition, p.known = request->known, p.lengths = request->lengths, p.seeds = request->seeds;
    p.samples_of = request->sample_numbers;
    const int top_k = request->top_k == 0 ? (plan->plan.codes() + 9) / 10 : request->top_k;
    p.options = {request->guidance_scale, request->temperature, top_k};
    return plan->plan.launch(p, {request->ids, request->features, request->joints}, stream, e);
  });
}

}  // extern "C"
