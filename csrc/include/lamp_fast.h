/*
 * lamp_fast: human motion from words, for programs that have no Python. Plain C99; docs/embedding.md is the guide.
 *
 *   lf_model    a model file, loaded once; immutable, counted, shared by all sessions
 *   lf_session  one worker with all the memory that it needs, and a queue of requests
 *   lf_request  a ticket of that queue: submit, poll, take the result, release
 *   lf_stream   the playing buffer of one character: append prompts, sample a pose in every frame of the game
 *
 * Threads. Every function may be called from any thread at any time, but for three things: a stream is sampled by one
 * thread at a time; whoever destroys or releases an object makes sure that nobody else still uses it; and callbacks,
 * which run on the thread that works, must not call what waits: lf_generate, lf_encode_prompt, lf_embed_text,
 * lf_embed_motion, lf_session_pump, lf_session_destroy.
 * lf_request_poll, _cancel and _result, lf_stream_sample and lf_stream_get_info are wait-free; polling and cancelling
 * may even meet a release. Once a session is created, nothing allocates.
 *
 * Structs. A struct that begins with struct_size must hold its own size there. lf_..._params_init fills it in with the
 * defaults, elsewhere the caller does: lf_pose pose = {.struct_size = sizeof pose}. New fields come at the end only.
 * A library refuses a size that it does not know, such as a later header's, with LF_ERROR_STRUCT_SIZE; it knows those
 * of all headers before its own with the same LF_ABI_VERSION.
 *
 * Errors. A call returns a status; where it takes an lf_error, that receives one sentence about what was wrong (and is
 * left alone on success); it may be NULL. Nothing is printed, thrown or aborted. A call that fails leaves its outputs
 * as they were unless its comment says otherwise.
 *
 * Units. Seconds, radians, frames; lengths and axes as the session's params say. Quaternions are x, y, z, w.
 * Text is UTF-8, ended by a zero byte.
 */
#ifndef LAMP_FAST_H
#define LAMP_FAST_H

#include <stdint.h>

#if defined(LF_STATIC)
#define LF_API
#elif defined(_WIN32)
#if defined(LF_BUILDING_LIBRARY)
#define LF_API __declspec(dllexport)
#else
#define LF_API __declspec(dllimport)
#endif
#else
#define LF_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Versions and statuses ------------------------------------------------------------------------------------- */

/* Grows when a declared function, constant or field changes its meaning; additions leave it as it is. */
#define LF_ABI_VERSION 1

/* The LF_ABI_VERSION that the loaded library was built with. */
LF_API uint32_t lf_abi_version(void);

/* The library's version, such as "0.1.0"; valid as long as the library is loaded. */
LF_API const char* lf_version(void);

/* 0 is success, positive values tell how things stand, negative values are errors. */
typedef int32_t lf_status;
enum {
  LF_OK = 0,
  LF_PENDING = 1,  /* not done yet */
  LF_UNDERRUN = 2, /* the stream has no frame for that time; the pose is held */

  LF_ERROR_INVALID_ARGUMENT = -1, /* NULL, or a number out of its range */
  LF_ERROR_NOT_FINITE = -2,       /* NaN or an infinity among the numbers given */
  LF_ERROR_OUT_OF_MEMORY = -3,    /* the allocator gave none, or the arena is too small */
  LF_ERROR_FILE = -4,             /* the file cannot be opened or read */
  LF_ERROR_FORMAT = -5,           /* what was read is no model file, or a damaged one */
  LF_ERROR_UNSUPPORTED = -6,      /* a model file of another version, or a model without the part that is needed */
  LF_ERROR_TEXT = -7,             /* a text that the model cannot read: not UTF-8, empty, too long, no known word */
  LF_ERROR_STRUCT_SIZE = -8,      /* a struct_size that this library does not know */
  LF_ERROR_TOO_LONG = -9,         /* more frames than the model or the stream takes */
  LF_ERROR_TOO_SMALL = -10,       /* an array of the caller does not suffice */
  LF_ERROR_FULL = -11,            /* all requests or streams of the session are in use */
  LF_ERROR_NO_REQUEST = -12,      /* that request was released, or never was */
  LF_ERROR_CANCELLED = -13,       /* the request was cancelled */
  LF_ERROR_DEADLINE = -14,        /* the request was not done in the time that it had */
  LF_ERROR_INTERNAL = -15         /* a fault of the library; please report it */
};

