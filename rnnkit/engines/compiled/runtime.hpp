// What every generated kernel is made of: vectors, products with packed weights, and the functions of pointwise code.
// Pointwise functions are free of branches, so that the compiler can vectorise the loops they stand in.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <omp.h>

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

template <class S>
struct Vector {
  typedef S type __attribute__((vector_size(VECTOR_BYTES), aligned(alignof(S)), may_alias));
  static constexpr int lanes = VECTOR_BYTES / sizeof(S);
};

template <class S>
constexpr long padded(long n) {
  return (n + Vector<S>::lanes - 1) / Vector<S>::lanes * Vector<S>::lanes;
}

// Columns of a panel, in vectors: with 6 rows of sums it fills the 32 registers of AVX-512, with 4 rows the 16 of AVX.
constexpr int PANEL = VECTOR_BYTES == 64 ? 4 : 2;
constexpr int MOST_ROWS = VECTOR_BYTES == 64 ? 6 : 4;

// Scratch of one call, given back when it ends.
template <class S>
struct Scratch {
  S* data;
  explicit Scratch(long n) {
    // Room for the vectors that a product writes beyond its last column.
    long bytes = (padded<S>(n) + Vector<S>::lanes) * (long)sizeof(S);
    data = static_cast<S*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
  }
  ~Scratch() { std::free(data); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

// Weights [K, N] with any strides, in panels that a product reads from the first to the last byte.
template <class S, int N, int K>
constexpr long packed_size() {
  return padded<S>(N) * K;
}

template <class S, int N, int K>
static void pack(const S* w, long stride_k, long stride_n, S* out, int thread, int threads) {
  constexpr int L = Vector<S>::lanes, wide = PANEL * L;
  constexpr long columns = padded<S>(N), panels = (columns + wide - 1) / wide;
  for (long p = thread; p < panels; p += threads) {
    const long first = p * wide, width = std::min<long>(wide, columns - first);
    S* to = out + first * K;
    for (int k = 0; k < K; ++k)
      for (long n = 0; n < width; ++n) to[k * width + n] = first + n < N ? w[k * stride_k + (first + n) * stride_n] : S(0);
  }
}

template <class S, int ROWS, int VECTORS, int K>
static inline __attribute__((always_inline)) void tile(const S* a, long lda, const S* __restrict b, S* __restrict c, long ldc) {
  typedef typename Vector<S>::type V;
  constexpr int L = Vector<S>::lanes;
  V sum[ROWS][VECTORS];
#pragma GCC unroll 8
  for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) sum[m][n] = V{};
  for (int k = 0; k < K; ++k) {
    V column[VECTORS];
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) column[n] = *(const V*)(b + (k * VECTORS + n) * L);
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; ++m) {
      const S value = a[m * lda + k];
#pragma GCC unroll 8
      for (int n = 0; n < VECTORS; ++n) sum[m][n] += value * column[n];
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) *(V*)(c + m * ldc + n * L) = sum[m][n];
}

template <class S, int VECTORS, int K>
static void panel(int rows, const S* a, long lda, const S* b, S* c, long ldc) {
  const int blocks = (rows + MOST_ROWS - 1) / MOST_ROWS;
  for (int i = 0; i < blocks; ++i) {
    const int m = (rows + blocks - 1 - i) / (blocks - i);
    switch (m) {
      case 6: if constexpr (MOST_ROWS >= 6) tile<S, 6, VECTORS, K>(a, lda, b, c, ldc); break;
      case 5: if constexpr (MOST_ROWS >= 5) tile<S, 5, VECTORS, K>(a, lda, b, c, ldc); break;
      case 4: tile<S, 4, VECTORS, K>(a, lda, b, c, ldc); break;
      case 3: tile<S, 3, VECTORS, K>(a, lda, b, c, ldc); break;
      case 2: tile<S, 2, VECTORS, K>(a, lda, b, c, ldc); break;
      default: tile<S, 1, VECTORS, K>(a, lda, b, c, ldc); break;
    }
    a += m * lda;
    c += m * ldc;
    rows -= m;
  }
}

// c [rows, N] = a [rows, K] times packed weights; rows of c have room for whole vectors.
template <class S, int N, int K>
static void product(int rows, const S* a, long lda, const S* packed, S* c, long ldc) {
  constexpr int L = Vector<S>::lanes;
  constexpr int vectors = padded<S>(N) / L, full = vectors / PANEL, rest = vectors % PANEL;
  for (int p = 0; p < full; ++p) panel<S, PANEL, K>(rows, a, lda, packed + (long)p * K * PANEL * L, c + p * PANEL * L, ldc);
  if constexpr (rest > 0) panel<S, rest, K>(rows, a, lda, packed + (long)full * K * PANEL * L, c + full * PANEL * L, ldc);
}

// The upper half of a float, rounded to even as torch rounds.
struct bf16 {
  uint16_t bits;
  operator float() const {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
  }
  bf16() = default;
  bf16(float value) {
    uint32_t wide;
    std::memcpy(&wide, &value, 4);
    bits = value != value ? 0x7fc0 : (uint16_t)((wide + 0x7fff + ((wide >> 16) & 1)) >> 16);
  }
};
static inline float to_bf16(float value) { return bf16(value); }

// exp by x = n ln 2 + r and a polynomial in r (Cody and Waite); within 1 ulp of a float, infinite and zero where due.
static inline float exp_(float x) {
  const float limited = x < -104.f ? -104.f : (x > 89.f ? 89.f : x);
  const float n = std::rint(limited * 1.44269504088896341f);
  const float r = (limited - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.f;
  // 2^n in two factors: each is a normal number, their product may be subnormal or infinite.
  const int32_t whole = (int32_t)n, half = whole >> 1;
  const uint32_t low = (uint32_t)(half + 127) << 23, high = (uint32_t)(whole - half + 127) << 23;
  float two_low, two_high;
  std::memcpy(&two_low, &low, 4);
  std::memcpy(&two_high, &high, 4);
  return p * two_low * two_high;
}
static inline double exp_(double x) { return std::exp(x); }

static inline float sigmoid_(float x) { return 1.f / (1.f + exp_(-x)); }
static inline double sigmoid_(double x) { return 1. / (1. + std::exp(-x)); }

// Near zero by its odd polynomial (Cephes), elsewhere by exp.
static inline float tanh_(float x) {
  const float a = std::fabs(x), s = x * x;
  float p = -5.70498872745e-3f;
  p = p * s + 2.06390887954e-2f;
  p = p * s - 5.37397155531e-2f;
  p = p * s + 1.33314422036e-1f;
  p = p * s - 3.33332819422e-1f;
  const float small = p * s * x + x;
  const float large = std::copysign(1.f - 2.f / (exp_(2.f * a) + 1.f), x);
  return a < 0.625f ? small : (x != x ? x : large);
}
static inline double tanh_(double x) { return std::tanh(x); }

template <class S>
static inline S relu_(S x) { return x < S(0) ? S(0) : x; }
template <class S>
static inline S sign_(S x) { return S(x > S(0)) - S(x < S(0)); }
template <class S>
static inline S larger_(S a, S b) { return (a > b || a != a) ? a : b; }
template <class S>
static inline S smaller_(S a, S b) { return (a < b || a != a) ? a : b; }
