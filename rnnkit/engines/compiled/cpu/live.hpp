// Drives a generated step: once for given tensors, or over chunks of live sequences whose states are records in one array.
// Tables of the step are generated before this file.
#include <algorithm>
#include <cstdlib>
#include <cstring>

// Memory of a thread for the calls of this library, freed when the thread ends.
struct Work {
  char* data = nullptr;
  long size = 0;
  ~Work() { std::free(data); }
  char* of(long bytes) {
    if (bytes > size) {
      std::free(data);
      size = (bytes + 4095) / 4096 * 4096;
      data = static_cast<char*>(std::aligned_alloc(64, size));
    }
    return data;
  }
};
static thread_local Work work;

static inline long lines(long bytes) { return (bytes + 63) / 64 * 64; }

// One step of B rows; the pointers of all arguments are given.
extern "C" void once(long B, void* const* pointers) { step(B, pointers, work.of(B * SCRATCH + 64)); }

constexpr long MOST_LANES = 64;

static void push_block(void* const* given, long lanes, const long* lengths, const long* begins, const long* slots,
                       char* states, const char* const* xs, char* ys) {
  long bytes = lanes * SCRATCH + 64;
  for (int i = 0; i < INPUTS; ++i) bytes += lines(lanes * INPUT[i].bytes);
  for (int i = 0; i < LEAVES; ++i) bytes += lines(lanes * LEAF[i].bytes);
  for (int i = 0; i < RESULTS; ++i) bytes += lines(lanes * RESULT[i].bytes);
  char* at = work.of(bytes);
  const auto take = [&](long size) {
    char* const taken = at;
    at += lines(size);
    return taken;
  };
  char* const scratch = take(lanes * SCRATCH);
  char *inputs[INPUTS + 1], *leaves[LEAVES + 1], *results[RESULTS + 1];
  void* pointers[ARGUMENTS + 1];
  std::memcpy(pointers, given, ARGUMENTS * sizeof(void*));
  for (int i = 0; i < INPUTS; ++i) inputs[i] = take(lanes * INPUT[i].bytes);
  for (int i = 0; i < RESULTS; ++i) pointers[RESULT[i].argument] = results[i] = take(lanes * RESULT[i].bytes);
  for (int i = 0; i < LEAVES; ++i) {
    leaves[i] = take(lanes * LEAF[i].bytes);
    if (LEAF[i].argument >= 0) pointers[LEAF[i].argument] = leaves[i];
    for (long b = 0; b < lanes; ++b)
      std::memcpy(leaves[i] + b * LEAF[i].bytes, states + slots[b] * RECORD + LEAF[i].offset, LEAF[i].bytes);
  }
  long active = lanes;
  for (long t = 0; t < lengths[0]; ++t) {
    while (lengths[active - 1] <= t) --active;
    for (int i = 0; i < INPUTS; ++i) {
      if (INPUT[i].argument < 0) continue;
      const long size = INPUT[i].bytes;
      if (active == 1) {
        pointers[INPUT[i].argument] = const_cast<char*>(xs[i] + (begins[0] + t) * size);
        continue;
      }
      pointers[INPUT[i].argument] = inputs[i];
      for (long b = 0; b < active; ++b) std::memcpy(inputs[i] + b * size, xs[i] + (begins[b] + t) * size, size);
    }
    step(active, pointers, scratch);
    for (int i = 0; i < LEAVES; ++i) std::memcpy(leaves[i], results[LEAF[i].result], active * LEAF[i].bytes);
    const long size = RESULT[OUTPUT].bytes;
    for (long b = 0; b < active; ++b) std::memcpy(ys + (begins[b] + t) * size, results[OUTPUT] + b * size, size);
  }
  for (int i = 0; i < LEAVES; ++i)
    for (long b = 0; b < lanes; ++b)
      std::memcpy(states + slots[b] * RECORD + LEAF[i].offset, leaves[i] + b * LEAF[i].bytes, LEAF[i].bytes);
}

// Runs sequence b, whose state is the record slots[b], over lengths[b] steps of x from row begins[b]; y has the same
// rows. Lengths do not increase. What a sequence computes does not depend on the others.
extern "C" void push(void* const* given, long lanes, const long* lengths, const long* begins, const long* slots,
                     char* states, const char* const* xs, char* ys) {
  for (long b = 0; b < lanes; b += MOST_LANES)
    push_block(given, std::min(lanes - b, MOST_LANES), lengths + b, begins + b, slots + b, states, xs, ys);
}

// One step of one sequence with one input tensor.
extern "C" void one(void* const* given, char* record, const char* x, char* y) {
  long bytes = SCRATCH + 64;
  for (int i = 0; i < RESULTS; ++i) bytes += lines(RESULT[i].bytes);
  char *at = work.of(bytes), *results[RESULTS + 1];
  char* const scratch = at;
  at += lines(SCRATCH);
  void* pointers[ARGUMENTS + 1];
  std::memcpy(pointers, given, ARGUMENTS * sizeof(void*));
  if (INPUT[0].argument >= 0) pointers[INPUT[0].argument] = const_cast<char*>(x);
  for (int i = 0; i < RESULTS; ++i) {
    pointers[RESULT[i].argument] = results[i] = i == OUTPUT ? y : at;
    at += lines(RESULT[i].bytes);
  }
  for (int i = 0; i < LEAVES; ++i)
    if (LEAF[i].argument >= 0) pointers[LEAF[i].argument] = record + LEAF[i].offset;
  step(1, pointers, scratch);
  for (int i = 0; i < LEAVES; ++i) std::memcpy(record + LEAF[i].offset, results[LEAF[i].result], LEAF[i].bytes);
}