/* One English sentence, valid as long as the library is loaded; never NULL, also for unknown values. */
LF_API const char* lf_status_string(lf_status status);

/* What was wrong with one call: one sentence, ended by a zero byte. */
typedef struct lf_error {
  lf_status status;
  char text[256];
} lf_error;

/* ---- What the program brings: memory, callbacks, threads ------------------------------------------------------- */

/*
 * Where memory comes from. allocate returns a block of at least that size, so aligned, or NULL. Both functions are
 * called while objects are made and freed, never in between, on the thread that makes or frees.
 */
typedef struct lf_allocator {
  void* (*allocate)(uint64_t bytes, uint64_t alignment, void* user_data);
  void (*release)(void* block, void* user_data);
  void* user_data;
} lf_allocator;

typedef int32_t lf_log_level;
enum { LF_LOG_INFO = 1, LF_LOG_WARNING = 2, LF_LOG_ERROR = 3 };

/* A request of a session; 0 is none. It is a number, so that a stale one is told from a live one. */
typedef uint64_t lf_request;

/*
 * Each may be NULL. They run on the thread that works (in LF_THREADING_CALLER the one that pumps), so they must be
 * short; text is valid during the call only.
 */
typedef struct lf_callbacks {
  void (*log)(lf_log_level level, const char* text, void* user_data);
  void (*progress)(lf_request request, float share, void* user_data); /* 0 to 1 */
  void (*done)(lf_request request, lf_status status, void* user_data);
  void* user_data;
} lf_callbacks;

/*
 * An engine's own parallel loop: calls run(context, i) once for every i below count, on whatever threads, and returns
 * when all have returned. Called by the thread that works.
 */
typedef void (*lf_parallel_for)(uint32_t count, void (*run)(void* context, uint32_t index), void* context,
                                void* user_data);

/* ---- Model ----------------------------------------------------------------------------------------------------- */

typedef struct lf_model lf_model;

/* The numbers that the big products are taken in: a question of speed and memory against accuracy. */
typedef int32_t lf_precision;
enum { LF_PRECISION_FLOAT32 = 0, LF_PRECISION_BFLOAT16 = 1, LF_PRECISION_INT8 = 2 };

typedef struct lf_model_params {
  uint64_t struct_size;
  const lf_allocator* allocator; /* copied; NULL: the library's own */
  lf_precision precision;        /* default LF_PRECISION_FLOAT32 */
  int32_t reserved;
} lf_model_params;

LF_API lf_status lf_model_params_init(lf_model_params* params);

/*
 * Reads a file of `lamp-fast export native`. Everything in it is checked before it is used, so any file may be given.
 * params may be NULL for the defaults. The model is freed by lf_model_release.
 * LF_ERROR_FILE, LF_ERROR_FORMAT, LF_ERROR_OUT_OF_MEMORY.
 */
LF_API lf_status lf_model_load(const char* path, const lf_model_params* params, lf_model** model, lf_error* error);

/* The same from memory, such as a file in an engine's own archive. The bytes are not needed afterwards. */
LF_API lf_status lf_model_load_memory(const void* data, uint64_t bytes, const lf_model_params* params, lf_model** model,
                                      lf_error* error);

/* A model begins with one owner. Sessions are owners, too; the last one to release it frees it. NULL is fine. */
LF_API void lf_model_retain(lf_model* model);
LF_API void lf_model_release(lf_model* model);

