// The runtime of generated kernels: products with packed weights, and pointwise functions.
// Pointwise functions have no branches, so that the compiler can vectorize the loops that call them.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <omp.h>

template <class S>
constexpr long padded(long n) {
  return (n + Vector<S>::lanes - 1) / Vector<S>::lanes * Vector<S>::lanes;
}

constexpr int MOST_ROWS = VECTOR_BYTES == 64 ? 6 : 4;

// Scratch memory of one call, freed at its end.
template <class S>
struct Scratch {
  S* data;
  explicit Scratch(long n) {
    // Extra space, because a product writes whole vectors beyond its last column.
    long bytes = (padded<S>(n) + Vector<S>::lanes) * (long)sizeof(S);
    data = static_cast<S*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
  }
  ~Scratch() { std::free(data); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

// Packs weights [K, N] with any strides into panels that a product reads sequentially.
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

template <class S, int VECTORS, int K>
static void panel(int rows, const S* a, long lda, const S* b, S* c, long ldc) {
  const int blocks = (rows + MOST_ROWS - 1) / MOST_ROWS;
  for (int i = 0; i < blocks; ++i) {
    const int m = (rows + blocks - 1 - i) / (blocks - i);
    switch (m) {
      case 6: if constexpr (MOST_ROWS >= 6) tile<S, 6, VECTORS>(K, a, lda, 1, b, c, ldc, false); break;
      case 5: if constexpr (MOST_ROWS >= 5) tile<S, 5, VECTORS>(K, a, lda, 1, b, c, ldc, false); break;
      case 4: tile<S, 4, VECTORS>(K, a, lda, 1, b, c, ldc, false); break;
      case 3: tile<S, 3, VECTORS>(K, a, lda, 1, b, c, ldc, false); break;
      case 2: tile<S, 2, VECTORS>(K, a, lda, 1, b, c, ldc, false); break;
      default: tile<S, 1, VECTORS>(K, a, lda, 1, b, c, ldc, false); break;
    }
    a += m * lda;
    c += m * ldc;
    rows -= m;
  }
}

// c [rows, N] = a [rows, K] times packed weights; rows of c have space for whole vectors.
template <class S, int N, int K>
static void product(int rows, const S* a, long lda, const S* packed, S* c, long ldc) {
  constexpr int L = Vector<S>::lanes;
  constexpr int vectors = padded<S>(N) / L, full = vectors / PANEL, rest = vectors % PANEL;
  for (int p = 0; p < full; ++p) panel<S, PANEL, K>(rows, a, lda, packed + (long)p * K * PANEL * L, c + p * PANEL * L, ldc);
  if constexpr (rest > 0) panel<S, rest, K>(rows, a, lda, packed + (long)full * K * PANEL * L, c + full * PANEL * L, ldc);
}

// The same with unpacked weights, for a few rows, where packing does not pay off.
template <class S, int N, int K>
static void product_in_place(int rows, const S* a, long lda, const S* w, long stride_k, long stride_n, S* c, long ldc) {
  for (int m = 0; m < rows; ++m, a += lda, c += ldc) {
    if (stride_k == 1) {
      for (int n = 0; n < N; ++n) {
        const S* const row = w + n * stride_n;
        S sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int k = 0; k < K; ++k) sum += a[k] * row[k];
        c[n] = sum;
      }
    } else {
      for (int n = 0; n < N; ++n) c[n] = 0;
      for (int k = 0; k < K; ++k) {
        const S value = a[k];
        const S* const row = w + k * stride_k;
#pragma omp simd
        for (int n = 0; n < N; ++n) c[n] += value * row[n * stride_n];
      }
    }
  }
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

// The functions below are polynomials through Chebyshev points, accurate to a few units in the last place of a float.
static inline float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
static inline uint32_t to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

// e^x = 2^n e^r with x = n ln 2 + r (Cody and Waite).
static inline float exp_(float x) {
  const float limited = x < -104.f ? -104.f : (x > 89.f ? 89.f : x);
  const float n = std::rint(limited * 1.44269504f);
  // ln 2 in two parts; the first one has few bits, so that its product with n is exact.
  const float r = (limited - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.989108046e-4f;
  p = p * r + 1.393373072e-3f;
  p = p * r + 8.333310845e-3f;
  p = p * r + 4.166646420e-2f;
  p = p * r + 1.666666668e-1f;
  p = p * r + 5.000000014e-1f;
  p = p * (r * r) + r + 1.f;
  // 2^n in two factors: each is a normal number, their product may be subnormal or infinite.
  const int32_t whole = (int32_t)n, half = whole >> 1;
  return p * from_bits((uint32_t)(half + 127) << 23) * from_bits((uint32_t)(whole - half + 127) << 23);
}
static inline double exp_(double x) { return std::exp(x); }

static inline float sigmoid_(float x) { return 1.f / (1.f + exp_(-x)); }
static inline double sigmoid_(double x) { return 1. / (1. + std::exp(-x)); }

// An odd polynomial near zero, which is accurate there.
static inline float tanh_(float x) {
  const float a = std::fabs(x), s = x * x;
  float p = -6.094554966e-3f;
  p = p * s + 2.099569449e-2f;
  p = p * s - 5.385059658e-2f;
  p = p * s + 1.333276768e-1f;
  p = p * s - 3.333332892e-1f;
  const float small = p * s * x + x;
  const float large = std::copysign(1.f - 2.f / (exp_(2.f * a) + 1.f), x);
  return a < 0.625f ? small : (x != x ? x : large);
}
static inline double tanh_(double x) { return std::tanh(x); }

// ln x = e ln 2 + ln (1 + f) with x = 2^e (1 + f).
static inline float log_(float x) {
  const float normal = x < 1.17549435e-38f ? x * 16777216.f : x;
  const uint32_t bits = to_bits(normal) - 0x3f3504f3u;
  const float e = (float)((int32_t)bits >> 23) - (x < 1.17549435e-38f ? 24.f : 0.f);
  const float f = from_bits((bits & 0x007fffffu) + 0x3f3504f3u) - 1.f;
  float p = 6.971611471e-2f;
  p = p * f - 1.147973385e-1f;
  p = p * f + 1.168541992e-1f;
  p = p * f - 1.242568733e-1f;
  p = p * f + 1.424905765e-1f;
  p = p * f - 1.666780232e-1f;
  p = p * f + 2.000071575e-1f;
  p = p * f - 2.499999696e-1f;
  p = p * f + 3.333333118e-1f;
  const float s = f * f;
  const float y = e * 0.693359375f + (f + (p * f * s - 0.5f * s - e * 2.12194440e-4f));
  return x > 0.f ? (x <= 3.40282347e38f ? y : x) : (x == 0.f ? -INFINITY : NAN);
}
static inline double log_(double x) { return std::log(x); }

// With u = 1 + x rounded, ln u x / (u - 1) corrects the rounding error (Kahan).
static inline float log1p_(float x) {
  const float u = 1.f + x, d = u - 1.f;
  const float y = log_(u) * (x / (d == 0.f ? 1.f : d));
  return d == 0.f ? x : (u <= 3.40282347e38f ? y : u);
}
static inline double log1p_(double x) { return std::log1p(x); }

template <class S>
static inline S relu_(S x) { return x < S(0) ? S(0) : x; }
template <class S>
static inline S sign_(S x) { return S(x > S(0)) - S(x < S(0)); }
template <class S>
static inline S larger_(S a, S b) { return (a > b || a != a) ? a : b; }
template <class S>
static inline S smaller_(S a, S b) { return (a < b || a != a) ? a : b; }
