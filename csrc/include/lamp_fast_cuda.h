/*
 * lamp_fast_cuda: what lamp_fast has for NVIDIA GPUs, for programs that hold their data there already. Plain C99;
 * pointers are the device's unless a comment says otherwise, and a stream is a cudaStream_t (NULL: the default one).
 * The library carries its own CUDA runtime, loads where there is no driver, and then says so.
 *
 * A call returns 0, or a negative status as lamp_fast.h numbers them, and a sentence in `error`, which may be NULL.
 * What is launched runs behind what the stream holds; only calls that create something wait for the GPU. Everything
 * happens on the device that is current for the calling thread.
 */
#ifndef LAMP_FAST_CUDA_H
#define LAMP_FAST_CUDA_H

#include <stdint.h>

#if defined(LF_CUDA_STATIC)
#define LF_CUDA_API
#elif defined(_WIN32)
#if defined(LF_CUDA_BUILDING_LIBRARY)
#define LF_CUDA_API __declspec(dllexport)
#else
#define LF_CUDA_API __declspec(dllimport)
#endif
#else
#define LF_CUDA_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum {
  LF_CUDA_OK = 0,
  LF_CUDA_ERROR_INVALID_ARGUMENT = -1,
  LF_CUDA_ERROR_OUT_OF_MEMORY = -3,
  LF_CUDA_ERROR_FILE = -4,
  LF_CUDA_ERROR_FORMAT = -5,
  LF_CUDA_ERROR_UNSUPPORTED = -6,
  LF_CUDA_ERROR_STRUCT_SIZE = -8,
  LF_CUDA_ERROR_NO_DEVICE = -16, /* no GPU, or no driver for it */
  LF_CUDA_ERROR_DEVICE = -17     /* the GPU reported an error */
};

typedef struct lf_cuda_error {
  int32_t status;
  char text[256];
} lf_cuda_error;

/* Whether there is a GPU that can be used: of compute capability 8.0 or newer. */
LF_CUDA_API int32_t lf_cuda_find_device(lf_cuda_error* error);

/* Makes a device the current one of the calling thread, as cudaSetDevice does. */
LF_CUDA_API int32_t lf_cuda_use_device(int32_t device, lf_cuda_error* error);

/* ---- Codebook lookup -------------------------------------------------------------------------------------------- */

/* Bytes of workspace that a lookup of these sizes needs. */
LF_CUDA_API uint64_t lf_cuda_codebook_lookup_workspace(int64_t rows, int32_t codes, int32_t width);

/*
 * indices[m] = the code nearest to x[m] by squared Euclidean distance, the lowest of equally near ones; of a row that
 * is not finite, some index in range. x (rows, width), codebook (codes, width), indices (rows), contiguous; workspace
 * aligned to 16.
 */
LF_CUDA_API int32_t lf_cuda_codebook_lookup(const float* x, int64_t rows, const float* codebook, int32_t codes,
                                            int32_t width, int64_t* indices, void* workspace, void* stream,
                                            lf_cuda_error* error);

/* ---- One step of masked decoding -------------------------------------------------------------------------------- */

enum { LF_CUDA_FLOAT32 = 0, LF_CUDA_BFLOAT16 = 1 };

typedef struct lf_cuda_decode_step_params {
  uint64_t struct_size;
  const void* logits;        /* (samples, scored, codes); with scored < positions row r is the r-th masked position's */
  const void* unconditional; /* the same, or NULL: then logits are not guided */
  int32_t logits_numbers;    /* LF_CUDA_FLOAT32 or LF_CUDA_BFLOAT16, of both */
  int32_t samples, positions, codes, scored;
  uint32_t step;
  const int64_t* ids;        /* (samples, positions), `codes` where a code is wanted */
  const int64_t* next_count; /* (samples): how many of them are masked again */
  const int64_t* seeds;      /* (samples), with sample_numbers and step what the noise is made of */
  const int64_t* sample_numbers;
  const float* noise; /* (samples, positions, codes) in [0, 1), or NULL: Philox */
  float guidance_scale, temperature;
  int32_t top_k;
  int32_t reserved;
  int64_t* out_ids;  /* (samples, positions), not `ids` */
  float* confidence; /* (samples, positions) */
  int32_t* arrivals; /* (samples) of zeros, and zeros again at the end; one for each launch under way */
} lf_cuda_decode_step_params;