typedef struct lf_model_info {
  uint64_t struct_size;
  uint64_t bytes;           /* memory that the model holds */
  float frames_per_second;  /* of the motions that it makes */
  int32_t max_frames;       /* of one request */
  int32_t frames_per_token; /* lengths are rounded up to whole tokens inside */
  int32_t condition_width;  /* numbers of an encoded prompt, lf_encode_prompt */
  int32_t embedding_width;  /* numbers of an embedding for search, lf_embed_text; 0 where the model has none */
  int32_t feature_width;    /* numbers of a frame of lf_motion.features */
  int32_t makes_motions;    /* 1: lf_generate and streams work; 0: a model for search only */
  int32_t reads_motions;    /* 1: lf_embed_text and lf_embed_motion work */
  int32_t predicts_lengths; /* 1: LF_FRAMES_FROM_PROMPT works */
  int32_t reserved;
} lf_model_info;

LF_API lf_status lf_model_get_info(const lf_model* model, lf_model_info* info, lf_error* error);

/* ---- Session --------------------------------------------------------------------------------------------------- */

typedef struct lf_session lf_session;

/* Where the axes point. All are turned into each other by exchanging axes and signs, nothing else. */
typedef int32_t lf_coordinates;
enum {
  LF_COORDINATES_GLTF = 0,   /* right-handed, Y up, facing +Z; also Godot */
  LF_COORDINATES_UNITY = 1,  /* left-handed, Y up, facing +Z */
  LF_COORDINATES_UNREAL = 2, /* left-handed, Z up, facing +Y, as its mannequin does */
  LF_COORDINATES_BLENDER = 3 /* right-handed, Z up, facing -Y */
};

/* What poses are relative to. */
typedef int32_t lf_root_mode;
enum {
  LF_ROOT_IN_POSE = 0, /* positions and the first joint's rotation are in the space where the motion starts */
  LF_ROOT_SEPARATE = 1 /* they are relative to the root, which walks along the ground: root motion */
};

/* The same body, with or without joints to spare. */
typedef int32_t lf_skeleton;
enum {
  LF_SKELETON_EXACT = 0, /* 27 joints: one more wherever hips, spine or shoulders swing on their own */
  LF_SKELETON_PLAIN = 1  /* 22 joints: those of HumanML3D; hips and chest are rigid. (KIT-ML: 26 and 21) */
};

typedef int32_t lf_threading;
enum {
  LF_THREADING_WORKER = 0, /* the session has a thread of its own */
  LF_THREADING_CALLER = 1  /* nothing happens but in lf_session_pump */
};

typedef struct lf_session_params {
  uint64_t struct_size;
  const lf_allocator* allocator; /* copied; NULL: the library's own */
  void* arena;                   /* in place of an allocator: lf_session_memory tells how much; see there */
  uint64_t arena_bytes;
  lf_callbacks callbacks;
  lf_parallel_for parallel_for; /* NULL: the library's own threads */
  void* parallel_for_user_data;
  lf_threading threading;     /* default LF_THREADING_WORKER */
  int32_t threads;            /* how many work on a request, default 1; results do not depend on it */
  lf_coordinates coordinates; /* default LF_COORDINATES_GLTF */
  float units_per_metre;      /* 1, or 100 where a unit is a centimetre; 0, the default: 100 for Unreal, else 1 */
  lf_root_mode root_mode;     /* default LF_ROOT_IN_POSE */
  lf_skeleton skeleton;       /* default LF_SKELETON_EXACT */
  int32_t max_requests;       /* that are not released yet, default 8, at most 64 */
  int32_t max_streams;        /* default 4, at most 1024 */
  float stream_seconds;       /* how much motion a stream can hold, default 30 */
  int32_t reserved;
} lf_session_params;

LF_API lf_status lf_session_params_init(lf_session_params* params);

/* The size and alignment of the arena that a session of these params needs. */
LF_API lf_status lf_session_memory(lf_model* model, const lf_session_params* params, uint64_t* bytes,
                                   uint64_t* alignment, lf_error* error);

/*
 * Makes a session, with all the memory that it will ever use and, if asked for, its thread. An arena belongs to the
 * session until it is destroyed. params may be NULL for the defaults.
 */
LF_API lf_status lf_session_create(lf_model* model, const lf_session_params* params, lf_session** session,
                                   lf_error* error);

/* Ends its thread after at most one stage of work, and frees it with its streams. NULL is fine. */
LF_API void lf_session_destroy(lf_session* session);

/*
 * LF_THREADING_CALLER: works for about that long (one stage more at most, a fraction of a millisecond for a model of
 * the size of lamp-mini; 0: one stage), on the calling thread.
 * LF_OK when nothing is left to do, LF_PENDING when there is, also when another thread is pumping. Sessions that work
 * on a thread of their own answer LF_ERROR_INVALID_ARGUMENT.
 */
LF_API lf_status lf_session_pump(lf_session* session, uint64_t max_microseconds);

/* One joint of the skeleton, in the session's axes and unit. */
typedef struct lf_joint {
  uint64_t struct_size;
  char name[32];
  int32_t parent; /* -1 for the first; a parent stands before its children */
  float rest[3];  /* where it is, seen from its parent, in the rest pose: a T-pose in which no joint is rotated */
} lf_joint;

LF_API int32_t lf_session_joint_count(const lf_session* session);

/* LF_ERROR_INVALID_ARGUMENT for an index out of 0 .. lf_session_joint_count - 1. */
LF_API lf_status lf_session_joint(const lf_session* session, int32_t index, lf_joint* joint, lf_error* error);

typedef struct lf_stats {
  uint64_t struct_size;
  uint64_t bytes;                /* memory that the session holds */
  uint64_t requests_done;        /* with success */
  uint64_t requests_failed;      /* all others, cancelled ones among them */
  uint64_t microseconds_last;    /* work for the last request that was done, waiting not counted */
  uint64_t microseconds_longest; /* the longest of them */
  int32_t requests_waiting;      /* submitted and not done */
  int32_t threads;               /* that work on a request */
  char instructions[24];         /* the instruction set in use, such as "avx512_vnni_bf16" */
} lf_stats;

LF_API lf_status lf_session_get_stats(const lf_session* session, lf_stats* stats, lf_error* error);

/* ---- Motions --------------------------------------------------------------------------------------------------- */

#define LF_FRAMES_FROM_PROMPT (-1)

/*
 * What is wanted. A prompt, or a prompt encoded earlier by lf_encode_prompt, which needs no text model at run time.
 *
 * before, after: frames to be kept, positions (frames, joints, 3) in the session's space (not relative to a root): the
 * motion begins or ends with exactly these, and what lies between them is made. Both of them together, and something
 * between, make up frames.
 */
typedef struct lf_generate_params {
  uint64_t struct_size;
  const char* prompt;
  const float* condition; /* condition_width numbers; prompt is NULL then */
  int32_t frames;         /* how long, 1 to max_frames, or LF_FRAMES_FROM_PROMPT; default 80 */
  int32_t steps;          /* how often the model is asked, default 10 */
  float guidance;         /* how strongly the words steer, default 4; 1 is without guidance, and twice as fast */
  float temperature;      /* default 1; less is more usual */
  int32_t top_k;          /* how many codes may be drawn; 0, the default: a tenth of them */
  int32_t before_frames;
  const float* before;
  const float* after;
  int32_t after_frames;
  int32_t reserved;
  uint64_t seed;                  /* equal params and seed give equal bits, on any number of threads */
  uint64_t deadline_microseconds; /* from submission on; 0, the default: none */
} lf_generate_params;

LF_API lf_status lf_generate_params_init(lf_generate_params* params);

/*
 * A motion in arrays of the caller; NULL where something is not wanted. frames tells how many came; if
 * frame_capacity is less, the call fails with LF_ERROR_TOO_SMALL, and frames tells how many there are.
 */
typedef struct lf_motion {
  uint64_t struct_size;
  int32_t frame_capacity;
  int32_t frames;
  float* positions;      /* (frames, joints, 3) as the model made them: bones vary by about a centimetre */
  float* rotations;      /* (frames, joints, 4) relative to the parent's, continuous in time; they turn the rest pose */
  float* root_positions; /* (frames, 3) on the ground below the first joint */
  float* root_rotations; /* (frames, 4) about the vertical only */
  float* contacts;       /* (frames, 4) 1 where left ankle, left toes, right ankle, right toes stand still, else 0 */
  float* features;       /* (frames, feature_width) as the model made them, not in the session's space */
  int32_t* tokens;       /* (frames / frames_per_token, rounded up); not written where frames are kept */
} lf_motion;