LF_CUDA_API int32_t lf_cuda_decode_step(const lf_cuda_decode_step_params* params, void* stream, lf_cuda_error* error);

/* ---- A whole request, from its condition to its joints ---------------------------------------------------------- */

/* Generator and decoder of a model file in the GPU's memory; immutable, may be used by any number of plans. */
typedef struct lf_cuda_generator lf_cuda_generator;

/*
 * numbers: what weights and activations are, LF_CUDA_FLOAT32 or LF_CUDA_BFLOAT16; sums are float32. file: of `lamp-fast
 * export native`, in the host's memory, not needed afterwards; or path, in UTF-8.
 */
LF_CUDA_API int32_t lf_cuda_generator_create(const void* file, uint64_t bytes, int32_t numbers,
                                             lf_cuda_generator** generator, lf_cuda_error* error);
LF_CUDA_API int32_t lf_cuda_generator_open(const char* path, int32_t numbers, lf_cuda_generator** generator,
                                           lf_cuda_error* error);
/* After its plans. NULL is left alone. */
LF_CUDA_API void lf_cuda_generator_destroy(lf_cuda_generator* generator);

typedef struct lf_cuda_generator_info {
  uint64_t struct_size;
  int32_t codes, max_tokens, condition_width;
  int32_t features, joints, frames_of_token;
  uint64_t bytes; /* of the GPU's memory that it holds */
} lf_cuda_generator_info;
LF_CUDA_API int32_t lf_cuda_generator_get_info(const lf_cuda_generator* generator, lf_cuda_generator_info* info,
                                               lf_cuda_error* error);

/* Everything that one shape of request needs: memory, and all its launches as one CUDA graph. */
typedef struct lf_cuda_plan lf_cuda_plan;

typedef struct lf_cuda_plan_params {
  uint64_t struct_size;
  int32_t samples, tokens;
  int32_t steps;            /* 0: the known tokens, any number of them, are decoded as they are */
  int32_t guided;           /* 0: without the unconditional branch; guidance_scale then counts for nothing */
  int32_t dependent_launch; /* not 0: kernels begin before those in front of them end, from capability 9.0 on */
  int32_t decodes;          /* not 0: on to features and joints */
} lf_cuda_plan_params;

LF_CUDA_API int32_t lf_cuda_generator_prepare(const lf_cuda_generator* generator, const lf_cuda_plan_params* params,
                                              lf_cuda_plan** plan, lf_cuda_error* error);
LF_CUDA_API void lf_cuda_plan_destroy(lf_cuda_plan* plan);
/* Of the GPU's memory that the plan holds. */
LF_CUDA_API uint64_t lf_cuda_plan_bytes(const lf_cuda_plan* plan);

typedef struct lf_cuda_request {
  uint64_t struct_size;
  const float* condition;        /* (samples, condition_width); without steps neither this nor seeds are read */
  const int64_t* known;          /* (samples, tokens), `codes` where a token is wanted; NULL: everywhere */
  const int64_t* lengths;        /* (samples), in tokens; NULL: all of them */
  const int64_t* seeds;          /* (samples) */
  const int64_t* sample_numbers; /* (samples), tell apart samples of one seed; NULL: 0, 1, ... */
  float guidance_scale, temperature;
  int32_t top_k; /* 0: a tenth of the codes, rounded up */
  int32_t reserved;
  /* Results; each may be NULL. Frames are frames_of_token for each token, zeros at and beyond a length. */
  int64_t* ids;    /* (samples, tokens): codes, codes + 1 beyond a length */
  float* features; /* (samples, frames, features), in the data set's units */
  float* joints;   /* (samples, frames, joints, 3), in metres */
} lf_cuda_request;

/* One launch of a plan at a time: the next one goes to the same stream, or waits for it. */
LF_CUDA_API int32_t lf_cuda_plan_launch(lf_cuda_plan* plan, const lf_cuda_request* request, void* stream,
                                        lf_cuda_error* error);

#ifdef __cplusplus
}
#endif

#endif