/*
 * Makes a motion and waits for it. In LF_THREADING_CALLER it pumps until then.
 * LF_ERROR_TEXT, LF_ERROR_TOO_LONG, LF_ERROR_NOT_FINITE, LF_ERROR_FULL, LF_ERROR_UNSUPPORTED, LF_ERROR_DEADLINE.
 */
LF_API lf_status lf_generate(lf_session* session, const lf_generate_params* params, lf_motion* motion, lf_error* error);

/* The prompt as lf_generate_params.condition takes it: condition_width numbers. Waits as lf_generate does. */
LF_API lf_status lf_encode_prompt(lf_session* session, const char* prompt, float* condition, lf_error* error);

/* ---- Requests: motions without waiting ------------------------------------------------------------------------- */

/*
 * Puts a request into the queue and returns. Everything in params is copied. One is worked on at a time, the one that
 * is due first: a segment of a stream when the stream's committed motion ends, any other one 2 s after it was submitted
 * and the last such one was done, both at their deadline if that is sooner; of equals the one that was submitted first.
 * A more urgent one interrupts another between two of its steps; that one goes on afterwards, to the same bits.
 * Errors that need the model, such as an unknown word, come from lf_request_result.
 */
LF_API lf_status lf_request_submit(lf_session* session, const lf_generate_params* params, lf_request* request,
                                   lf_error* error);

/* LF_PENDING, LF_OK when the result is there, or why there will be none. share, or NULL: of the work done, 0 to 1. */
LF_API lf_status lf_request_poll(lf_session* session, lf_request request, float* share);

/* Asks the work to stop, between two stages at the latest; the request is released as any other. Done stays done. */
LF_API lf_status lf_request_cancel(lf_session* session, lf_request request);

/* Copies the result, as often as wanted; LF_PENDING if there is none yet, or the request's own error. */
LF_API lf_status lf_request_result(lf_session* session, lf_request request, lf_motion* motion, lf_error* error);

/*
 * Gives the request back; one that is not done is cancelled, and its place is free when the session works next.
 * Afterwards its number means nothing.
 */
LF_API lf_status lf_request_release(lf_session* session, lf_request request);

/* ---- Streams: a character that goes on moving ------------------------------------------------------------------ */

typedef struct lf_stream lf_stream;

typedef struct lf_stream_params {
  uint64_t struct_size;
  float position[3];    /* where the character starts, on the ground, in the session's space; default 0, 0, 0 */
  float heading;        /* and where it faces: radians about the upward axis; default 0 */
  int32_t blend_frames; /* in which what differs where two segments meet fades away, and a held body gathers speed;
                           default 8, at most 100 */
  float idle_seconds; /* in which a body without frames comes to stand at ease; for that it slows down in advance, when
                         blend_frames / 2 are left. 0, the default: it plays all at full speed and holds its pose */
} lf_stream_params;   /* numbers within 1e6 */

LF_API lf_status lf_stream_params_init(lf_stream_params* params);

/*
 * params may be NULL for the defaults. Ends by lf_stream_destroy, or with its session.
 * LF_ERROR_FULL when max_streams are in use.
 */
LF_API lf_status lf_stream_create(lf_session* session, const lf_stream_params* params, lf_stream** stream,
                                  lf_error* error);

/* Cancels what was appended and is not done, and returns at once; requests are still to be released. NULL is fine. */
LF_API void lf_stream_destroy(lf_stream* stream);

/*
 * What the character does next: frames more of this prompt, in whole tokens, made to go on from where the stream ends.
 * Frames once committed never change: where the prompt changes, tokens on both sides of the joint are known and those
 * between them are made for the passage; what difference is left is blended, position and speed.
 * Segments follow one another in the order of the calls. before and after must be NULL.
 *
 * request, if not NULL: polls, cancels and releases this segment; its result is a motion as any other's. With NULL it
 * is released as soon as it is done, and a failure is told to the log and done callbacks only.
 * A request that ends with LF_ERROR_TOO_LONG found no room for its frames: append it again when some have been played.
 */
LF_API lf_status lf_stream_append(lf_stream* stream, const lf_generate_params* params, lf_request* request,
                                  lf_error* error);

typedef struct lf_stream_info {
  uint64_t struct_size;
  uint64_t frames_committed; /* ever; never goes back */
  double seconds_left;       /* of motion, from the last sample on: the horizon */
  int32_t frames_free;       /* so many can be appended now */
  int32_t segments_waiting;  /* appended and not committed */
  uint64_t samples;          /* calls of lf_stream_sample */
  uint64_t underruns;        /* those that returned LF_UNDERRUN */
} lf_stream_info;

LF_API lf_status lf_stream_get_info(const lf_stream* stream, lf_stream_info* info);

/* The pose in one tick. Arrays are the caller's; NULL where they are not wanted. */
typedef struct lf_pose {
  uint64_t struct_size;
  float* positions;       /* (joints, 3) of the rest pose, turned by the rotations */
  float* rotations;       /* (joints, 4) relative to the parent's */
  double frame;           /* which is played, counted from the first one ever appended */
  float root_position[3]; /* on the ground below the first joint */
  float root_rotation[4]; /* about the upward axis only */
  float root_step[3];     /* how far the root went since the last sample, in its own axes as they stood then */
  float root_turn;        /* how far it turned since, radians about the upward axis */
  float contacts[4];      /* left ankle, left toes, right ankle, right toes: 1 where it stands still, 0 where not */
  uint32_t segment;       /* which that frame came with, counted from 0 */
} lf_pose;

/*
 * Plays on to a time, in seconds of the game's own clock, which must not run backwards; the first call starts the
 * motion. Wait-free, some microseconds, for one call in every tick.
 * LF_UNDERRUN: the frames have ended before that time; the last pose is held. Once there are more, the motion goes on
 * from there with nothing left out, and gathers speed in blend_frames. Before the first segment the body stands at
 * ease.
 */
LF_API lf_status lf_stream_sample(lf_stream* stream, double seconds, lf_pose* pose);

/* ---- Search: clips by words ------------------------------------------------------------------------------------ */

/* Where a text lies among the motions: embedding_width numbers, of length 1. Waits as lf_generate does. */
LF_API lf_status lf_embed_text(lf_session* session, const char* text, float* embedding, lf_error* error);

/*
 * Where a motion lies among the texts: embedding_width numbers, of length 1. positions (frames, joints, 3) in the
 * session's space (not relative to a root), at the model's frames_per_second, 5 to max_frames + 1 of them.
 */
LF_API lf_status lf_embed_motion(lf_session* session, const float* positions, int32_t frames, float* embedding,
                                 lf_error* error);

/*
 * The k embeddings that are most like the query, best first; of equal ones the first.
 *
 * embeddings  count * width numbers, one embedding after the other
 * indices     receives min(k, count) of 0 .. count - 1
 * scores      receives as many products with the query; cosines, where all have length 1
 * found       receives min(k, count)
 *
 * LF_ERROR_NOT_FINITE: the query holds NaN or an infinity. Embeddings that do are never found.
 */
LF_API lf_status lf_search(const float* embeddings, uint64_t count, uint64_t width, const float* query, uint64_t k,
                           uint64_t* indices, float* scores, uint64_t* found, lf_error* error);

/* ---- Operators ------------------------------------------------------------------------------------------------- */

/*
 * The nearest code of each vector by squared Euclidean distance; the lowest index wins a tie.
 *
 * x         rows * width values, row after row
 * codebook  codes * width values, row after row
 * indices   receives rows values in 0 .. codes - 1
 *
 * LF_ERROR_INVALID_ARGUMENT: a NULL pointer, no code or no width (rows may be 0); nothing is written.
 * LF_ERROR_NOT_FINITE: a vector holds NaN or an infinity; its index is -1, the other indices are right.
 */
LF_API lf_status lf_codebook_lookup(const float* x, uint64_t rows, const float* codebook, uint64_t codes,
                                    uint64_t width, int64_t* indices);

#ifdef __cplusplus
}
#endif

#endif
